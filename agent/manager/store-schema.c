/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The database of the store: how it is opened, whose it is, and its versions. */
#include "manager/store-sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "common/cleanup.h"
#include "common/log.h"

#define FIELD_INDEX(name)								\
	"CREATE INDEX document_" name " ON document(kind, " name ") WHERE " name " IS NOT NULL"

/* Members that are searched for stand in columns as well: an index over json_extract()
 * would need a schema that is trusted to call functions. */
static const char *const version_1[] = {
	"CREATE TABLE document(kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,"
	" name TEXT, cluster TEXT, host TEXT, vm TEXT, provider TEXT, user TEXT, serial TEXT,"
	" PRIMARY KEY(kind, id)) WITHOUT ROWID, STRICT",
	"CREATE UNIQUE INDEX document_name ON document(kind, name) WHERE name IS NOT NULL",
	FIELD_INDEX("cluster"),
	FIELD_INDEX("host"),
	FIELD_INDEX("vm"),
	FIELD_INDEX("provider"),
	FIELD_INDEX("user"),
	FIELD_INDEX("serial"),
	"CREATE TABLE event(seq INTEGER PRIMARY KEY, row TEXT NOT NULL, hash TEXT NOT NULL,"
	" id TEXT, object TEXT, vm TEXT) STRICT",
	"CREATE INDEX event_id ON event(id)",
	"CREATE INDEX event_object ON event(object) WHERE object IS NOT NULL",
	"CREATE INDEX event_vm ON event(vm) WHERE vm IS NOT NULL",
	"CREATE TABLE event_open(id TEXT PRIMARY KEY,"
	" seq INTEGER NOT NULL REFERENCES event(seq)) WITHOUT ROWID, STRICT",
	"CREATE TABLE event_head(one INTEGER PRIMARY KEY CHECK(one = 1),"
	" seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT",
	"INSERT INTO event_head VALUES(1, 0,"
	" '0000000000000000000000000000000000000000000000000000000000000000')",
	NULL,
};

/* Where the record of events begins since old rows were cut away. */
static const char *const version_2[] = {
	"CREATE TABLE event_anchor(one INTEGER PRIMARY KEY CHECK(one = 1),"
	" seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT",
	NULL,
};

#define FROM_ROW(name) name " = json_extract(row, '$." name "')"

/* What is searched for in events, so that a search parses no JSON. Time has no index: a
 * search goes by numbers, which rise with it. */
static const char *const version_3[] = {
	"ALTER TABLE event ADD COLUMN time TEXT",
	"ALTER TABLE event ADD COLUMN user TEXT",
	"ALTER TABLE event ADD COLUMN operation TEXT",
	"ALTER TABLE event ADD COLUMN type TEXT",
	"ALTER TABLE event ADD COLUMN key TEXT",
	"ALTER TABLE event ADD COLUMN host TEXT",
	"UPDATE event SET " FROM_ROW("time") ", " FROM_ROW("user") ", " FROM_ROW("operation") ", "
		FROM_ROW("type") ", " FROM_ROW("key") ", " FROM_ROW("host")
		" WHERE json_valid(row)",	/* what was tampered with stays for all to see */
	"CREATE INDEX event_key ON event(key) WHERE key IS NOT NULL",
	"CREATE INDEX event_host ON event(host) WHERE host IS NOT NULL",
	NULL,
};

/* What takes version N to N + 1. */
static const char *const *const migrations[] = { version_1, version_2, version_3 };

#define VERSION ((int64_t)ARRAY_SIZE(migrations))

static int read_number(struct store *s, const char *sql, int64_t *ret, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, sql, &stmt, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r < 0)
		return r;
	*ret = r > 0 ? sqlite3_column_int64(stmt, 0) : 0;
	return 0;
}

