/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What wakes a thread that waits for a descriptor. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>

#include "common/wakeup.h"

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void is_set_and_cleared(void **state)
{
	int fd = wakeup_new();

	(void) state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_false(is_readable(fd));
	assert_int_equal(wakeup_clear(fd), 0);
	wakeup_set(fd);
	wakeup_set(fd);
	assert_true(is_readable(fd));
	assert_int_equal(wakeup_clear(fd), 0);
	assert_false(is_readable(fd));
	close(fd);
	assert_int_equal(wakeup_clear(-1), -EBADF);
}

/* Nobody reads, and nobody who wakes waits for that. */
static void is_set_when_it_is_full(void **state)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd = wakeup_new();

	(void) state;
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	wakeup_set(fd);
	assert_true(is_readable(fd));
	assert_int_equal(wakeup_clear(fd), 0);
	assert_false(is_readable(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_set_and_cleared),
		cmocka_unit_test(is_set_when_it_is_full),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
