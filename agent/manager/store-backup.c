/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of the database: made while it is in use, and put in place again. */
#include "manager/record-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "manager/store-sql.h"

#define COPY_FILE	"backup.tmp"	/* in the manager's folder */
#define STEP_PAGES	64		/* that are copied under one hold of the lock */
#define CHUNK		65536

static void cleanup_db(sqlite3 **db)
{
	sqlite3_close(*db);
}

static void cleanup_digest(EVP_MD_CTX **digest)
{
	EVP_MD_CTX_free(*digest);
}

static int copy_failed(int rc, const char *what, struct error *e)
{
	if ((rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT)
		return error_fail(e, EBADMSG, "Cannot %s: it is damaged, or no database: use another one",
				  what);
	return error_fail(e, (rc & 0xff) == SQLITE_FULL ? ENOSPC : EIO, "Cannot %s: %s", what,
			  sqlite3_errstr(rc));
}

/* An empty database of our own that nothing else can see, written without a journal:
 * when it fails it is thrown away. */
static int open_copy(const char *path, sqlite3 **ret, struct error *e)
{
	int rc = sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
				 SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*ret, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF;"
				  " PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;"
				  " PRAGMA trusted_schema = OFF", NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : copy_failed(rc, "open the copy of the database", e);
}

static int check_room(struct store *s, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	struct statvfs fs;
	uint64_t size = 0, room;
	int r;

	r = sql_prepare(s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
			&stmt, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r < 0)
		return r;
	if (r > 0)
		size = (uint64_t)sqlite3_column_int64(stmt, 0);
	room = fstatvfs(s->dir_fd, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
	if (room >= size + 2 * STORE_RESERVE_SIZE)
		return 0;
	return error_fail(e, ENOSPC, "A backup needs %llu MiB of space in %s for a while, of which %llu are free: free some",
			  (unsigned long long)((size + 2 * STORE_RESERVE_SIZE) >> 20), s->dir,
			  (unsigned long long)(room >> 20));
}

/* Others get at the store between the steps; what they change is copied again. */
static int copy_pages(struct store *s, sqlite3 *to, struct error *e)
{
	sqlite3_backup *backup;
	int rc;

	pthread_mutex_lock(&s->lock);
	backup = sqlite3_backup_init(to, "main", s->db->sqlite, "main");
	pthread_mutex_unlock(&s->lock);
	if (!backup)
		return copy_failed(sqlite3_errcode(to), "begin a backup of the database", e);
	do {
		pthread_mutex_lock(&s->lock);
		rc = sqlite3_backup_step(backup, STEP_PAGES);
		pthread_mutex_unlock(&s->lock);
		store_rest(s);
	} while (rc == SQLITE_OK);
	pthread_mutex_lock(&s->lock);
	sqlite3_backup_finish(backup);
	pthread_mutex_unlock(&s->lock);
	return rc == SQLITE_DONE ? 0 : copy_failed(rc, "back up the database", e);
}

static int is_ok(void *ok, int n, char **values, char **names)
{
	(void)names;
	*(bool *)ok = n == 1 && values[0] && strcmp(values[0], "ok") == 0;
	return 0;
}

/* And from now on the file is all there is of it, with no log beside it. */
static int check_copy(sqlite3 *db, struct error *e)
{
	bool ok = false;
	int rc = sqlite3_exec(db, "PRAGMA integrity_check(1)", is_ok, &ok, NULL);

	if (rc == SQLITE_OK && ok)
		rc = sqlite3_exec(db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	if (rc == SQLITE_OK && !ok)
		rc = SQLITE_CORRUPT;
	return rc == SQLITE_OK ? 0 : copy_failed(rc, "check the copy of the database", e);
}

/* From where @from stands to its end. */
static int copy_bytes(int from, int to, struct store_copy *ret, struct error *e)
{
	_cleanup_(cleanup_digest) EVP_MD_CTX *digest = EVP_MD_CTX_new();
	_cleanup_free_ uint8_t *chunk = malloc(CHUNK);
	uint8_t hash[32];
	ssize_t n;
	int r = 0;

	if (!digest || !chunk || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
		return error_oom(e);
	*ret = (struct store_copy){ .bytes = 0 };
	while (r == 0 && (n = read(from, chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : file_write_all(to, chunk, (size_t)n);
		if (r == 0 && EVP_DigestUpdate(digest, chunk, (size_t)n) != 1)
			r = -EIO;
		ret->bytes += r == 0 ? (uint64_t)n : 0;
	}
	if (r == 0 && fsync(to) < 0)
		r = -errno;
	if (r == 0 && EVP_DigestFinal_ex(digest, hash, NULL) != 1)
		r = -EIO;
	if (r < 0)
		return error_fail(e, r, "Cannot copy the database: %s", strerror(-r));
	hex_encode(hash, sizeof(hash), ret->sha256);
	return 0;
}

static int copy_database(struct store *s, struct error *e)
{
	_cleanup_(cleanup_db) sqlite3 *db = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/" COPY_FILE, s->dir) < 0) {
		path = NULL;
		return error_oom(e);
	}
	r = open_copy(path, &db, e);
	if (r == 0)
		r = copy_pages(s, db, e);
	return r < 0 ? r : check_copy(db, e);
}

int store_backup(struct store *s, int fd, struct store_copy *ret, struct error *e)
{
	_cleanup_close_ int copy = -1;
	struct store_copy done;
	int r = check_room(s, e);

	if (r < 0)
		return r;
	/* One that a crash left is older than what is wanted. */
	unlinkat(s->dir_fd, COPY_FILE, 0);
	copy = openat(s->dir_fd, COPY_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (copy < 0)
		return error_fail(e, errno, "Cannot make %s/" COPY_FILE ": %s", s->dir, strerror(errno));
	r = copy_database(s, e);
	if (r == 0)
		r = copy_bytes(copy, fd, &done, e);
	unlinkat(s->dir_fd, COPY_FILE, 0);
	if (r == 0)
		*ret = done;
	return r;
}

static int take_head(void *head, int n, char **values, char **names)
{
	struct event_mark *ret = head;

	(void)names;
	if (n != 2 || !values[0] || !values[1])
		return 1;
	ret->seq = strtoull(values[0], NULL, 10);
	snprintf(ret->hash, sizeof(ret->hash), "%s", values[1]);
	return 0;
}

/* The newest event that the copy has is the newest one there is, from now on. */
static int put_head(int dir_fd, sqlite3 *db, struct error *e)
{
	_cleanup_close_ int fd = -1;
	struct store s = { .dir = RECORD_HEAD_FILE };
	struct event_mark head = { .hash = RECORD_HASH_ZERO };
	int rc = sqlite3_exec(db, "SELECT seq, hash FROM event_head WHERE one = 1", take_head, &head,
			      NULL);

	if (rc != SQLITE_OK)
		return error_fail(e, EBADMSG, "The copy is no database of a manager: %s",
				  sqlite3_errstr(rc));
	fd = openat(dir_fd, RECORD_HEAD_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_fail(e, errno, "Cannot make " RECORD_HEAD_FILE ": %s", strerror(errno));
	s.record.fd = fd;
	return head_file_write(&s, &head, e);
}

static void take_away(int dir_fd)
{
	unlinkat(dir_fd, STORE_FILE, 0);
	unlinkat(dir_fd, STORE_FILE "-wal", 0);
	unlinkat(dir_fd, RECORD_HEAD_FILE, 0);
}

static int fill(const char *dir, int dir_fd, int from, int to, struct store_copy *ret,
		struct error *e)
{
	_cleanup_(cleanup_db) sqlite3 *db = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/" STORE_FILE, dir) < 0) {
		path = NULL;
		return error_oom(e);
	}
	r = copy_bytes(from, to, ret, e);
	if (r == 0)
		r = open_copy(path, &db, e);
	if (r == 0)
		r = check_copy(db, e);
	if (r == 0)
		r = put_head(dir_fd, db, e);
	if (r == 0 && (fsync(to) < 0 || fsync(dir_fd) < 0))
		r = error_fail(e, errno, "Cannot write the folder %s: %s", dir, strerror(errno));
	return r;
}

int store_restore(const char *dir, int fd, struct store_copy *ret, struct error *e)
{
	_cleanup_close_ int dir_fd = -1, file = -1;
	struct store_copy done;
	int r = file_make_dir(dir, 0700, e);

	if (r < 0)
		return r;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return error_fail(e, errno, "Cannot open the folder %s: %s", dir, strerror(errno));
	file = openat(dir_fd, STORE_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0 && errno == EEXIST)
		return error_fail(e, EEXIST, "There is a manager in %s already: move it away first, or choose another folder",
				  dir);
	if (file < 0)
		return error_fail(e, errno, "Cannot make %s/" STORE_FILE ": %s", dir, strerror(errno));
	/* Of a manager that was moved away by half. */
	unlinkat(dir_fd, STORE_FILE "-wal", 0);
	unlinkat(dir_fd, RECORD_HEAD_FILE, 0);
	r = fill(dir, dir_fd, fd, file, &done, e);
	if (r < 0) {
		take_away(dir_fd);
		return r;
	}
	*ret = done;
	return 0;
}

void store_unrestore(const char *dir)
{
	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir_fd >= 0)
		take_away(dir_fd);
}
