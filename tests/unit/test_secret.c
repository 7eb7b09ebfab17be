// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/harden.h"
#include "common/log.h"
#include "vmcrypt.h"

/* cmocka runs tests in order; this one comes before the heap is there. */
static void no_secret_without_a_heap(void **state)
{
	struct secret s = SECRET_NULL;

	(void) state;
	assert_int_equal(secret_new(16, &s), -ENOMEM);
	assert_null(s.data);
	assert_int_equal(secret_init(), 0);
	assert_int_equal(secret_init(), 0);
}

static void lives_in_the_secure_heap(void **state)
{
	struct secret s = SECRET_NULL, t;

	(void) state;
	assert_int_equal(secret_new(0, &s), -EINVAL);
	assert_int_equal(secret_new(SECRET_MAX + 1, &s), -EINVAL);
	assert_int_equal(secret_new(SECRET_MAX, &s), 0);
	secret_done(&s);
	assert_int_equal(secret_random(64, &s), 0);
	assert_true(CRYPTO_secure_allocated(s.data));
	t = secret_take(&s);
	assert_null(s.data);
	assert_int_equal(s.size, 0);
	assert_int_equal(t.size, 64);
	secret_done(&t);
	secret_done(&t);
	secret_done(NULL);
	assert_null(t.data);
	assert_int_equal(CRYPTO_secure_used(), 0);
}

static void grows_with_its_bytes(void **state)
{
	struct secret s = SECRET_NULL;
	size_t i;

	(void) state;
	assert_int_equal(secret_grow(&s, 16), 0);
	for (i = 0; i < 16; i++)
		s.data[i] = (uint8_t) (i + 1);
	assert_int_equal(secret_grow(&s, 5000), 0);
	assert_int_equal(s.size, 5000);
	for (i = 0; i < s.size; i++)
		assert_int_equal(s.data[i], i < 16 ? i + 1 : 0);
	/* What it cannot have it does not take. */
	assert_int_equal(secret_grow(&s, SECRET_MAX + 1), -EINVAL);
	assert_int_equal(s.size, 5000);
	assert_int_equal(s.data[15], 16);
	secret_done(&s);
	assert_int_equal(CRYPTO_secure_used(), 0);
}

static void a_full_heap_fails(void **state)
{
	struct secret s[8] = { 0 };
	size_t i, made = 0;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(s); i++)
		if (secret_new(SECRET_MAX, &s[i]) == 0)
			made++;
		else
			assert_null(s[i].data);
	assert_true(made >= 3 && made < ARRAY_SIZE(s));
	for (i = 0; i < ARRAY_SIZE(s); i++)
		secret_done(&s[i]);
	assert_int_equal(CRYPTO_secure_used(), 0);
}

static void erases_when_done(void **state)
{
	struct secret s = unit_secret("sixteen bytes...", 16);
	const uint8_t *was = s.data;

	(void) state;
	secret_shrink(&s, 20);
	assert_int_equal(s.size, 16);
	secret_shrink(&s, 8);
	assert_int_equal(s.size, 8);
	assert_memory_equal(s.data, "sixteen ", 8);
	assert_memory_equal(s.data + 8, "\0\0\0\0\0\0\0\0", 8);
	secret_done(&s);
	/* The arena stays mapped; its free list sits in the first bytes. */
	assert_null(memmem(was, 16, "sixteen", 7));
}

static void compares(void **state)
{
	_cleanup_secret_ struct secret a = unit_password("same"), b = unit_password("same"),
				       c = unit_password("sane"), d = unit_password("sam");
	struct secret none = SECRET_NULL;

	(void) state;
	assert_true(secret_equal(&a, &b));
	assert_false(secret_equal(&a, &c));
	assert_false(secret_equal(&a, &d));
	assert_false(secret_equal(&a, &none));
	assert_true(secret_equal(&none, &none));
}

