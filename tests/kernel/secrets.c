// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * No key leaves the kernel, and none stays in it: not in table, status, log,
 * trace, sysfs or on a netlink tap; nor in memory once it is wiped.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <elf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "lib.h"

FIXTURE(secrets) {
	struct nl nl;
	struct vdisk v;
	char hex[2 * KEY_MAX + 1];
};

FIXTURE_SETUP(secrets)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "secrets", MIB, 64, ""));
	dek_hex(&self->v.dek, self->hex);
}

FIXTURE_TEARDOWN(secrets)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

/* any 8 bytes of the key, raw or as hex of either case */
static bool leaks(const struct dek *d, const char *hex, const void *data, size_t size)
{
	char upper[2 * KEY_MAX + 1];

	for (size_t i = 0; i <= 2 * d->size; i++)
		upper[i] = hex[i] >= 'a' ? (char)(hex[i] - 32) : hex[i];
	for (size_t i = 0; i + 8 <= d->size; i++) {
		if (memmem(data, size, d->key + i, 8) || memmem(data, size, hex + 2 * i, 16) ||
		    memmem(data, size, upper + 2 * i, 16))
			return true;
	}
	return false;
}

/* that the search finds what it looks for */
TEST_F(secrets, search_finds)
{
	uint8_t data[256] = { 0 };

	ASSERT_FALSE(leaks(&self->v.dek, self->hex, data, sizeof(data)));
	memcpy(data + 77, self->v.dek.key + 40, 8);
	ASSERT_TRUE(leaks(&self->v.dek, self->hex, data, sizeof(data)));
	memset(data, 0, sizeof(data));
	memcpy(data + 3, self->hex + 20, 16);
	ASSERT_TRUE(leaks(&self->v.dek, self->hex, data, sizeof(data)));
}

TEST_F(secrets, table_and_status)
{
	static const char *const commands[] = { "table --showkeys", "table", "status", "info -c", "table --inactive" };
	char command[128], text[8192];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const char *const argv[] = { "sh", "-c", command, NULL };

		snprintf(command, sizeof(command), "dmsetup %s vt-secrets >/tmp/vt-secrets", commands[i]);
		ASSERT_EQ(0, run(argv));
		ASSERT_EQ(0, file_read("/tmp/vt-secrets", text, sizeof(text)));
		EXPECT_FALSE(leaks(&self->v.dek, self->hex, text, strlen(text)));
	}
	unlink("/tmp/vt-secrets");
	ASSERT_EQ(0, dm_table(self->v.name, false, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, self->v.dek.text));
}

/* sets, wipes and sets again, refused keys and bad lines, with all debugging on */
static int make_noise(FIXTURE_DATA(secrets) *self)
{
	struct dek wrong = self->v.dek;
	uint8_t *p = buffer(4096);
	char table[512];
	unsigned int minor;
	int r = write_all(self->v.fd, p, 4096, 0);

	if (!r)
		r = key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE);
	if (!r)
		r = key_wait(&self->nl, self->v.dek.uuid, KEY_LOCKED, 5000);
	wrong.uuid[3] ^= 4;
	if (!r && key_set_as(&self->nl, &self->v.dek, wrong.uuid) != -EKEYREJECTED)
		r = -EIO;
	if (!r)
		r = key_set(&self->nl, &self->v.dek);
	snprintf(table, sizeof(table), "0 8 vmcrypt aes-xts-plain64 %s 0 %s 0 1 bad", self->v.dek.text,
		 self->v.below.node);
	dm_make("vt-bad", table, 0, &minor);
	return r ? r : read_all(self->v.fd, p, 4096, 0);
}

TEST_F(secrets, log_with_all_debugging)
{
	static char log[1 << 20];
	int kmsg = kmsg_open();

	file_write("/sys/kernel/debug/dynamic_debug/control", "module dm_vmcrypt +p");
	file_write("/sys/kernel/debug/dynamic_debug/control", "module dm_mod +p");
	ASSERT_EQ(0, make_noise(self));
	file_write("/sys/kernel/debug/dynamic_debug/control", "module dm_vmcrypt -p");
	file_write("/sys/kernel/debug/dynamic_debug/control", "module dm_mod -p");
	ASSERT_LT(0, kmsg_read(kmsg, log, sizeof(log)));
	ASSERT_FALSE(leaks(&self->v.dek, self->hex, log, strlen(log)));
	close(kmsg);
}

