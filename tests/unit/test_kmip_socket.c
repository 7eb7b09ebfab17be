// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names and connections with a deadline, against a name server that does not
 * answer until it is told to: in a network and a mount namespace of their own.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "kmip/resolve.h"
#include "kmip/socket.h"
#include "kmip/stream.h"

#define NAME "kms.vmcrypt.test."
#define TWO_NAME "two.vmcrypt.test"
#define FILL 4		/* connections that nobody accepts: more than a backlog of none takes */
#define SLOW_S 60	/* what the C library alone would wait */

struct silent {
	int fd;
	char dir[64];
};

/* What the C library reads becomes ours, if it is there at all. */
static void replace_file(const char *path, const char *dir, const char *name, const char *text)
{
	const char *ours = unit_path(dir, name);
	int fd = open(ours, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	if (access(path, F_OK) == 0)
		assert_int_equal(mount(ours, path, NULL, MS_BIND, NULL), 0);
}

static void loopback_up(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

static int silent_server(void **state)
{
	static struct silent silent;
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = { htonl(INADDR_LOOPBACK) },
	};

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0) {
		print_message("# the tests of the name service need root: unshare(2) says %s\n", strerror(errno));
		return -1;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		print_message("# they need a root that is a mount point, as that of a bare chroot is not: mount(2) says %s\n",
			      strerror(errno));
		return -1;
	}
	loopback_up();
	unit_make_dir(silent.dir);
	replace_file("/etc/resolv.conf", silent.dir, "resolv.conf",
		     "nameserver 127.0.0.1\noptions timeout:30 attempts:2\n");
	replace_file("/etc/hosts", silent.dir, "hosts", "127.0.0.2 " TWO_NAME "\n127.0.0.3 " TWO_NAME "\n");
	replace_file("/etc/nsswitch.conf", silent.dir, "nsswitch.conf", "hosts: files dns\n");
	silent.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(silent.fd, (const struct sockaddr *) &address, sizeof(address)), 0);
	*state = &silent;
	return unit_setup(NULL);
}

static int silent_done(void **state)
{
	struct silent *silent = *state;

	if (!silent)
		return 0;
	close(silent->fd);
	umount2("/etc/resolv.conf", MNT_DETACH);
	umount2("/etc/nsswitch.conf", MNT_DETACH);
	umount2("/etc/hosts", MNT_DETACH);
	unit_remove_dir(silent->dir);
	return 0;
}

/* Each question is answered: there is no such name. Ends with one that is none. */
static void *answer_all(void *arg)
{
	const struct silent *silent = arg;
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	uint8_t packet[512];
	ssize_t n;

	while ((n = recvfrom(silent->fd, packet, sizeof(packet), 0, (struct sockaddr *) &from, &size)) > 12) {
		packet[2] |= 0x80;
		packet[3] = (uint8_t) ((packet[3] & 0xf0) | 3);
		if (sendto(silent->fd, packet, (size_t) n, 0, (struct sockaddr *) &from, size) != n)
			break;
	}
	return NULL;
}

static void ask_nothing(void)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(sendto(fd, "", 1, 0, (const struct sockaddr *) &address, sizeof(address)), 1);
	close(fd);
}

static int look_up(unsigned int ms, struct error *e)
{
	int fd, r;

	*e = ERROR_NULL;
	r = kmip_socket_connect(NAME, 5696, kmip_deadline(ms), &fd, e);
	assert_true(r < 0);
	assert_int_equal(e->status, EXIT_NO_KEY);
	return r;
}

static void gives_up_in_time(void **state)
{
	int64_t before = kmip_deadline(0);
	struct error e;

	(void) state;
	assert_int_equal(look_up(100, &e), -ETIMEDOUT);
	assert_true(kmip_deadline(0) - before < SLOW_S * 1000 / 2);
	unit_speaks(&e, "key server " NAME ": the name service did not answer in time");
}

