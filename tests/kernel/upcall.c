// SPDX-License-Identifier: LGPL-2.1-or-later
/* A constructor that asks for its key: who answers, with what, or not at all. */
#include <linux/netlink.h>
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(1 * MIB)

FIXTURE(upcall) {
	struct nl nl;
	struct nl agent;
	struct disk disk;
	struct dek dek;
	char table[256];
	int kmsg;
};

FIXTURE_SETUP(upcall)
{
	struct line l = { .length = SIZE / SECTOR, .uuid = self->dek.text };

	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, SIZE, 512, 0));
	dek_random(&self->dek, 64);
	l.device = self->disk.node;
	line_print(&l, self->table, sizeof(self->table));
	ASSERT_EQ(0, nl_open(&self->agent));
	self->kmsg = kmsg_open();
}

FIXTURE_TEARDOWN(upcall)
{
	/* a constructor that a failed test left behind */
	key_reject(&self->nl, self->dek.uuid, REASON_INTERNAL);
	nl_close(&self->agent);
	close(self->kmsg);
	test_end(&self->nl);
	disk_free(&self->disk);
}

static int listen_now(FIXTURE_DATA(upcall) *self)
{
	return nl_join(&self->agent, self->agent.requests);
}

TEST_F(upcall, nobody_listens)
{
	const uint64_t began = now_ms();
	static struct answer a;
	unsigned int minor;

	ASSERT_EQ(-ENOKEY, dm_make("vt-up", self->table, 0, &minor));
	ASSERT_GT(2000, now_ms() - began);
	ASSERT_EQ(0, request_count(&self->nl, &a));
	ASSERT_TRUE(kmsg_find(self->kmsg, "vmcrypt: "));
}

/* a listener of the other group is no agent */
TEST_F(upcall, watcher_is_no_agent)
{
	unsigned int minor;

	ASSERT_EQ(0, nl_join(&self->agent, self->agent.events));
	ASSERT_EQ(-ENOKEY, dm_make("vt-up", self->table, 0, &minor));
}

TEST_F(upcall, answered)
{
	static struct answer a;
	uint8_t *p = buffer(4096), *q = buffer(4096);
	struct stat st;
	uint32_t id;
	pid_t pid;
	int fd;

	ASSERT_EQ(0, listen_now(self));
	ASSERT_EQ(0, stat(self->disk.node, &st));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(CMD_KEY_REQUEST, a.cmd);
	ASSERT_EQ(0, a.strange);
	ASSERT_TRUE(has_attr(&a, A_REQUEST_ID, 4));
	ASSERT_TRUE(has_attr(&a, A_DEK, UUID_LEN));
	EXPECT_EQ(0, memcmp(self->dek.uuid, a.attr[A_DEK].data, UUID_LEN));
	ASSERT_NE(NULL, a.attr[A_NAME].data);
	EXPECT_STREQ("vt-up", (const char *)a.attr[A_NAME].data);
	EXPECT_EQ(major(st.st_rdev), get_u32(&a, A_MAJOR));
	EXPECT_EQ(minor(st.st_rdev), get_u32(&a, A_MINOR));
	id = get_u32(&a, A_REQUEST_ID);
	ASSERT_EQ(-ETIME, async_wait(pid, 200));
	/* the same is there for an agent that asks */
	ASSERT_EQ(1, request_count(&self->nl, &a));
	EXPECT_EQ(CMD_KEY_REQUEST, a.cmd);
	EXPECT_EQ(id, get_u32(&a, A_REQUEST_ID));
	EXPECT_EQ(0, memcmp(self->dek.uuid, a.attr[A_DEK].data, UUID_LEN));
	EXPECT_STREQ("vt-up", (const char *)a.attr[A_NAME].data);
	EXPECT_EQ(major(st.st_rdev), get_u32(&a, A_MAJOR));
	EXPECT_EQ(minor(st.st_rdev), get_u32(&a, A_MINOR));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
	ASSERT_EQ(0, request_count(&self->nl, &a));
	ASSERT_EQ(0, disk_get(&self->nl, "vt-up", &a));
	fd = dm_open(get_u32(&a, A_MINOR), O_RDWR | O_DIRECT);
	fill(p, 4096, 1);
	ASSERT_EQ(0, write_all(fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(self->disk.raw, q, 4096, 0));
	ASSERT_EQ(0, xts(&self->dek, false, 0, 1, 512, q, q, 4096));
	ASSERT_EQ(0, memcmp(p, q, 4096));
	close(fd);
}

/* the reason comes out in words, in device-mapper's line of the log */
TEST_F(upcall, rejected)
{
	static const struct { uint32_t reason; const char *words; } reasons[] = {
		{ REASON_NO_HEADER, "header" }, { REASON_UNAVAILABLE, "unavailable" },
		{ REASON_NOT_ALLOWED, "not allowed" }, { REASON_LOCKED, "administrator" },
		{ REASON_HEADER_DAMAGED, "damaged" }, { REASON_INTERNAL, "internal" },
	};
	static struct answer a;

	ASSERT_EQ(0, listen_now(self));
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		pid_t pid = dm_make_async("vt-up", self->table);

		ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
		ASSERT_EQ(0, key_reject(&self->nl, self->dek.uuid, reasons[i].reason));
		ASSERT_EQ(-EKEYREJECTED, async_wait(pid, 5000));
		EXPECT_TRUE(kmsg_find(self->kmsg, reasons[i].words));
		ASSERT_EQ(0, request_count(&self->nl, &a));
		ASSERT_EQ(-ENOENT, key_reject(&self->nl, self->dek.uuid, reasons[i].reason));
	}
}