/* SQLite would make it with whatever mode umask leaves. */
static int make_file(struct store *s, struct error *e)
{
	_cleanup_close_ int fd = openat(s->dir_fd, STORE_FILE,
					O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_fail(e, errno, "Cannot open %s/" STORE_FILE ": %s", s->dir,
				  strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_fail(e, EBADMSG, "%s/" STORE_FILE " is no regular file", s->dir);
	if ((st.st_mode & 0777) != 0600 && fchmod(fd, 0600) < 0)
		return error_fail(e, errno, "Cannot keep others out of %s/" STORE_FILE ": %s",
				  s->dir, strerror(errno));
	return 0;
}

/* Nothing that a database itself brings along may run. */
static void harden(sqlite3 *db)
{
	static const struct { int id, value; } configs[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
		{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
		{ SQLITE_DBCONFIG_DQS_DML, 0 },
		{ SQLITE_DBCONFIG_DQS_DDL, 0 },
	}, limits[] = {
		{ SQLITE_LIMIT_LENGTH, 1 << 20 },
		{ SQLITE_LIMIT_SQL_LENGTH, 16384 },
		{ SQLITE_LIMIT_COLUMN, 32 },
		{ SQLITE_LIMIT_EXPR_DEPTH, 50 },
		{ SQLITE_LIMIT_COMPOUND_SELECT, 4 },
		{ SQLITE_LIMIT_VDBE_OP, 25000 },
		{ SQLITE_LIMIT_FUNCTION_ARG, 8 },
		{ SQLITE_LIMIT_ATTACHED, 0 },
		{ SQLITE_LIMIT_VARIABLE_NUMBER, 32 },
		{ SQLITE_LIMIT_TRIGGER_DEPTH, 1 },
		{ SQLITE_LIMIT_WORKER_THREADS, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(configs); i++)
		sqlite3_db_config(db, configs[i].id, configs[i].value, NULL);
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		sqlite3_limit(db, limits[i].id, limits[i].value);
}

/* SQLite answers a PRAGMA that it does not follow with what it does instead. */
static int check_modes(struct store *s, struct error *e)
{
	static const struct { const char *sql, *answer; } modes[] = {
		{ "PRAGMA journal_mode", "wal" },
		{ "PRAGMA locking_mode", "exclusive" },
		{ "PRAGMA synchronous", "2" },
		{ "PRAGMA secure_delete", "1" },
		{ "PRAGMA foreign_keys", "1" },
		{ "PRAGMA trusted_schema", "0" },
	};
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		_cleanup_statement_ sqlite3_stmt *stmt = NULL;
		const char *answer;

		r = sql_prepare(s, modes[i].sql, &stmt, e);
		if (r == 0)
			r = sql_step(s, stmt, e);
		if (r < 0)
			return r;
		answer = r > 0 ? sql_column(stmt, 0, NULL) : NULL;
		if (!answer || strcmp(answer, modes[i].answer) != 0)
			return error_fail(e, EOPNOTSUPP,
					  "Cannot use %s/" STORE_FILE ": %s is \"%s\" and not \"%s\": put the folder on a local file system",
					  s->dir, modes[i].sql, answer ? answer : "", modes[i].answer);
	}
	return 0;
}

/* Exclusive before the first access: then the WAL's index is in memory, not in a
 * file that a full disk could not grow. */
static int configure(struct store *s, struct error *e)
{
	static const char *const pragmas[] = {
		"PRAGMA locking_mode = EXCLUSIVE",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA mmap_size = 0",
		"PRAGMA cell_size_check = ON",
		"PRAGMA secure_delete = ON",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA journal_size_limit = 4194304",
	};
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(pragmas); i++) {
		r = sql_run(s, pragmas[i], e);
		if (r < 0)
			return r;
	}
	return check_modes(s, e);
}

static int check_owner(struct store *s, int64_t *ret_version, struct error *e)
{
	int64_t id, version, tables;
	int r;

	r = read_number(s, "PRAGMA application_id", &id, e);
	if (r == 0)
		r = read_number(s, "PRAGMA user_version", &version, e);
	if (r == 0)
		r = read_number(s, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (r < 0)
		return r;
	if (id != STORE_APPLICATION_ID && (id || version || tables))
		return error_fail(e, EPROTONOSUPPORT,
				  "%s/" STORE_FILE " is another program's database: give the manager a folder of its own",
				  s->dir);
	if (version < 0 || version > VERSION || (version == 0) != (tables == 0))
		return error_fail(e, EPROTONOSUPPORT,
				  "%s/" STORE_FILE " has version %lld, this manager knows up to %lld: update the manager",
				  s->dir, (long long)version, (long long)VERSION);
	*ret_version = version;
	return 0;
}

/* One step with its version in one transaction. */
static int migrate(struct store *s, void *userdata, struct error *e)
{
	const int64_t *from = userdata;
	const char *const *sql;
	char version[64];
	int r;

	for (sql = migrations[*from]; *sql; sql++) {
		r = sql_run(s, *sql, e);
		if (r < 0)
			return r;
	}
	snprintf(version, sizeof(version), "PRAGMA user_version = %lld", (long long)*from + 1);
	r = sql_run(s, version, e);
	if (r < 0)
		return r;
	snprintf(version, sizeof(version), "PRAGMA application_id = %d", STORE_APPLICATION_ID);
	return sql_run(s, version, e);
}

/* A record of many years takes minutes, of which the service's manager gives us one. */
static void announce(const struct store *s, int64_t version)
{
	log_notice("%s/" STORE_FILE " is brought from version %lld to %lld, which may take minutes",
		   s->dir, (long long)version, (long long)VERSION);
	sd_notify(/* unset_environment= */ 0, "EXTEND_TIMEOUT_USEC=3600000000");
}

int schema_open(struct store *s, struct error *e)
{
	_cleanup_free_ char *path = NULL;
	int64_t version;
	int r, rc;

	r = make_file(s, e);
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/" STORE_FILE, s->dir) < 0)
		return error_oom(e);
	s->db = calloc(1, sizeof(*s->db));
	if (!s->db)
		return error_oom(e);
	rc = sqlite3_open_v2(path, &s->db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
			     SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return sql_fail(s, rc, "open", e);
	harden(s->db->sqlite);
	r = configure(s, e);
	if (r == 0)
		r = check_owner(s, &version, e);
	if (r == 0 && version > 0 && version < VERSION)
		announce(s, version);
	for (; r == 0 && version < VERSION; version++)
		r = store_write(s, migrate, &version, e);
	return r;
}
