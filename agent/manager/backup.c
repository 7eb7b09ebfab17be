/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "manager/backup_internal.h"
#include "manager/manager.h"
#include "manager/permission.h"
#include "manager/record.h"

#define ANSWER_MAX	4096	/* bytes */
#define ANSWER_S	3600	/* for the copy of a large database */

static void store_freep(struct store **store)
{
	if (*store)
		store_free(*store);
}

/* Where the key of a folder's secrets is, as far as the folder shows. */
static enum vault_source source_of(int dir_fd)
{
	if (faccessat(dir_fd, VAULT_TPM_FILE, F_OK, 0) == 0)
		return VAULT_FROM_TPM;
	return faccessat(dir_fd, VAULT_KEY_FILE, F_OK, 0) == 0 ? VAULT_FROM_KEY_FILE : VAULT_FROM_CREDENTIAL;
}

static void say(const char *dir, int dir_fd, const char *out, const struct store_copy *copy)
{
	static const char *const where[] = {
		[VAULT_FROM_CREDENTIAL] = "it is the systemd credential " VAULT_CREDENTIAL
			", of which you need a copy elsewhere",
		[VAULT_FROM_TPM] = "it is sealed to the TPM of this machine, and on another machine this backup cannot be used",
		[VAULT_FROM_KEY_FILE] = "copy the file " VAULT_KEY_FILE " as well, to another place than the backup",
	};

	printf("Wrote %llu bytes to %s\n  SHA-256 %s\n", (unsigned long long)copy->bytes, out,
	       copy->sha256);
	printf("The key of the secrets in it is not in it: %s (%s).\n", where[source_of(dir_fd)], dir);
}

/* Return: 1: asked; 0: nobody serves; or why not. */
static int ask(int dir_fd, int file, int *ret, struct error *e)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { .iov_base = BACKUP_REQUEST, .iov_len = strlen(BACKUP_REQUEST) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	struct sockaddr_un address;
	_cleanup_close_ int fd = backup_socket_path(dir_fd, &address);

	if (fd < 0)
		return error_fail(e, errno, "Cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return 0;
		return error_fail(e, errno, "Cannot reach the manager that serves: %s", strerror(errno));
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(file));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		return error_fail(e, errno, "Cannot ask the manager that serves: %s", strerror(errno));
	*ret = TAKE_FD(fd);
	return 1;
}

static int read_answer(int fd, struct store_copy *ret, struct error *e)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	_cleanup_json_ json_t *json = NULL;
	char text[ANSWER_MAX];
	ssize_t n;
	int r;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	n = recv(fd, text, sizeof(text), 0);
	if (n <= 0)
		return error_fail(e, n < 0 ? errno : ECONNRESET, "The manager that serves gave no answer: look into its log");
	r = json_parse(text, (size_t)n, sizeof(text), "answer of the manager", &json, e);
	if (r < 0)
		return r;
	if (json_object_get(json, "error"))
		return error_fail(e, EIO, "The manager that serves refuses: %s", json_text(json, "error"));
	ret->bytes = (uint64_t)json_integer_value(json_object_get(json, "bytes"));
	snprintf(ret->sha256, sizeof(ret->sha256), "%s", json_text(json, "sha256"));
	return 0;
}

/* By the one that serves, else by this process. */
static int make(const char *dir, int dir_fd, int file, struct store_copy *ret, struct error *e)
{
	_cleanup_(store_freep) struct store *store = NULL;
	_cleanup_close_ int fd = -1;
	int r = ask(dir_fd, file, &fd, e);

	if (r < 0)
		return r;
	if (r > 0)
		return read_answer(fd, ret, e);
	r = store_open(dir, &store, e);
	return r < 0 ? r : backup_recorded(store, file, ret, e);
}

int backup_make(const struct vault_settings *settings, const char *out, struct error *e)
{
	_cleanup_close_ int dir_fd = -1, file = -1;
	struct store_copy copy;
	int r;

	dir_fd = open(settings->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || faccessat(dir_fd, "manager.db", F_OK, 0) < 0)
		return error_fail(e, errno, "There is no manager in %s: %s", settings->dir, strerror(errno));
	file = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return error_fail(e, errno, "Cannot make the file %s: %s", out, strerror(errno));
	r = make(settings->dir, dir_fd, file, &copy, e);
	if (r == 0)
		r = file_sync_parent(out, e);
	if (r < 0) {
		unlink(out);
		return r;
	}
	say(settings->dir, dir_fd, out, &copy);
	return 0;
}

static int note_restore(struct store *store, const struct store_copy *copy, struct error *e)
{
	struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "manager.restore", .object = PERMISSION_GLOBAL,
	};
	_cleanup_json_ json_t *data = json_pack("{s:I, s:s}", "bytes", (json_int_t)copy->bytes,
						"sha256", copy->sha256);

	if (!data)
		return error_oom(e);
	event.data = data;
	return record_note(store, &event, "ok", e);
}

/* All that serve needs has to be had: the key fits, the certificates are there. */
static int try_out(const struct vault_settings *settings, const struct store_copy *copy,
		   struct error *e)
{
	struct manager manager;
	uint64_t rows = 0;
	int r = manager_open(settings, &manager, e);

	if (r < 0)
		return r;
	r = record_verify(manager.store, &rows, NULL, NULL, e);
	if (r == 0)
		r = note_restore(manager.store, copy, e);
	manager_close(&manager);
	if (r == 0)
		printf("Restored %llu bytes to %s\n  SHA-256 %s\nIts %llu events are intact.\n",
		       (unsigned long long)copy->bytes, settings->dir, copy->sha256,
		       (unsigned long long)rows);
	return r;
}

int backup_restore(const struct vault_settings *settings, const char *from, struct error *e)
{
	_cleanup_close_ int fd = open(from, O_RDONLY | O_CLOEXEC);
	struct store_copy copy;
	int r;

	if (fd < 0)
		return error_fail(e, errno, "Cannot open the backup %s: %s", from, strerror(errno));
	r = store_restore(settings->dir, fd, &copy, e);
	if (r < 0)
		return r;
	r = try_out(settings, &copy, e);
	if (r < 0)
		store_unrestore(settings->dir);
	return r;
}
