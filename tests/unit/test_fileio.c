// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/fileio.h"

static char dir[64];

static void assert_holds(const char *path, const char *want)
{
	_cleanup_free_ char *text = NULL;
	struct error e = ERROR_NULL;
	size_t size;

	assert_int_equal(file_read_bounded(path, 1 << 20, &text, &size, &e), 0);
	assert_int_equal(size, strlen(want));
	assert_string_equal(text, want);
}

static void reads_up_to_the_bound(void **state)
{
	const char *path = unit_path(dir, "file");
	_cleanup_free_ char *text = NULL;
	struct error e = ERROR_NULL;
	char data[9000];
	size_t size;

	(void) state;
	memset(data, 'x', sizeof(data));
	unit_write(path, data, sizeof(data), 0600);
	assert_int_equal(file_read_bounded(path, 8999, &text, &size, &e), -EFBIG);
	unit_speaks(&e, "8999");
	assert_null(text);
	assert_int_equal(file_read_bounded(path, 9000, &text, &size, &e), 0);
	assert_int_equal(size, 9000);
	assert_int_equal(text[9000], 0);
	assert_int_equal(file_read_bounded(unit_path(dir, "no"), 1, &text, &size, &e), -ENOENT);
	assert_int_equal(file_read_bounded(dir, 1, &text, &size, &e), -EISDIR);
	assert_int_equal(mkfifo(unit_path(dir, "fifo"), 0600), 0);
	assert_int_equal(file_read_bounded(unit_path(dir, "fifo"), 1, &text, &size, &e), -EINVAL);
	assert_int_equal(unlink(unit_path(dir, "fifo")), 0);
}

static void replaces_whole_files(void **state)
{
	const char *path = unit_path(dir, "state");
	struct error e = ERROR_NULL;
	struct stat st;

	(void) state;
	umask(077);
	assert_int_equal(file_write_atomic(path, "old", 3, 0640, &e), 0);
	assert_holds(path, "old");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_write_atomic(path, "new content", 11, 0600, &e), 0);
	assert_holds(path, "new content");
	assert_int_equal(file_write_atomic(path, "", 0, 0600, &e), 0);
	assert_holds(path, "");
	assert_int_equal(unit_count(dir, ".tmp"), 0);
	assert_int_equal(file_write_atomic(unit_path(dir, "no/file"), "x", 1, 0600, &e), -ENOENT);
	assert_int_equal(file_write_atomic(unit_path(dir, ""), "x", 1, 0600, &e), -EISDIR);
	assert_int_equal(file_remove(path, &e), 0);
	assert_int_equal(file_remove(path, &e), -ENOENT);
}

/* What has the file open, or a link to it, sees zeroes. */
static void erases_files(void **state)
{
	static const char zeroes[5000];
	const char *path = unit_path(dir, "key"), *link_path = unit_path(dir, "link");
	_cleanup_free_ char *left = NULL;
	struct error e = ERROR_NULL;
	char data[5000];
	bool gone = false;
	size_t size;

	(void) state;
	memset(data, 'k', sizeof(data));
	assert_int_equal(file_write_atomic(path, data, sizeof(data), 0600, &e), 0);
	assert_int_equal(link(path, link_path), 0);
	assert_int_equal(file_erase(path, &gone, &e), 0);
	assert_true(gone);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(unit_count(dir, ".tmp"), 0);
	assert_int_equal(file_read_bounded(link_path, 9000, &left, &size, &e), 0);
	assert_true(size >= sizeof(data));
	assert_memory_equal(left, zeroes, sizeof(data));
	assert_int_equal(unlink(link_path), 0);

	gone = false;
	assert_int_equal(file_erase(path, &gone, &e), -ENOENT);
	assert_false(gone);
	unit_speaks(&e, "key");
}

static void assert_zeroes(const char *path, size_t want)
{
	_cleanup_free_ char *left = NULL, *zeroes = calloc(1, want);
	struct error e = ERROR_NULL;
	size_t size;

	assert_int_equal(file_read_bounded(path, 1 << 20, &left, &size, &e), 0);
	assert_int_equal(size, want);
	assert_memory_equal(left, zeroes, want);
}

