/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent's disk folder against the real module: netlink client and listener, headers on block
 * devices, mapped devices. Runs as root in a machine of its own (tests/kernel/agent_run), which has
 * /dev/ram0 and the module's file in VMCRYPT_MODULE.
 */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <linux/fs.h>

#include "common/log.h"
#include "disk_fixture.h"
#include "disk/dm.h"
#include "disk/netlink.h"

#define DEVICE		"/dev/ram0"
#define MAPPED		"/dev/mapper/vm-1"
#define WAIT_MS		20000
#define BLOCK		4096

extern char **environ;

static pid_t start(const char *const *argv)
{
	pid_t pid;

	assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *) argv, environ), 0);
	return pid;
}

static int finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run(const char *a, const char *b, const char *c)
{
	const char *const argv[] = { a, b, c, NULL };

	return finish(start(argv));
}

static void load_module(void)
{
	assert_int_equal(run("insmod", getenv("VMCRYPT_MODULE"), NULL), 0);
}

static void unload_module(void)
{
	assert_int_equal(run("rmmod", "dm-vmcrypt", NULL), 0);
}

/**
 * struct machine - a fixture, and a client and listener beside it
 */
struct machine {
	struct fixture *f;
	struct nl_client *client;
	struct nl_listener *listener;
	uint8_t dek[UUID_SIZE];
};

static void expect_ok(int r, const struct error *e)
{
	if (r < 0)
		print_error("%s\n", e->text);
	assert_int_equal(r, 0);
}

/* Waits for the next event of a type; others on the way are passed over. */
static struct nl_event next_event(struct nl_listener *l, enum nl_event_type type)
{
	struct pollfd p = { .fd = nl_listener_fd(l), .events = POLLIN };
	struct error e = ERROR_NULL;
	struct nl_event event;

	for (;;) {
		expect_ok(nl_listener_next(l, &event, &e), &e);
		if (event.type == type)
			return event;
		if (event.type != NL_EVENT_NONE)
			continue;
		if (poll(&p, 1, WAIT_MS) != 1)
			fail_msg("no event of type %d came", type);
	}
}

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct error e = ERROR_NULL;
	void *f;

	assert_non_null(m);
	assert_int_equal(fixture_setup(&f), 0);
	m->f = f;
	snprintf(m->f->disk, sizeof(m->f->disk), "%s", DEVICE);
	assert_int_equal(dek_uuid(&m->f->dek, m->dek), 0);
	expect_ok(nl_client_new(&m->client, &e), &e);
	load_module();
	expect_ok(nl_listener_new(NL_LISTEN_REQUESTS | NL_LISTEN_EVENTS, &m->listener, &e), &e);
	next_event(m->listener, NL_EVENT_MODULE_LOADED);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;
	void *f = m->f;

	/* What a failed test left would fail all that come. */
	dm_disk_remove("vm-1", DM_REMOVE_FORCE | DM_REMOVE_RETRY, NULL);
	nl_client_key_wipe(m->client, m->dek, true, NULL);
	nl_listener_free(m->listener);
	nl_client_free(m->client);
	unload_module();
	/* The device itself stays. */
	m->f->disk[0] = '\0';
	fixture_teardown(&f);
	free(m);
	return 0;
}

/* A header on the device, unlocked, its key in the kernel. */
static struct disk_header *make_disk(struct machine *m, uint32_t sector_size)
{
	struct header_params p = fixture_params(m->f);
	struct error e = ERROR_NULL;
	struct disk_header *h = NULL;

	p.force = true;
	p.sector_size = sector_size;
	expect_ok(header_create(&p, &m->f->dek, &m->f->locator, &m->f->kek, &h, &e), &e);
	expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
	return h;
}