TEST_F(upcall, wrong_key_does_not_answer)
{
	static struct answer a;
	struct dek other;
	pid_t pid;

	ASSERT_EQ(0, listen_now(self));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	dek_random(&other, 64);
	ASSERT_EQ(-EKEYREJECTED, key_set_as(&self->nl, &other, self->dek.uuid));
	ASSERT_EQ(0, key_set(&self->nl, &other));
	ASSERT_EQ(-ETIME, async_wait(pid, 300));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
}

TEST_F(upcall, timed_out)
{
	static struct answer a;
	uint64_t began;
	unsigned int minor;

	nl_close(&self->nl);
	nl_close(&self->agent);
	ASSERT_EQ(0, module_reload("request_timeout_ms=700"));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, nl_open(&self->agent));
	ASSERT_EQ(0, listen_now(self));
	began = now_ms();
	ASSERT_EQ(-ETIMEDOUT, dm_make("vt-up", self->table, 0, &minor));
	ASSERT_LE(650, now_ms() - began);
	ASSERT_GT(4000, now_ms() - began);
	ASSERT_EQ(0, request_count(&self->nl, &a));
	ASSERT_TRUE(kmsg_find(self->kmsg, "vmcrypt: "));
	/* an answer that comes too late finds nobody, and does no harm */
	ASSERT_EQ(-ENOENT, key_reject(&self->nl, self->dek.uuid, REASON_INTERNAL));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, dm_make("vt-up", self->table, 0, &minor));
}

TEST_F(upcall, killed)
{
	static struct answer a;
	pid_t pid;

	ASSERT_EQ(0, listen_now(self));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(-ECANCELED, async_wait(pid, 5000));
	ASSERT_EQ(0, request_count(&self->nl, &a));
	ASSERT_TRUE(kmsg_find(self->kmsg, "Key request interrupted: the process was killed"));
	/* the next one asks anew */
	ASSERT_EQ(0, dm_remove("vt-up"));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
}

static void ignore(int sig)
{
	(void)sig;
}

/* only a signal that kills ends the wait */
TEST_F(upcall, other_signals_do_not_end_it)
{
	static struct answer a;
	pid_t pid;

	signal(SIGUSR1, ignore);
	ASSERT_EQ(0, listen_now(self));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_EQ(-ETIME, async_wait(pid, 300));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
}