TEST_F(secrets, trace)
{
	static char trace[1 << 20];

	ASSERT_EQ(0, access("/sys/kernel/tracing/events/vmcrypt/enable", W_OK));
	file_write("/sys/kernel/tracing/trace", "");
	ASSERT_EQ(0, file_write("/sys/kernel/tracing/events/vmcrypt/enable", "1"));
	ASSERT_EQ(0, make_noise(self));
	ASSERT_EQ(0, file_write("/sys/kernel/tracing/events/vmcrypt/enable", "0"));
	ASSERT_EQ(0, file_read("/sys/kernel/tracing/trace", trace, sizeof(trace)));
	/* it did trace */
	ASSERT_NE(NULL, strstr(trace, self->v.dek.text))
		TH_LOG("%.2000s", trace);
	ASSERT_FALSE(leaks(&self->v.dek, self->hex, trace, strlen(trace)));
}

static bool tree_leaks(FIXTURE_DATA(secrets) *self, const char *path, int depth)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir))) {
		char name[512], text[8192];
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (lstat(name, &st))
			continue;
		if (S_ISDIR(st.st_mode) && depth)
			found = tree_leaks(self, name, depth - 1);
		else if (S_ISREG(st.st_mode) && st.st_mode & 0444 && !file_read(name, text, sizeof(text)))
			found = leaks(&self->v.dek, self->hex, text, strlen(text));
		if (found)
			fprintf(stderr, "# the key is in %s\n", name);
	}
	if (dir)
		closedir(dir);
	return found;
}

TEST_F(secrets, sysfs)
{
	char path[64];

	ASSERT_FALSE(tree_leaks(self, "/sys/module/dm_vmcrypt", 3));
	snprintf(path, sizeof(path), "/sys/block/dm-%u", self->v.minor);
	ASSERT_FALSE(tree_leaks(self, path, 3));
}

/* a packet socket on an nlmon device sees every netlink message of this namespace */
static int open_tap(void)
{
	const char *const add[] = { "ip", "link", "add", "vt-nlmon", "type", "nlmon", NULL };
	const char *const up[] = { "ip", "link", "set", "vt-nlmon", "up", NULL };
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd, size = 8 << 20;

	if (run(add) || run(up))
		return -ENODEV;
	sa.sll_ifindex = (int)if_nametoindex("vt-nlmon");
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

TEST_F(secrets, netlink_tap)
{
	const char *const del[] = { "ip", "link", "del", "vt-nlmon", NULL };
	static uint8_t packet[65536];
	unsigned int seen = 0, leaked = 0;
	struct nl events;
	int fd = open_tap();
	ssize_t n;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, nl_open(&events));
	ASSERT_EQ(0, nl_join(&events, events.events));
	ASSERT_EQ(0, make_noise(self));
	key_count(&self->nl);
	while ((n = recv(fd, packet, sizeof(packet), 0)) > 0) {
		seen += memmem(packet, n, self->v.dek.uuid, UUID_LEN) != NULL;
		leaked += leaks(&self->v.dek, self->hex, packet, n);
	}
	close(fd);
	run(del);
	nl_close(&events);
	/* it did see the messages */
	ASSERT_LE(4, seen);
	ASSERT_EQ(0, leaked);
}

FIXTURE(residue) {
	struct nl nl;
};

FIXTURE_SETUP(residue)
{
	ASSERT_EQ(0, test_begin(&self->nl));
}

FIXTURE_TEARDOWN(residue)
{
	test_end(&self->nl);
}

/*
 * What is looked for is not the key itself: OpenSSL and the C library leave parts
 * of it in vector registers, and each switch of tasks puts those into the
 * kernel's memory, which says nothing of the module. The first 16 bytes that the
 * AES key expansion adds to each half (FIPS 197 section 5.2) are made in one
 * place only, the cipher's key schedule, and give the key away as well.
 */
#define HALVES	2

/**
 * struct masked - what cannot be found by its bytes: each is xor'ed
 */
struct masked {
	uint8_t bytes[HALVES * 16];
	uint8_t uuid[UUID_LEN];
	char text[37];
};

#define MASK	0xa5

static uint8_t times(uint8_t x, uint8_t y)
{
	uint8_t z = 0;

	for (; y; y >>= 1, x = (uint8_t)(x << 1) ^ (x & 0x80 ? 0x1b : 0))
		if (y & 1)
			z ^= x;
	return z;
}

/* the S-box: the inverse, as the 254th power, and the affine map */
static uint8_t substitute(uint8_t x)
{
	uint8_t y = 1, z;

	for (int i = 0; i < 254; i++)
		y = times(y, x);
	z = y;
	for (int i = 1; i < 5; i++)
		z ^= (uint8_t)(y << i | y >> (8 - i));
	return z ^ 0x63;
}

/* the third round key of AES-256, masked; byte by byte, never whole in a register */
static void mask_round_key(const uint8_t key[32], uint8_t ret[16])
{
	volatile uint8_t *out = ret;

	for (int i = 0; i < 16; i++) {
		uint8_t before = i < 4 ? substitute(key[28 + (i + 1) % 4]) ^ (i ? 0 : 1) :
					 out[i - 4] ^ MASK;

		out[i] = key[i] ^ before ^ MASK;
	}
}