/* No more threads than so many, and none that is lost for ever. */
static void bounded_and_recovers(void **state)
{
	struct silent *silent = *state;
	int64_t end = kmip_deadline(SLOW_S * 1000);
	pthread_t thread;
	struct error e;
	int i, r;

	for (i = 0; (r = look_up(1, &e)) == -ETIMEDOUT; i++)
		assert_true(i < KMIP_LOOKUPS_MAX);
	assert_int_equal(r, -EAGAIN);
	unit_speaks(&e, "look-ups before it have not ended");
	assert_int_equal(i, KMIP_LOOKUPS_MAX - 1);

	assert_int_equal(pthread_create(&thread, NULL, answer_all, silent), 0);
	while ((r = look_up(SLOW_S * 1000, &e)) != -EHOSTUNREACH) {
		assert_int_equal(r, -EAGAIN);
		assert_true(kmip_deadline(0) < end);
		usleep(1000);
	}
	unit_speaks(&e, "check the name");
	/* A packet too short for a question ends the thread. */
	ask_nothing();
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Listens at an address of loopback, at @port or at any */
static int listen_at(uint32_t address, uint16_t port, int backlog, uint16_t *ret_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(address) } };
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *) &in, size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &in, &size), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* As a machine that is off: with no room for one more, the kernel answers nobody. */
static void fill(uint32_t address, uint16_t port, int fds[FILL])
{
	const struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(address) } };
	size_t i;

	for (i = 0; i < FILL; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void) connect(fds[i], (const struct sockaddr *) &in, sizeof(in));
	}
}

static uint32_t address_of(const struct addrinfo *address)
{
	assert_non_null(address);
	assert_int_equal(address->ai_family, AF_INET);
	return ntohl(((const struct sockaddr_in *) address->ai_addr)->sin_addr.s_addr);
}

/* The first of two addresses is dead, the second one is where the server is. */
static void dead_address_leaves_time(void **state)
{
	struct addrinfo *addresses = NULL;
	int listeners[2], fds[FILL], fd = -1;
	uint32_t dead, alive;
	struct error e = ERROR_NULL;
	uint16_t port, same;
	size_t i;

	(void) state;
	must(kmip_resolve(TWO_NAME, 1, kmip_deadline(SLOW_S * 1000), &addresses, &e));
	dead = address_of(addresses);
	alive = address_of(addresses->ai_next);
	assert_null(addresses->ai_next->ai_next);
	freeaddrinfo(addresses);
	listeners[0] = listen_at(dead, 0, /* backlog= */ 0, &port);
	listeners[1] = listen_at(alive, port, /* backlog= */ 8, &same);
	fill(dead, port, fds);
	must(kmip_socket_connect(TWO_NAME, port, kmip_deadline(4000), &fd, &e));
	close(fd);
	for (i = 0; i < FILL; i++)
		close(fds[i]);
	close(listeners[0]);
	close(listeners[1]);
}

static int option_of(int fd, int level, int option)
{
	socklen_t size = sizeof(int);
	int value = 0;

	assert_int_equal(getsockopt(fd, level, option, &value, &size), 0);
	return value;
}

/* A connection that is kept, and whose server is gone, is noticed within a minute. */
static void idle_connections_are_watched(void **state)
{
	int listener, fd = -1, idle, more;
	struct error e = ERROR_NULL;
	uint16_t port;

	(void) state;
	listener = listen_at(INADDR_LOOPBACK, 0, /* backlog= */ 8, &port);
	must(kmip_socket_connect("127.0.0.1", port, kmip_deadline(SLOW_S * 1000), &fd, &e));
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	idle = option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	more = option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option_of(fd, IPPROTO_TCP, TCP_KEEPCNT);
	assert_in_range(idle + more, 10, 60);
	close(fd);
	close(listener);
}

/* An address asks nobody, whatever the name service does. */
static void address_needs_no_service(void **state)
{
	struct addrinfo *addresses = NULL;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kmip_resolve("::1", 5696, /* deadline= */ 0, &addresses, &e), 0);
	assert_int_equal(addresses->ai_family, AF_INET6);
	freeaddrinfo(addresses);
	assert_int_equal(kmip_resolve("192.0.2.1", 5696, /* deadline= */ 0, &addresses, &e), 0);
	assert_int_equal(((struct sockaddr_in *) addresses->ai_addr)->sin_port, htons(5696));
	freeaddrinfo(addresses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_needs_no_service),
		cmocka_unit_test(dead_address_leaves_time),
		cmocka_unit_test(idle_connections_are_watched),
		cmocka_unit_test(gives_up_in_time),
		cmocka_unit_test(bounded_and_recovers),
	};

	return cmocka_run_group_tests(tests, silent_server, silent_done);
}