static void test_module_comes_and_goes(void **state)
{
	struct machine *m = *state;
	struct error e = ERROR_NULL;
	struct nl_key key;

	expect_ok(nl_client_check(m->client, &e), &e);
	unload_module();
	next_event(m->listener, NL_EVENT_MODULE_GONE);
	assert_int_equal(nl_client_check(m->client, &e), -EOPNOTSUPP);
	assert_int_equal(nl_client_key_get(m->client, m->dek, &key, &e), -EOPNOTSUPP);
	load_module();
	next_event(m->listener, NL_EVENT_MODULE_LOADED);
	/* The family has another number by now, and the groups are joined again. */
	expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
	assert_int_equal(next_event(m->listener, NL_EVENT_KEY_CHANGED).key.state, VMCRYPT_KEY_LOADED);
}

static void test_keys(void **state)
{
	struct machine *m = *state;
	_cleanup_secret_ struct secret other = SECRET_NULL, half = SECRET_NULL;
	struct error e = ERROR_NULL;
	struct nl_key key, *keys = NULL;
	struct nl_event event;
	size_t n = 0;

	assert_int_equal(nl_client_key_get(m->client, m->dek, &key, &e), -ENOENT);
	expect_ok(nl_client_key_list(m->client, &keys, &n, &e), &e);
	assert_int_equal(n, 0);
	assert_null(keys);

	expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
	expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
	event = next_event(m->listener, NL_EVENT_KEY_CHANGED);
	assert_memory_equal(event.key.dek, m->dek, UUID_SIZE);
	assert_int_equal(event.key.state, VMCRYPT_KEY_LOADED);
	expect_ok(nl_client_key_get(m->client, m->dek, &key, &e), &e);
	assert_memory_equal(key.dek, m->dek, UUID_SIZE);
	assert_int_equal(key.key_bits, 512);
	assert_int_equal(key.state, VMCRYPT_KEY_LOADED);
	assert_int_equal(key.targets, 0);
	expect_ok(nl_client_key_list(m->client, &keys, &n, &e), &e);
	assert_int_equal(n, 1);
	assert_memory_equal(keys[0].dek, m->dek, UUID_SIZE);
	free(keys);

	/* A key under another's name, and refusals in the kernel's words. */
	assert_int_equal(dek_generate(256, &other, &e), 0);
	m->dek[0] ^= 1;
	assert_int_equal(nl_client_key_load(m->client, m->dek, &other, &e), -EKEYREJECTED);
	assert_non_null(strstr(e.text, "the kernel refused"));
	assert_int_equal(nl_client_key_wipe(m->client, m->dek, false, &e), -ENOENT);
	assert_non_null(strstr(e.text, "the kernel refused"));
	assert_int_equal(nl_client_key_reject(m->client, m->dek, 99, &e), -EINVAL);
	assert_int_equal(nl_client_key_reject(m->client, m->dek, VMCRYPT_REASON_LOCKED, &e), -ENOENT);
	m->dek[0] ^= 1;

	expect_ok(nl_client_key_wipe(m->client, m->dek, false, &e), &e);
	do
		event = next_event(m->listener, NL_EVENT_KEY_CHANGED);
	while (event.key.state == VMCRYPT_KEY_WIPING);
	assert_int_equal(event.key.state, VMCRYPT_KEY_ABSENT);
	assert_int_equal(nl_client_key_get(m->client, m->dek, &key, &e), -ENOENT);
}

static void test_many_keys(void **state)
{
	struct machine *m = *state;
	uint8_t deks[200][UUID_SIZE];
	struct error e = ERROR_NULL;
	struct nl_key *keys = NULL;
	size_t n = 0;

	for (int i = 0; i < 200; i++) {
		_cleanup_secret_ struct secret key = SECRET_NULL;

		assert_int_equal(dek_generate(512, &key, &e), 0);
		assert_int_equal(dek_uuid(&key, deks[i]), 0);
		expect_ok(nl_client_key_load(m->client, deks[i], &key, &e), &e);
	}
	expect_ok(nl_client_key_list(m->client, &keys, &n, &e), &e);
	assert_int_equal(n, 200);
	free(keys);
	for (int i = 0; i < 200; i++)
		expect_ok(nl_client_key_wipe(m->client, deks[i], false, &e), &e);
}