/* makes a key, loads it, and forgets it; in a child, for its memory goes too */
static int load_and_forget(void *arg)
{
	struct masked *shared = arg;
	struct dek *d = OPENSSL_malloc(sizeof(*d));
	struct nl nl;
	int r = nl_open(&nl);

	dek_random(d, 64);
	if (!r)
		r = key_set(&nl, d);
	for (int half = 0; half < HALVES; half++)
		mask_round_key(d->key + 32 * half, shared->bytes + 16 * half);
	memcpy(shared->uuid, d->uuid, UUID_LEN);
	memcpy(shared->text, d->text, sizeof(d->text));
	OPENSSL_clear_free(d, sizeof(*d));
	return r;
}

/*
 * Adds how often each round key is in @data; true when any is. Byte by byte: a
 * comparison in vector registers would leave the key there.
 */
static bool count_in(const struct masked *k, const uint8_t *data, size_t size,
		     unsigned int counts[HALVES])
{
	uint32_t first[HALVES], v;
	bool found = false;

	for (int part = 0; part < HALVES; part++)
		memcpy(&first[part], k->bytes + 16 * part, 4);
	/* key schedules and buffers are aligned to 4 at least */
	for (size_t i = 0; i + 16 <= size; i += 4) {
		memcpy(&v, data + i, 4);
		v ^= MASK * 0x01010101u;
		for (int part = 0; part < HALVES; part++) {
			int same = 0;

			if (v != first[part])
				continue;
			while (same < 16 && (data[i + same] ^ MASK) == k->bytes[16 * part + same])
				same++;
			if (same < 16)
				continue;
			counts[part]++;
			found = true;
		}
	}
	return found;
}

/* all of the machine's memory, by the segments of /proc/kcore that are mapped one to one */
static int count_in_memory(const struct masked *k, unsigned int counts[HALVES])
{
	static uint8_t piece[1 << 20];
	Elf64_Ehdr e;
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_all(fd, &e, sizeof(e), 0);

	memset(counts, 0, HALVES * sizeof(*counts));
	for (int i = 0; !r && i < e.e_phnum; i++) {
		Elf64_Phdr p;

		r = read_all(fd, &p, sizeof(p), e.e_phoff + (uint64_t)i * sizeof(p));
		if (r || p.p_type != PT_LOAD || p.p_paddr == (Elf64_Addr)-1 || p.p_vaddr >= 0xffffffff80000000ull)
			continue;
		for (uint64_t at = 0; at < p.p_filesz; at += sizeof(piece)) {
			const uint64_t left = p.p_filesz - at;
			ssize_t n = pread(fd, piece, left < sizeof(piece) ? left : sizeof(piece),
					  (off_t)(p.p_offset + at));

			/* or it would be found here again */
			if (n > 0 && count_in(k, piece, (size_t)n, counts))
				memset(piece, 0, sizeof(piece));
		}
	}
	/* what was read last must not be found in the next search */
	memset(piece, 0, sizeof(piece));
	if (fd >= 0)
		close(fd);
	return r;
}

/* while it is loaded the cipher's copy is there, so the search works; wiped, nothing is */
TEST_F_TIMEOUT(residue, nothing_stays_in_memory, 120)
{
	struct masked *k = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int counts[HALVES];
	struct disk disk;
	struct line l = { .length = 2048, .uuid = k->text };
	unsigned int minor;
	char table[256];

	ASSERT_EQ(0, loop_new(&disk, MIB, 512, 0));
	ASSERT_EQ(0, in_child(load_and_forget, k));
	l.device = disk.node;
	line_print(&l, table, sizeof(table));
	ASSERT_EQ(0, dm_make("vt-residue", table, 0, &minor));
	ASSERT_EQ(0, count_in_memory(k, counts));
	/* the cipher's own copy, or the search would prove nothing */
	for (int i = 0; i < HALVES; i++) {
		EXPECT_LE(1, counts[i])
			TH_LOG("the schedule of half %d of the key", i);
	}
	ASSERT_EQ(0, key_wipe(&self->nl, k->uuid, WIPE_FORCE));
	ASSERT_EQ(0, key_wait(&self->nl, k->uuid, KEY_LOCKED, 5000));
	ASSERT_EQ(0, count_in_memory(k, counts));
	for (int i = 0; i < HALVES; i++) {
		EXPECT_EQ(0, counts[i])
			TH_LOG("the schedule of half %d of the key", i);
	}
	ASSERT_EQ(0, dm_remove("vt-residue"));
	disk_free(&disk);
}

TEST_HARNESS_MAIN