/* Renaming over a file does not take away what it held. */
static void replaces_secrets(void **state)
{
	const char *path = unit_path(dir, "key"), *link_path = unit_path(dir, "link");
	struct error e = ERROR_NULL;
	struct stat st;

	(void) state;
	assert_int_equal(file_replace_secret(path, "first key", 9, 0600, &e), 0);
	assert_holds(path, "first key");
	assert_int_equal(link(path, link_path), 0);
	assert_int_equal(file_replace_secret(path, "the second one", 14, 0600, &e), 0);
	assert_holds(path, "the second one");
	assert_zeroes(link_path, 9);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(unlink(link_path), 0);

	/* What fails leaves the old one as it was. */
	assert_int_equal(file_replace_secret(dir, "x", 1, 0600, &e), -EISDIR);
	assert_int_equal(symlink(path, link_path), 0);
	assert_int_equal(file_replace_secret(link_path, "x", 1, 0600, &e), -ELOOP);
	assert_holds(path, "the second one");
	assert_int_equal(unlink(link_path), 0);

	/* What a crash has left. */
	assert_int_equal(link(path, link_path), 0);
	assert_int_equal(file_erase_rest(path, &e), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_zeroes(link_path, 14);
	assert_int_equal(unlink(link_path), 0);
	assert_int_equal(file_erase_rest(path, &e), -ENOENT);
	assert_int_equal(unit_count(dir, ".tmp"), 0);
}

/* Disk full: a file size limit fails the write just as ENOSPC does. */
static void keeps_the_old_file_when_writing_fails(void **state)
{
	const char *path = unit_path(dir, "state");
	struct rlimit before, small = { .rlim_cur = 100 };
	struct error e = ERROR_NULL;
	char data[1000] = "";

	(void) state;
	assert_int_equal(file_write_atomic(path, "old", 3, 0600, &e), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(file_write_atomic(path, data, sizeof(data), 0600, &e), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	unit_speaks(&e, path);
	assert_holds(path, "old");
	assert_int_equal(unit_count(dir, ".tmp"), 0);
}

static void keeps_the_old_file_on_a_full_disk(void **state)
{
	const char *full = unit_path(dir, "full"), *path = unit_path(dir, "full/state");
	_cleanup_free_ char *data = calloc(1, 1 << 20);
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(mkdir(full, 0700), 0);
	if (mount("tmpfs", full, "tmpfs", 0, "size=64k") < 0) {
		rmdir(full);
		print_message("no right to mount a tmpfs here: the file size limit stands for it\n");
		skip();
	}
	assert_int_equal(file_write_atomic(path, "old", 3, 0600, &e), 0);
	assert_int_equal(file_write_atomic(path, data, 1 << 20, 0600, &e), -ENOSPC);
	assert_holds(path, "old");
	assert_int_equal(unit_count(full, ".tmp"), 0);
	assert_int_equal(umount(full), 0);
	rmdir(full);
}

/*
 * Crash points: a child that writes is killed at some time; what is found then
 * is one of the two contents, whole.
 */
static void a_killed_writer_leaves_a_whole_file(void **state)
{
	enum { SIZE = 200000, ROUNDS = 40 };
	const char *path = unit_path(dir, "crash");
	_cleanup_free_ char *a = malloc(SIZE + 1), *b = malloc(SIZE + 1);
	struct error e = ERROR_NULL;
	int i;

	(void) state;
	memset(a, 'a', SIZE);
	memset(b, 'b', SIZE);
	a[SIZE] = b[SIZE] = '\0';
	assert_int_equal(file_write_atomic(path, a, SIZE, 0600, &e), 0);
	for (i = 0; i < ROUNDS; i++) {
		_cleanup_free_ char *text = NULL;
		size_t size;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			for (;;) {
				file_write_atomic(path, b, SIZE, 0600, NULL);
				file_write_atomic(path, a, SIZE, 0600, NULL);
			}
		usleep((useconds_t) (500 + i * 400));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_int_equal(file_read_bounded(path, SIZE, &text, &size, &e), 0);
		assert_int_equal(size, SIZE);
		assert_true(memcmp(text, a, SIZE) == 0 || memcmp(text, b, SIZE) == 0);
	}
	unlink(path);
}

static int feed(const void *data, size_t size)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], data, size), size);
	close(fds[1]);
	return fds[0];
}

