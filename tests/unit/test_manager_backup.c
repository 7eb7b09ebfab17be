// SPDX-License-Identifier: LGPL-2.1-or-later
/* Backups of a manager that goes on working, and what is made of them. */
#include "record_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fileio.h"
#include "manager/backup.h"
#include "manager/init.h"

static struct error e;

static void make_manager(char dir[64])
{
	struct secret password _cleanup_secret_ = unit_password("Correct-horse-1");
	const struct manager_init init = {
		.vault = { .dir = dir }, .source = VAULT_FROM_KEY_FILE, .names = "127.0.0.1", .admin = "root",
		.password = &password,
	};
	char fingerprint[AUTHORITY_FINGERPRINT_SIZE];

	unit_make_dir(dir);
	if (manager_init(&init, fingerprint, &e) < 0)
		fail_msg("%s", e.text);
}

static void copy_file(const char *from, const char *to)
{
	_cleanup_free_ char *data = NULL;
	size_t size;

	assert_int_equal(file_read_bounded(from, 1 << 24, &data, &size, &e), 0);
	unit_write(to, data, size, 0600);
}

/* A folder with the key of @like, as restore wants it. */
static void make_target(char dir[64], const char *like)
{
	unit_make_dir(dir);
	copy_file(unit_path(like, "vault.key"), unit_path(dir, "vault.key"));
}

static size_t count_files(const char *dir)
{
	return unit_count(dir, "");
}

struct writer {
	struct store *store;
	atomic_bool stop;
	atomic_uint n;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;

	while (!w->stop && record_note(w->store, &key_new, "ok", NULL) == 0)
		w->n++;
	return NULL;
}

