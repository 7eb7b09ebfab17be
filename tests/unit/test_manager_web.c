// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who may connect to the manager how often. */
#include "web_fixture.h"

#include "common/encode.h"
#include "manager/web_peers.h"

#define MAX 3

/* Until a place is free: the thread that serves learns of an end when it comes to it. */
static void dial_until_admitted(struct connection *c, const char *from)
{
	int64_t end = time_monotonic_ms() + 30000;

	while (!try_dial(c, from)) {
		hang_up(c);
		assert_true(time_monotonic_ms() < end);
	}
}

static void one_address_has_so_many(void **state)
{
	struct connection kept[MAX], other, more;
	int i, k;

	(void) state;
	start_web(MAX);
	for (i = 0; i < MAX; i++)
		assert_true(try_dial(&kept[i], "127.0.0.1"));
	for (k = 0; k < 3; k++) {
		assert_false(try_dial(&more, "127.0.0.1"));
		hang_up(&more);
		/* Neither those who are there nor other addresses notice. */
		assert_true(try_dial(&other, "127.0.0.2"));
		ask(&other);
		hang_up(&other);
		ask(&kept[k]);
		/* One that ends makes room for one. */
		hang_up(&kept[k]);
		dial_until_admitted(&kept[k], "127.0.0.1");
		ask(&kept[k]);
	}
	for (i = 0; i < MAX; i++)
		hang_up(&kept[i]);
	stop_web();
}

/* What is admitted, of both families, with no server in between. */
static int pair(int family, const char *from, int *ret_client)
{
	struct sockaddr_storage address = { .ss_family = (sa_family_t) family };
	struct sockaddr_in6 *six = (struct sockaddr_in6 *) &address;
	struct sockaddr_in *four = (struct sockaddr_in *) &address;
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	socklen_t size = sizeof(address);

	assert_int_equal(inet_pton(family, from, family == AF_INET6 ? (void *) &six->sin6_addr :
				   (void *) &four->sin_addr), 1);
	assert_int_equal(bind(listener, (struct sockaddr *) &address, family == AF_INET6 ? sizeof(*six) :
			      sizeof(*four)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &size), 0);
	*ret_client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*ret_client, (struct sockaddr *) &address, size), 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

static void both_families(void **state)
{
	struct web_peers *peers = web_peers_new(2), *any = web_peers_new(0);
	int fds[6], clients[6], i;

	(void) state;
	for (i = 0; i < 3; i++)
		fds[i] = pair(AF_INET, "127.0.0.1", &clients[i]);
	for (; i < 6; i++)
		fds[i] = pair(AF_INET6, "::1", &clients[i]);
	assert_true(web_peers_admit(peers, fds[0]));
	assert_true(web_peers_admit(peers, fds[3]));
	assert_true(web_peers_admit(peers, fds[1]));
	assert_true(web_peers_admit(peers, fds[4]));
	assert_false(web_peers_admit(peers, fds[2]));
	assert_false(web_peers_admit(peers, fds[5]));
	/* Asked twice it is the same connection; closed it is none. */
	assert_true(web_peers_admit(peers, fds[1]));
	close(fds[0]);
	assert_true(web_peers_admit(peers, fds[2]));
	assert_false(web_peers_admit(peers, fds[5]));
	assert_false(web_peers_admit(peers, fds[0]));
	assert_false(web_peers_admit(peers, -1));
	for (i = 1; i < 6; i++)
		assert_true(web_peers_admit(any, fds[i]));
	for (i = 0; i < 6; i++) {
		close(clients[i]);
		if (i)
			close(fds[i]);
	}
	web_peers_free(peers);
	web_peers_free(any);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_has_so_many),
		cmocka_unit_test(both_families),
	};

	return cmocka_run_group_tests(tests, make_manager, free_manager);
}
