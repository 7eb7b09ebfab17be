/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The newest row's number and hash, outside of the rows: whoever cuts rows off the end
 * has to change these as well, in two places. */
#include "manager/record-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"

#define HEAD_LINE	86	/* 20 digits, a space, 64 digits, a newline */

int record_hash(const char *previous, const char *row, size_t size, char ret[RECORD_HASH_SIZE],
		struct error *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t before[32], hash[32];
	bool done;

	done = ctx && hex_decode(previous, before, sizeof(before)) == 0 &&
	       EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	       EVP_DigestUpdate(ctx, before, sizeof(before)) == 1 &&
	       EVP_DigestUpdate(ctx, row, size) == 1 &&
	       EVP_DigestFinal_ex(ctx, hash, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!done)
		return error_fail(e, EIO, "Cannot hash an event: OpenSSL refuses SHA-256");
	hex_encode(hash, sizeof(hash), ret);
	return 0;
}

static int or_zero(int r, struct event_mark *ret)
{
	if (r != -ENOENT)
		return r;
	*ret = (struct event_mark){ .seq = 0, .hash = RECORD_HASH_ZERO };
	return 0;
}

int head_read_last(struct store *s, struct event_mark *ret, struct error *e)
{
	return or_zero(event_newest(s, ret, e), ret);
}

/* Without a row nothing has been cut away, or who deleted it cut: then that shows. */
int anchor_read(struct store *s, struct event_mark *ret, struct error *e)
{
	return or_zero(event_mark_read(s, EVENT_ANCHOR, ret, e), ret);
}

int head_file_read(struct store *s, struct event_mark *ret)
{
	char line[HEAD_LINE + 1] = "";
	struct event_mark head;
	ssize_t n;

	if (s->record.fd < 0)
		return -ENOENT;
	n = pread(s->record.fd, line, HEAD_LINE, 0);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	if (n != HEAD_LINE || strspn(line, "0123456789") != 20 || line[20] != ' ' ||
	    line[HEAD_LINE - 1] != '\n')
		return -EBADMSG;
	line[HEAD_LINE - 1] = '\0';
	head.seq = strtoull(line, NULL, 10);
	if (!event_hash_valid(line + 21) || head.seq >= INT64_MAX)
		return -EBADMSG;
	memcpy(head.hash, line + 21, sizeof(head.hash));
	*ret = head;
	return 0;
}

/* In place: it needs no new block on a full disk, and less than a sector changes as one. */
int head_file_write(struct store *s, const struct event_mark *head, struct error *e)
{
	char line[HEAD_LINE + 1];
	ssize_t n;

	snprintf(line, sizeof(line), "%020" PRIu64 " %s\n", head->seq, head->hash);
	n = pwrite(s->record.fd, line, HEAD_LINE, 0);
	if (n == HEAD_LINE && fdatasync(s->record.fd) == 0)
		return 0;
	return error_fail(e, n < 0 ? errno : EIO, "Cannot write %s/" RECORD_HEAD_FILE ": %s",
			  s->dir, strerror(n < 0 ? errno : EIO));
}

/* Whether the row that @head names is there and has its hash. */
static int row_matches(struct store *s, const struct event_mark *head, bool *ret,
		       struct error *e)
{
	struct event_mark found;
	int r = 0;

	*ret = head->seq == 0 && strcmp(head->hash, RECORD_HASH_ZERO) == 0;
	if (head->seq > 0)
		r = event_get(s, head->seq, &found, /* ret_time= */ NULL, e);
	if (head->seq > 0 && r == 0)
		*ret = strcmp(found.hash, head->hash) == 0;
	return r == -ENOENT ? 0 : r;
}

/* Moves @go_on, which is the last row, to what the table says, if that differs. */
static int compare_table(struct store *s, struct event_mark *go_on, const char **ret_wrong,
			 struct error *e)
{
	struct event_mark table = { .seq = 0 };
	int r = event_mark_read(s, EVENT_HEAD, &table, e);

	if (r == -ENOENT) {
		*ret_wrong = "the head of the events is gone from the database";
		return 0;
	}
	if (r < 0 || (table.seq == go_on->seq && strcmp(table.hash, go_on->hash) == 0))
		return r;
	*ret_wrong = "the newest events are not what the database says of them";
	if (table.seq < go_on->seq)
		table.seq = go_on->seq;
	*go_on = table;
	return 0;
}

/* The same with the file. It may be behind, after a crash between the two. */
static int compare_file(struct store *s, struct event_mark *go_on, const char **ret_wrong,
			struct error *e)
{
	struct event_mark file = { .seq = 0 };
	bool matches = false;
	int r;

	if (head_file_read(s, &file) < 0) {
		if (go_on->seq > 0)
			*ret_wrong = "the file events.head is gone or unreadable";
		return 0;
	}
	r = row_matches(s, &file, &matches, e);
	if (r < 0 || matches)
		return r;
	*ret_wrong = "the newest events are not what the file events.head says of them";
	if (file.seq < go_on->seq)
		file.seq = go_on->seq;
	*go_on = file;
	return 0;
}

int head_open(struct store *s, const char **ret_wrong, struct error *e)
{
	struct event_mark head = { .seq = 0 };
	int r;

	s->record.fd = openat(s->dir_fd, RECORD_HEAD_FILE,
			      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->record.fd < 0)
		return error_fail(e, errno, "Cannot open %s/" RECORD_HEAD_FILE ": %s", s->dir,
				  strerror(errno));
	*ret_wrong = NULL;
	r = head_read_last(s, &head, e);
	if (r == 0)
		r = compare_table(s, &head, ret_wrong, e);
	if (r == 0)
		r = compare_file(s, &head, ret_wrong, e);
	if (r < 0)
		return r;
	if (*ret_wrong) {
		r = event_mark_write(s, EVENT_HEAD, &head, e);
		if (r < 0)
			return r;
	}
	r = head_file_write(s, &head, e);
	if (r == -ENOSPC && reserve_release(s))
		r = head_file_write(s, &head, e);
	if (r == 0 && fsync(s->dir_fd) < 0)
		return error_fail(e, errno, "Cannot write the folder %s: %s", s->dir,
				  strerror(errno));
	return r;
}
