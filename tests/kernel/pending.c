// SPDX-License-Identifier: LGPL-2.1-or-later
/* Many requests at one time: their bound, their list, and each one's own answer. */
#include <linux/netlink.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "lib.h"

#define MORE	3

FIXTURE(pending) {
	struct nl nl;
	struct nl agent;
	struct disk disk;
	struct dek *dek;
	pid_t *pid;
};

FIXTURE_SETUP(pending)
{
	const int size = 4 << 20;

	ASSERT_EQ(0, test_begin(&self->nl));
	/* none of so many may end while a slow machine is still making the rest */
	ASSERT_EQ(0, file_write("/sys/module/dm_vmcrypt/parameters/request_timeout_ms", "600000"));
	ASSERT_EQ(0, loop_new(&self->disk, MIB, 512, 0));
	ASSERT_EQ(0, nl_open(&self->agent));
	ASSERT_EQ(0, setsockopt(self->agent.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, nl_join(&self->agent, self->agent.requests));
	self->dek = calloc(REQUESTS_MAX + MORE, sizeof(*self->dek));
	self->pid = calloc(REQUESTS_MAX + MORE, sizeof(*self->pid));
	for (int i = 0; i < REQUESTS_MAX + MORE; i++)
		dek_random(&self->dek[i], 64);
}

FIXTURE_TEARDOWN(pending)
{
	for (int i = 0; i < REQUESTS_MAX + MORE; i++) {
		if (self->pid[i] > 0)
			kill(self->pid[i], SIGKILL);
	}
	nl_close(&self->agent);
	test_end(&self->nl);
	disk_free(&self->disk);
}

static void start(FIXTURE_DATA(pending) *self, int i)
{
	char table[256], name[32];
	const struct line l = { .length = 8, .uuid = self->dek[i].text, .device = self->disk.node };

	line_print(&l, table, sizeof(table));
	snprintf(name, sizeof(name), "vt-pending-%d", i);
	self->pid[i] = dm_make_async(name, table);
}

static void mark(const struct answer *a, void *arg)
{
	FIXTURE_DATA(pending) *self = arg;

	for (int i = 0; i < REQUESTS_MAX; i++)
		if (has_attr(a, A_DEK, UUID_LEN) && !memcmp(self->dek[i].uuid, a->attr[A_DEK].data, UUID_LEN))
			self->dek[i].text[0] = '!';
}

TEST_F_TIMEOUT(pending, bounded, 120)
{
	static struct answer a;
	struct msg m;

	for (int i = 0; i < REQUESTS_MAX; i++)
		start(self, i);
	for (int i = 0; i < REQUESTS_MAX; i++) {
		ASSERT_EQ(0, nl_event(&self->agent, 30000, &a))
			TH_LOG("request %d", i);
	}
	ASSERT_EQ(REQUESTS_MAX, request_count(&self->nl, &a));
	for (int i = REQUESTS_MAX; i < REQUESTS_MAX + MORE; i++) {
		start(self, i);
		ASSERT_EQ(-EAGAIN, async_wait(self->pid[i], 5000));
		self->pid[i] = 0;
	}
	/* every one of them is in the list, so that a new agent finds it */
	msg_begin(&self->nl, &m, CMD_REQUEST_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_dump(&self->nl, &m, &a, mark, self));
	for (int i = 0; i < REQUESTS_MAX; i++)
		ASSERT_EQ('!', self->dek[i].text[0]);
	/* one answered makes room for one */
	ASSERT_EQ(0, key_set(&self->nl, &self->dek[7]));
	ASSERT_EQ(0, async_wait(self->pid[7], 5000));
	self->pid[7] = 0;
	ASSERT_EQ(REQUESTS_MAX - 1, request_count(&self->nl, &a));
	ASSERT_EQ(-ETIME, async_wait(self->pid[8], 50));
	start(self, REQUESTS_MAX);
	ASSERT_EQ(0, nl_event(&self->agent, 5000, &a));
	ASSERT_EQ(REQUESTS_MAX, request_count(&self->nl, &a));
	for (int i = 0; i <= REQUESTS_MAX; i++) {
		if (i == 7)
			continue;
		ASSERT_EQ(0, key_reject(&self->nl, self->dek[i].uuid, REASON_INTERNAL));
	}
	for (int i = 0; i <= REQUESTS_MAX; i++) {
		if (i == 7)
			continue;
		ASSERT_EQ(-EKEYREJECTED, async_wait(self->pid[i], 10000));
		self->pid[i] = 0;
	}
	ASSERT_EQ(0, request_count(&self->nl, &a));
}

/* each answer is for its own key */
TEST_F(pending, answers_do_not_mix)
{
	static struct answer a;

	for (int i = 0; i < 6; i++)
		start(self, i);
	for (int i = 0; i < 6; i++)
		ASSERT_EQ(0, nl_event(&self->agent, 10000, &a));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek[0]));
	ASSERT_EQ(0, key_reject(&self->nl, self->dek[1].uuid, REASON_LOCKED));
	ASSERT_EQ(0, kill(self->pid[2], SIGKILL));
	ASSERT_EQ(0, async_wait(self->pid[0], 5000));
	ASSERT_EQ(-EKEYREJECTED, async_wait(self->pid[1], 5000));
	ASSERT_EQ(-ECANCELED, async_wait(self->pid[2], 5000));
	ASSERT_EQ(3, request_count(&self->nl, &a));
	for (int i = 3; i < 6; i++) {
		ASSERT_EQ(-ETIME, async_wait(self->pid[i], 20));
		ASSERT_EQ(0, key_set(&self->nl, &self->dek[i]));
		ASSERT_EQ(0, async_wait(self->pid[i], 5000));
	}
	memset(self->pid, 0, 6 * sizeof(*self->pid));
}

/* a notification that the agent's buffer could not take is found by the list */
TEST_F(pending, overrun_agent_finds_them)
{
	static struct answer a;
	const int tiny = 2048;
	uint8_t buf[8192];
	bool overrun = false;

	/* messages that came before count too: a socket of its own */
	nl_close(&self->agent);
	ASSERT_EQ(0, nl_open(&self->agent));
	ASSERT_EQ(0, setsockopt(self->agent.fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)));
	ASSERT_EQ(0, nl_join(&self->agent, self->agent.requests));
	for (int i = 0; i < 24; i++)
		start(self, i);
	for (int i = 0; i < 200 && request_count(&self->nl, &a) < 24; i++)
		sleep_ms(20);
	ASSERT_EQ(24, request_count(&self->nl, &a));
	for (int i = 0; i < 30 && !overrun; i++)
		overrun = recv(self->agent.fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno == ENOBUFS;
	ASSERT_TRUE(overrun);
	for (int i = 0; i < 24; i++)
		ASSERT_EQ(0, key_set(&self->nl, &self->dek[i]));
	for (int i = 0; i < 24; i++) {
		ASSERT_EQ(0, async_wait(self->pid[i], 5000));
		self->pid[i] = 0;
	}
}

TEST_HARNESS_MAIN