/* Nobody reads the events until there is no room for more. */
static void test_lost_events(void **state)
{
	struct machine *m = *state;
	struct error e = ERROR_NULL;
	struct nl_event event;

	for (int i = 0; i < 4000; i++) {
		expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
		expect_ok(nl_client_key_wipe(m->client, m->dek, false, &e), &e);
		if (i % 100 == 99) {
			/* A listener that lost something says so before anything else. */
			expect_ok(nl_listener_next(m->listener, &event, &e), &e);
			if (event.type == NL_EVENT_RESYNC)
				break;
		}
	}
	assert_int_equal(event.type, NL_EVENT_RESYNC);
	do
		expect_ok(nl_listener_next(m->listener, &event, &e), &e);
	while (event.type != NL_EVENT_NONE);
	expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
	assert_int_equal(next_event(m->listener, NL_EVENT_KEY_CHANGED).key.state, VMCRYPT_KEY_LOADED);
}

static void block(uint8_t *ret, uint8_t value)
{
	for (int i = 0; i < BLOCK; i++)
		ret[i] = (uint8_t) (value + i * 7);
}

static void write_mapped(const char *path, const void *data, off_t at)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, BLOCK, at), BLOCK);
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

/* What vmcrypt wrote, stock cryptsetup reads with the exported key: the way of rescue. */
static void read_with_cryptsetup(struct machine *m, const uint8_t *data, off_t at)
{
	char key[96];
	const char *const open_it[] = {
		"cryptsetup", "open", "--batch-mode", "--key-size", "512", "--volume-key-file", key,
		DEVICE, "rescue", NULL
	};
	uint8_t back[BLOCK];

	snprintf(key, sizeof(key), "%s/key", m->f->dir);
	fixture_disk(key, 0);
	fixture_write(key, m->f->dek.data, m->f->dek.size, 0);
	assert_int_equal(finish(start(open_it)), 0);
	fixture_read("/dev/mapper/rescue", back, BLOCK, at);
	assert_memory_equal(back, data, BLOCK);
	assert_int_equal(run("cryptsetup", "close", "rescue"), 0);
	unlink(key);
}

static void attach_write_detach(struct machine *m, uint32_t sector_size)
{
	const struct dm_disk_options o = { .allow_discards = true, .key_loss = KEY_LOSS_ERROR };
	_cleanup_header_ struct disk_header *h = make_disk(m, sector_size);
	uint8_t data[BLOCK], back[BLOCK], raw[BLOCK];
	struct error e = ERROR_NULL;
	struct dm_disk d;
	uint64_t size;

	expect_ok(dm_disk_create(h, "vm-1", &o, &e), &e);
	assert_int_equal(dm_disk_create(h, "vm-1", &o, &e), -EEXIST);
	expect_ok(dm_disk_get("vm-1", &d, &e), &e);
	expect_ok(header_data_size(h, &size, &e), &e);
	assert_string_equal(d.name, "vm-1");
	assert_int_equal(strncmp(d.uuid, DM_DISK_UUID_PREFIX, strlen(DM_DISK_UUID_PREFIX)), 0);
	assert_non_null(strstr(d.uuid, "-vm-1"));
	assert_int_equal(d.length, size / 512);
	assert_int_equal(d.sector_size, sector_size);
	assert_int_equal(d.offset, 32768);
	assert_memory_equal(d.dek, m->dek, UUID_SIZE);
	assert_true(d.allow_discards);
	assert_int_equal(d.key_loss, KEY_LOSS_ERROR);
	assert_true(d.loaded);

	block(data, (uint8_t) sector_size);
	write_mapped(MAPPED, data, 1 * MIB);
	fixture_read(MAPPED, back, BLOCK, 1 * MIB);
	assert_memory_equal(back, data, BLOCK);
	expect_ok(dm_disk_remove("vm-1", 0, &e), &e);
	assert_int_equal(dm_disk_get("vm-1", &d, &e), -ENXIO);

	fixture_read(DEVICE, raw, BLOCK, 17 * MIB);
	assert_memory_not_equal(raw, data, BLOCK);
	read_with_cryptsetup(m, data, 1 * MIB);
}