/* Asked for as the command does, while another thread writes without a pause. */
static void while_others_write(void **state)
{
	char dir[64], target[64], out[128];
	struct vault_settings settings = { .dir = dir };
	struct backup_server *server;
	struct writer writer = { .n = 0 };
	pthread_t thread;
	unsigned int before;
	uint64_t rows = 0;
	struct store *s;

	(void) state;
	make_manager(dir);
	make_target(target, dir);
	snprintf(out, sizeof(out), "%s/copy", target);
	s = open_store(dir);
	writer.store = s;
	assert_int_equal(backup_serve(s, dir, &server, &e), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
	while (writer.n < 60)
		usleep(1000);
	before = writer.n;
	if (backup_make(&settings, out, &e) < 0)
		fail_msg("%s", e.text);
	writer.stop = true;
	pthread_join(thread, NULL);
	/* A second one, and none over a file that is there. */
	assert_int_equal(backup_make(&settings, out, &e), -EEXIST);
	backup_server_free(server);
	assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	store_free(s);

	settings.dir = target;
	if (backup_restore(&settings, out, &e) < 0)
		fail_msg("%s", e.text);
	s = open_store(target);
	assert_int_equal(record_verify(s, &rows, NULL, NULL, &e), 0);
	assert_true(rows >= before);
	store_free(s);
	unit_remove_dir(dir);
	unit_remove_dir(target);
}

/* Nobody serves: the command does it itself. What was under way ends as unknown. */
static void without_a_server(void **state)
{
	const struct record_filter of_backup = { .operation = "manager.backup" };
	const struct record_filter of_restore = { .operation = "manager.restore" };
	_cleanup_json_ json_t *backups = NULL, *restores = NULL;
	char dir[64], target[64], out[128];
	struct vault_settings settings = { .dir = dir };
	struct store *s;

	(void) state;
	make_manager(dir);
	make_target(target, dir);
	snprintf(out, sizeof(out), "%s/copy", target);
	assert_int_equal(backup_make(&settings, out, &e), 0);
	settings.dir = target;
	if (backup_restore(&settings, out, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(backup_restore(&settings, out, &e), -EEXIST);
	unit_speaks(&e, "move it away");
	s = open_store(target);
	backups = read_rows(s, &of_backup);
	assert_int_equal(json_array_size(backups), 2);
	assert_string_equal(field(backups, 1, "result"), "unknown: manager restarted");
	restores = read_rows(s, &of_restore);
	assert_int_equal(json_array_size(restores), 1);
	store_free(s);
	unit_remove_dir(dir);
	unit_remove_dir(target);
}

/* Nothing is there afterwards but what was before. */
static void refused(const char *target, const char *from, int code, const char *why)
{
	const struct vault_settings settings = { .dir = target };
	size_t before = count_files(target);

	e = ERROR_NULL;
	assert_int_equal(backup_restore(&settings, from, &e), code);
	unit_speaks(&e, why);
	assert_int_equal(access(unit_path(target, "manager.db"), F_OK), -1);
	assert_int_equal(access(unit_path(target, "events.head"), F_OK), -1);
	/* The reserve alone may stay. */
	assert_true(count_files(target) <= before + 1);
}

static void restores_nothing_else(void **state)
{
	char dir[64], other[64], target[64], empty[64], out[128], bad[128];
	_cleanup_free_ char *data = NULL;
	struct vault_settings settings = { .dir = dir };
	size_t size;

	(void) state;
	make_manager(dir);
	make_manager(other);
	make_target(target, other);
	unit_make_dir(empty);
	snprintf(out, sizeof(out), "%s/copy", dir);
	snprintf(bad, sizeof(bad), "%s/bad", dir);
	assert_int_equal(backup_make(&settings, out, &e), 0);
	refused(empty, out, -ENOENT, "vault");
	refused(target, out, -EKEYREJECTED, "vault");
	refused(target, unit_path(dir, "none"), -ENOENT, "Cannot open the backup");

	assert_int_equal(file_read_bounded(out, 1 << 24, &data, &size, &e), 0);
	unit_write(bad, data, size / 2, 0600);
	refused(target, bad, -EBADMSG, "damaged");
	unit_write(bad, data, 0, 0600);
	refused(target, bad, -EBADMSG, "no database of a manager");
	memset(data + 100, 'x', 4000);
	unit_write(bad, data, size, 0600);
	refused(target, bad, -EBADMSG, "damaged");
	unit_remove_dir(dir);
	unit_remove_dir(other);
	unit_remove_dir(target);
	unit_remove_dir(empty);
}

/* An event altered in the backup itself: it is no record any more. */
static void broken_chain_is_refused(void **state)
{
	char dir[64], target[64], out[128];
	struct vault_settings settings = { .dir = dir };
	struct error own = ERROR_NULL;
	struct store *s;
	sqlite3 *db;

	(void) state;
	make_manager(dir);
	make_target(target, dir);
	s = open_store(dir);
	assert_int_equal(record_note(s, &key_new, "ok", &own), 0);
	store_free(s);
	snprintf(out, sizeof(out), "%s/copy", dir);
	assert_int_equal(backup_make(&settings, out, &own), 0);
	assert_int_equal(sqlite3_open(out, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE event SET row = replace(row, 'alice', 'malice')", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	refused(target, out, -EBADMSG, "broken at number");
	unit_remove_dir(dir);
	unit_remove_dir(target);
}

static void ask_wrongly(const char *dir, const char *text, int file, char ret[512])
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { .iov_base = (void *) text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ssize_t n;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", dir);
	assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	if (file >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr) {
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)),
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &file, sizeof(file));
	}
	assert_int_equal(sendmsg(fd, &message, 0), strlen(text));
	n = recv(fd, ret, 511, 0);
	assert_true(n > 0);
	ret[n] = '\0';
	close(fd);
}

/* What is no request changes nothing, and the next one is served. */
static void wrong_requests(void **state)
{
	char dir[64], out[128], said[512];
	struct vault_settings settings = { .dir = dir };
	struct backup_server *server;
	struct store *s;
	int file;

	(void) state;
	make_manager(dir);
	s = open_store(dir);
	assert_int_equal(backup_serve(s, dir, &server, &e), 0);
	snprintf(out, sizeof(out), "%s/full", dir);
	unit_write(out, "x", 1, 0600);
	file = open(out, O_WRONLY | O_CLOEXEC);
	ask_wrongly(dir, "backup", -1, said);
	assert_non_null(strstr(said, "no request for a backup"));
	ask_wrongly(dir, "backup", file, said);
	assert_non_null(strstr(said, "no request for a backup"));
	close(file);
	/* With a file that would do. */
	snprintf(out, sizeof(out), "%s/empty", dir);
	unit_write(out, "", 0, 0600);
	file = open(out, O_WRONLY | O_CLOEXEC);
	ask_wrongly(dir, "restor", file, said);
	assert_non_null(strstr(said, "no request for a backup"));
	ask_wrongly(dir, "restore", file, said);
	assert_non_null(strstr(said, "no request for a backup"));
	ask_wrongly(dir, "backup and much more than that", file, said);
	assert_non_null(strstr(said, "no request for a backup"));
	close(file);
	/* Open for reading alone. */
	file = open(out, O_RDONLY | O_CLOEXEC);
	ask_wrongly(dir, "backup", file, said);
	assert_non_null(strstr(said, "Cannot copy the database"));
	close(file);
	assert_int_equal(unit_count(dir, "backup.tmp"), 0);
	snprintf(out, sizeof(out), "%s/copy", dir);
	assert_int_equal(backup_make(&settings, out, &e), 0);
	backup_server_free(server);
	store_free(s);
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_others_write),
		cmocka_unit_test(without_a_server),
		cmocka_unit_test(restores_nothing_else),
		cmocka_unit_test(broken_chain_is_refused),
		cmocka_unit_test(wrong_requests),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