/* the agent goes between request and answer; another one takes over */
TEST_F(upcall, agent_dies_and_another_comes)
{
	static struct answer a;
	struct nl other;
	uint32_t id;
	pid_t pid;

	ASSERT_EQ(0, listen_now(self));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	id = get_u32(&a, A_REQUEST_ID);
	nl_close(&self->agent);
	ASSERT_EQ(-ETIME, async_wait(pid, 300));
	ASSERT_EQ(0, nl_open(&other));
	ASSERT_EQ(0, nl_join(&other, other.requests));
	ASSERT_EQ(1, request_count(&other, &a));
	ASSERT_EQ(id, get_u32(&a, A_REQUEST_ID));
	ASSERT_EQ(0, key_set(&other, &self->dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
	nl_close(&other);
}

/* two constructors, one key: one request, and both go on */
TEST_F(upcall, two_wait_for_one_key)
{
	static struct answer a;
	pid_t one, two;

	ASSERT_EQ(0, listen_now(self));
	one = dm_make_async("vt-one", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	two = dm_make_async("vt-two", self->table);
	ASSERT_EQ(-ETIME, nl_event(&self->agent, 500, &a));
	ASSERT_EQ(1, request_count(&self->nl, &a));
	ASSERT_EQ(-ETIME, async_wait(two, 10));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(one, 5000));
	ASSERT_EQ(0, async_wait(two, 5000));
	ASSERT_EQ(2, key_targets(&self->nl, self->dek.uuid));
}

TEST_F(upcall, two_are_rejected)
{
	static struct answer a;
	pid_t one, two;

	ASSERT_EQ(0, listen_now(self));
	one = dm_make_async("vt-one", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	two = dm_make_async("vt-two", self->table);
	ASSERT_EQ(-ETIME, nl_event(&self->agent, 300, &a));
	ASSERT_EQ(0, key_reject(&self->nl, self->dek.uuid, REASON_UNAVAILABLE));
	ASSERT_EQ(-EKEYREJECTED, async_wait(one, 5000));
	ASSERT_EQ(-EKEYREJECTED, async_wait(two, 5000));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->dek.uuid));
}

/* the first one is killed: the second one's request lives on */
TEST_F(upcall, first_of_two_is_killed)
{
	static struct answer a;
	pid_t one, two;

	ASSERT_EQ(0, listen_now(self));
	one = dm_make_async("vt-one", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	two = dm_make_async("vt-two", self->table);
	ASSERT_EQ(-ETIME, nl_event(&self->agent, 300, &a));
	ASSERT_EQ(0, kill(one, SIGKILL));
	ASSERT_EQ(-ECANCELED, async_wait(one, 5000));
	ASSERT_EQ(1, request_count(&self->nl, &a));
	ASSERT_EQ(-ETIME, async_wait(two, 100));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(two, 5000));
}

static pid_t remove_in_child(const char *name)
{
	pid_t pid = fork();

	if (!pid)
		_exit(-dm_remove(name));
	return pid;
}

/* `dmsetup remove` while the constructor waits */
TEST_F(upcall, removed_meanwhile)
{
	static struct answer a;
	pid_t make, gone;

	ASSERT_EQ(0, listen_now(self));
	make = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	gone = remove_in_child("vt-up");
	sleep_ms(300);
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	async_wait(gone, 5000);
	ASSERT_NE(-ETIME, async_wait(make, 5000));
	dm_remove("vt-up");
	/* the key was given to a table that is gone: it is nobody's, and can be wiped */
	key_wipe(&self->nl, self->dek.uuid, 0);
	ASSERT_EQ(0, key_wait(&self->nl, self->dek.uuid, KEY_ABSENT, 5000));
	ASSERT_EQ(0, request_count(&self->nl, &a));
}

TEST_F(upcall, unload_is_refused_while_pending)
{
	static struct answer a;
	pid_t pid;

	ASSERT_EQ(0, listen_now(self));
	pid = dm_make_async("vt-up", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_GT(0, module_unload());
	ASSERT_TRUE(module_loaded());
	ASSERT_EQ(0, key_reject(&self->nl, self->dek.uuid, REASON_INTERNAL));
	ASSERT_EQ(-EKEYREJECTED, async_wait(pid, 5000));
}

/* a bad line asks nobody */
TEST_F(upcall, bad_line_sends_no_request)
{
	static struct answer a;
	unsigned int minor;
	char table[512];

	ASSERT_EQ(0, listen_now(self));
	snprintf(table, sizeof(table), "%s 1 no_such_option", self->table);
	ASSERT_EQ(-EINVAL, dm_make("vt-up", table, 0, &minor));
	ASSERT_EQ(-ETIME, nl_event(&self->agent, 200, &a));
}

/* a locked disk's key is asked for by a second table, and one answer serves both */
TEST_F(upcall, locked_key_is_asked_for)
{
	static struct answer a;
	unsigned int minor;
	struct status s;
	pid_t pid;

	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, dm_make("vt-one", self->table, 0, &minor));
	ASSERT_EQ(0, key_wipe(&self->nl, self->dek.uuid, WIPE_FORCE));
	ASSERT_EQ(0, key_wait(&self->nl, self->dek.uuid, KEY_LOCKED, 5000));
	ASSERT_EQ(0, listen_now(self));
	pid = dm_make_async("vt-two", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(0, key_reject(&self->nl, self->dek.uuid, REASON_LOCKED));
	ASSERT_EQ(-EKEYREJECTED, async_wait(pid, 5000));
	ASSERT_EQ(KEY_LOCKED, key_state(&self->nl, self->dek.uuid));
	pid = dm_make_async("vt-two", self->table);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
	ASSERT_EQ(0, dm_counters("vt-one", &s));
	ASSERT_STREQ("loaded", s.state);
	ASSERT_EQ(2, key_targets(&self->nl, self->dek.uuid));
}

TEST_HARNESS_MAIN