static void errors_speak(void **state)
{
	struct error e = ERROR_NULL;
	char longer[600];

	(void) state;
	assert_false(error_is_set(&e));
	assert_false(error_is_set(NULL));
	assert_int_equal(error_prefix(&e, "x"), -EIO);
	assert_int_equal(error_prefix(NULL, "x"), -EIO);
	assert_false(error_is_set(&e));
	assert_int_equal(error_set(&e, 0, EXIT_FAILED, 0, "zero"), -EIO);
	assert_int_equal(error_set(&e, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE, "no \x1b[31m%s\n",
				   "key"), -ENOKEY);
	assert_string_equal(e.text, "no ?[31mkey?");
	assert_int_equal(e.status, EXIT_NO_KEY);
	assert_int_equal(e.reason, VMCRYPT_REASON_UNAVAILABLE);
	assert_int_equal(error_prefix(&e, "Cannot attach %s", "web1"), -ENOKEY);
	assert_string_equal(e.text, "Cannot attach web1: no ?[31mkey?");
	assert_int_equal(error_set(NULL, EPERM, EXIT_FAILED, 0, "x"), -EPERM);

	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	error_fail(&e, EIO, "%s", longer);
	assert_int_equal(strlen(e.text), ERROR_TEXT_SIZE - 1);
	error_prefix(&e, "%s", longer);
	assert_int_equal(strlen(e.text), ERROR_TEXT_SIZE - 1);
	error_fail(&e, EIO, "%s", "short");
	error_prefix(&e, "%.505s", longer);
	assert_int_equal(strlen(e.text), ERROR_TEXT_SIZE - 1);

	assert_string_equal(error_name(-ENOKEY), "ENOKEY");
	assert_string_equal(error_name(EPERM), "EPERM");
	assert_string_equal(error_name(99999), "EUNKNOWN");
	assert_string_equal(error_reason_text(0), "");
	assert_string_equal(error_reason_text(VMCRYPT_REASON_LOCKED), "locked by an administrator");
	assert_string_equal(error_reason_text(77), "");
}

/* In a child, for none of it can be taken back. Exits with the failed step. */
static int hardened_child(void)
{
	static const char *const allowed[] = {
		"exit_group", "exit", "write", "getppid", "execve", "no_such_system_call",
		/* what a sanitizer needs to end a process */
		"sigaltstack", "mmap", "munmap", NULL
	};
	char *const argv[] = { (char *) "true", NULL };
	struct error e = ERROR_NULL;
	struct rlimit core;

	if (harden_process(/* lock_memory= */ geteuid() == 0, &e) < 0)
		return 1;
	if (prctl(PR_GET_DUMPABLE) != 0)
		return 2;
	getrlimit(RLIMIT_CORE, &core);
	if (core.rlim_cur != 0 || core.rlim_max != 0)
		return 3;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 4;
	if (umask(0) != 077)
		return 5;
	if (harden_seccomp(allowed, &e) < 0)
		return 6;
	if (getppid() <= 0)
		return 7;
	if (open("/dev/null", O_RDONLY) != -1 || errno != EPERM)
		return 8;
	if (execv("/bin/true", argv) != -1 || errno != EPERM)
		return 9;
	return 0;
}

static void hardens(void **state)
{
	int status;
	pid_t pid = fork();

	(void) state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(hardened_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void logs_one_line_to_stderr(void **state)
{
	char line[256] = "";
	int fds[2], saved;

	(void) state;
	assert_int_equal(pipe(fds), 0);
	saved = dup(STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	log_init("unit");
	dup2(fds[1], STDERR_FILENO);
	errno = ENOKEY;
	log_error("disk %s: %m", "web1");
	log_debug("not at this level");
	dup2(saved, STDERR_FILENO);
	assert_int_equal(errno, ENOKEY);
	close(fds[1]);
	close(saved);
	assert_true(read(fds[0], line, sizeof(line) - 1) > 0);
	close(fds[0]);
	assert_string_equal(line, "unit: disk web1: Required key not available\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_secret_without_a_heap),
		cmocka_unit_test(lives_in_the_secure_heap),
		cmocka_unit_test(grows_with_its_bytes),
		cmocka_unit_test(a_full_heap_fails),
		cmocka_unit_test(erases_when_done),
		cmocka_unit_test(compares),
		cmocka_unit_test(errors_speak),
		cmocka_unit_test(hardens),
		cmocka_unit_test(logs_one_line_to_stderr),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