static void test_disk(void **state)
{
	attach_write_detach(*state, 512);
	attach_write_detach(*state, 4096);
}

static void test_list(void **state)
{
	struct machine *m = *state;
	const struct dm_disk_options o = { .read_only = true };
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096);
	struct nl_disk disk, *disks = NULL;
	struct dm_disk *mapped = NULL;
	struct error e = ERROR_NULL;
	int fd, read_only = 0;
	size_t n = 0;

	expect_ok(dm_disk_list(&mapped, &n, &e), &e);
	assert_int_equal(n, 0);
	expect_ok(dm_disk_create(h, "vm-1", &o, &e), &e);
	expect_ok(dm_disk_list(&mapped, &n, &e), &e);
	assert_int_equal(n, 1);
	assert_string_equal(mapped[0].name, "vm-1");
	assert_true(mapped[0].read_only);
	free(mapped);
	fd = open(MAPPED, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, BLKROGET, &read_only), 0);
	assert_int_equal(read_only, 1);
	close(fd);

	expect_ok(nl_client_disk_get(m->client, "vm-1", &disk, &e), &e);
	assert_string_equal(disk.name, "vm-1");
	assert_memory_equal(disk.dek, m->dek, UUID_SIZE);
	assert_int_equal(disk.sector_size, 4096);
	assert_int_equal(disk.state, VMCRYPT_KEY_LOADED);
	expect_ok(nl_client_disk_list(m->client, &disks, &n, &e), &e);
	assert_int_equal(n, 1);
	assert_int_equal(disks[0].minor, disk.minor);
	free(disks);
	assert_int_equal(nl_client_disk_get(m->client, "vm-2", &disk, &e), -ENOENT);
	expect_ok(dm_disk_remove("vm-1", DM_REMOVE_RETRY, &e), &e);
}