static int password(const void *data, size_t size, struct secret *ret, struct error *e)
{
	_cleanup_close_ int fd = feed(data, size);

	*e = ERROR_NULL;
	return file_read_password(fd, "pipe", ret, e);
}

static void reads_secrets_from_descriptors(void **state)
{
	_cleanup_secret_ struct secret s = SECRET_NULL;
	struct error e = ERROR_NULL;
	int fd = feed("0123456789", 10);

	(void) state;
	assert_int_equal(file_read_secret(fd, "pipe", 9, &s, &e), -EFBIG);
	close(fd);
	assert_null(s.data);
	fd = feed("0123456789", 10);
	assert_int_equal(file_read_secret(fd, "pipe", 10, &s, &e), 0);
	close(fd);
	assert_int_equal(s.size, 10);
	secret_done(&s);
	fd = feed("", 0);
	assert_int_equal(file_read_secret(fd, "pipe", 10, &s, &e), -ENODATA);
	close(fd);
	assert_int_equal(file_read_secret(-1, "nothing", 10, &s, &e), -EBADF);
	unit_speaks(&e, "nothing");
}

static void reads_passwords(void **state)
{
	char longest[PASSWORD_MAX + 2];
	struct secret s = SECRET_NULL;
	struct error e;

	(void) state;
	assert_int_equal(password("word\n", 5, &s, &e), 0);
	assert_int_equal(s.size, 4);
	assert_memory_equal(s.data, "word", 4);
	secret_done(&s);
	assert_int_equal(password("word \n\n", 7, &s, &e), 0);
	assert_int_equal(s.size, 6);
	secret_done(&s);
	assert_int_equal(password("\n", 1, &s, &e), -EINVAL);
	unit_speaks(&e, "empty");
	assert_int_equal(password("", 0, &s, &e), -ENODATA);
	assert_int_equal(password("a\0b\n", 4, &s, &e), -EINVAL);
	unit_speaks(&e, "zero byte");

	memset(longest, 'x', sizeof(longest));
	assert_int_equal(password(longest, PASSWORD_MAX + 2, &s, &e), -EFBIG);
	assert_int_equal(password(longest, PASSWORD_MAX + 1, &s, &e), -EFBIG);
	longest[PASSWORD_MAX] = '\n';
	assert_int_equal(password(longest, PASSWORD_MAX + 1, &s, &e), 0);
	assert_int_equal(s.size, PASSWORD_MAX);
	secret_done(&s);
	assert_null(s.data);
}

static void makes_folders(void **state)
{
	const char *path = unit_path(dir, "folder"), *file = unit_path(dir, "file2");
	struct error e = ERROR_NULL;
	struct stat st;

	(void) state;
	assert_int_equal(file_make_dir(path, 0711, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(file_make_dir(path, 0700, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	unit_write(file, "", 0, 0600);
	assert_int_equal(file_make_dir(file, 0700, &e), -ENOTDIR);
	assert_int_equal(file_make_dir(unit_path(dir, "a/b"), 0700, &e), -ENOENT);
}

static int setup(void **state)
{
	unit_make_dir(dir);
	return unit_setup(state);
}

static int teardown(void **state)
{
	(void) state;
	unit_remove_dir(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_up_to_the_bound),
		cmocka_unit_test(replaces_whole_files),
		cmocka_unit_test(erases_files),
		cmocka_unit_test(replaces_secrets),
		cmocka_unit_test(keeps_the_old_file_when_writing_fails),
		cmocka_unit_test(keeps_the_old_file_on_a_full_disk),
		cmocka_unit_test(a_killed_writer_leaves_a_whole_file),
		cmocka_unit_test(reads_secrets_from_descriptors),
		cmocka_unit_test(reads_passwords),
		cmocka_unit_test(makes_folders),
	};

	return cmocka_run_group_tests_name("fileio", tests, setup, teardown);
}