static void test_busy(void **state)
{
	struct machine *m = *state;
	const struct dm_disk_options o = { .key_loss = KEY_LOSS_QUEUE };
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096), *none = NULL;
	struct header_params p = fixture_params(m->f);
	struct error e = ERROR_NULL;
	struct dm_disk d;
	uint8_t byte;
	int fd;

	expect_ok(dm_disk_create(h, "vm-1", &o, &e), &e);
	p.force = true;
	assert_int_equal(header_create(&p, &m->f->dek, &m->f->locator, &m->f->kek, &none, &e), -EBUSY);
	assert_non_null(strstr(e.text, "mapped by device-mapper"));
	/* A wrap can change while the disk is attached. */
	expect_ok(header_rewrap(h, &m->f->dek, &m->f->locator2, &m->f->kek2, &e), &e);

	fd = open(MAPPED, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(dm_disk_remove("vm-1", 0, &e), -EBUSY);
	assert_non_null(strstr(e.text, "in use"));
	expect_ok(dm_disk_remove("vm-1", DM_REMOVE_FORCE | DM_REMOVE_DEFERRED, &e), &e);
	assert_int_equal(pread(fd, &byte, 1, 512 * 1024), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(dm_disk_get("vm-1", &d, &e), -ENOTBLK);
	close(fd);
	/* The kernel removes it a little later. */
	for (int i = 0; i < 100 && dm_disk_get("vm-1", &d, &e) != -ENXIO; i++)
		usleep(50000);
	assert_int_equal(dm_disk_get("vm-1", &d, &e), -ENXIO);

	/* What is not ours is left alone. */
	assert_int_equal(run("sh", "-c", "dmsetup create other --table '0 8 error'"), 0);
	assert_int_equal(dm_disk_remove("other", DM_REMOVE_FORCE, &e), -ENOTBLK);
	assert_int_equal(run("dmsetup", "remove", "other"), 0);
}

static void wait_for_queued(const char *name)
{
	struct error e = ERROR_NULL;
	struct dm_disk d = { .queued = 0 };

	for (int i = 0; i < 200 && d.queued == 0; i++) {
		usleep(50000);
		expect_ok(dm_disk_get(name, &d, &e), &e);
	}
	assert_true(d.queued > 0);
}

static void test_lock_and_unlock(void **state)
{
	struct machine *m = *state;
	const struct dm_disk_options o = { .key_loss = KEY_LOSS_QUEUE };
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096);
	uint8_t data[BLOCK];
	struct error e = ERROR_NULL;
	struct dm_disk d;
	struct nl_event event;
	pid_t writer;

	expect_ok(dm_disk_create(h, "vm-1", &o, &e), &e);
	assert_int_equal(nl_client_key_wipe(m->client, m->dek, false, &e), -EBUSY);
	expect_ok(nl_client_key_wipe(m->client, m->dek, true, &e), &e);
	do
		event = next_event(m->listener, NL_EVENT_KEY_CHANGED);
	while (event.key.state != VMCRYPT_KEY_LOCKED);
	expect_ok(dm_disk_get("vm-1", &d, &e), &e);
	assert_false(d.loaded);

	/* A write waits; a noflush suspend does not wait for it; the key lets it go on. */
	writer = fork();
	if (writer == 0) {
		int fd = open(MAPPED, O_WRONLY | O_CLOEXEC);

		block(data, 3);
		_exit(pwrite(fd, data, BLOCK, 0) == BLOCK && fsync(fd) == 0 ? 0 : 1);
	}
	wait_for_queued("vm-1");
	expect_ok(dm_disk_suspend("vm-1", 0, &e), &e);
	expect_ok(dm_disk_get("vm-1", &d, &e), &e);
	assert_true(d.suspended);
	expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
	expect_ok(dm_disk_resume("vm-1", &e), &e);
	assert_int_equal(finish(writer), 0);
	expect_ok(dm_disk_get("vm-1", &d, &e), &e);
	assert_false(d.suspended);
	assert_true(d.loaded);
	expect_ok(dm_disk_remove("vm-1", DM_REMOVE_RETRY, &e), &e);
}

/* By force: what was held for want of the key fails, and the device goes. */
static void test_force_while_locked(void **state)
{
	struct machine *m = *state;
	const struct dm_disk_options o = { .key_loss = KEY_LOSS_QUEUE };
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096);
	uint8_t data[BLOCK];
	struct error e = ERROR_NULL;
	struct dm_disk d;
	pid_t writer;

	expect_ok(dm_disk_create(h, "vm-1", &o, &e), &e);
	expect_ok(nl_client_key_wipe(m->client, m->dek, true, &e), &e);
	writer = fork();
	if (writer == 0) {
		int fd = open(MAPPED, O_WRONLY | O_CLOEXEC);

		block(data, 3);
		_exit(pwrite(fd, data, BLOCK, 0) == BLOCK && fsync(fd) == 0 ? 0 : 1);
	}
	wait_for_queued("vm-1");
	expect_ok(dm_disk_remove("vm-1", DM_REMOVE_FORCE | DM_REMOVE_DEFERRED, &e), &e);
	assert_int_equal(finish(writer), 1);
	for (int i = 0; i < 100 && dm_disk_get("vm-1", &d, &e) != -ENXIO; i++)
		usleep(50000);
	assert_int_equal(dm_disk_get("vm-1", &d, &e), -ENXIO);
}

static void test_reload(void **state)
{
	struct machine *m = *state;
	struct dm_disk_options o = { .key_loss = KEY_LOSS_QUEUE };
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096);
	struct error e = ERROR_NULL;
	struct dm_disk d;

	expect_ok(dm_disk_create(h, "vm-1", &o, &e), &e);
	o.allow_discards = true;
	expect_ok(dm_disk_reload(h, "vm-1", &o, &e), &e);
	expect_ok(dm_disk_get("vm-1", &d, &e), &e);
	assert_true(d.allow_discards);
	assert_false(d.suspended);
	expect_ok(dm_disk_remove("vm-1", 0, &e), &e);
	assert_int_equal(dm_disk_reload(h, "vm-1", &o, &e), -ENXIO);
}

/* dmsetup asks, the agent answers: with the key, or with a reason. */
static void test_request(void **state)
{
	struct machine *m = *state;
	const struct dm_disk_options o = { .key_loss = KEY_LOSS_QUEUE };
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096);
	_cleanup_free_ char *table = NULL;
	struct nl_request *list = NULL;
	struct error e = ERROR_NULL;
	struct nl_event event;
	struct stat st;
	pid_t dmsetup;
	size_t n = 0;

	expect_ok(dm_disk_table(h, &o, &table, &e), &e);
	assert_non_null(strstr(table, " " DEVICE " "));
	expect_ok(nl_client_key_wipe(m->client, m->dek, false, &e), &e);
	assert_int_equal(stat(DEVICE, &st), 0);
	for (int answer = 0; answer < 2; answer++) {
		const char *const argv[] = { "dmsetup", "create", "vm-1", "--table", table, NULL };

		dmsetup = start(argv);
		event = next_event(m->listener, NL_EVENT_KEY_REQUEST);
		assert_memory_equal(event.request.dek, m->dek, UUID_SIZE);
		assert_string_equal(event.request.name, "vm-1");
		assert_int_equal(makedev(event.request.major, event.request.minor), st.st_rdev);
		expect_ok(nl_client_request_list(m->client, &list, &n, &e), &e);
		assert_int_equal(n, 1);
		assert_int_equal(list[0].request_id, event.request.request_id);
		free(list);
		if (answer == 0) {
			expect_ok(nl_client_key_reject(m->client, m->dek, VMCRYPT_REASON_LOCKED, &e),
				  &e);
			assert_int_not_equal(finish(dmsetup), 0);
		} else {
			expect_ok(nl_client_key_load(m->client, m->dek, &m->f->dek, &e), &e);
			assert_int_equal(finish(dmsetup), 0);
		}
	}
	/* What dmsetup created has no UUID of ours, but our target: it can be removed. */
	expect_ok(dm_disk_remove("vm-1", DM_REMOVE_RETRY, &e), &e);
}

static void test_repair_on_a_device(void **state)
{
	struct machine *m = *state;
	_cleanup_header_ struct disk_header *h = make_disk(m, 4096);
	static const char zeros[4096];
	struct error e = ERROR_NULL;

	for (int copy = 0; copy < 2; copy++) {
		fixture_write(DEVICE, zeros, sizeof(zeros), copy * COPY_SIZE);
		header_free(TAKE_PTR(h));
		expect_ok(header_open(DEVICE, NULL, 0, &h, &e), &e);
		assert_true(h->damaged);
		header_free(TAKE_PTR(h));
		expect_ok(header_open(DEVICE, NULL, HEADER_REPAIR, &h, &e), &e);
		assert_true(h->repaired);
		header_free(TAKE_PTR(h));
		h = fixture_open(m->f, NULL, 0);
		assert_false(h->damaged);
	}
	/* The advisory lock leaves nothing behind. */
	assert_int_equal(run("sh", "-c", "test -z \"$(ls /run/cryptsetup)\""), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_module_comes_and_goes),
		TEST(test_keys),
		TEST(test_many_keys),
		TEST(test_lost_events),
		TEST(test_disk),
		TEST(test_list),
		TEST(test_busy),
		TEST(test_lock_and_unlock),
		TEST(test_force_while_locked),
		TEST(test_reload),
		TEST(test_request),
		TEST(test_repair_on_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
