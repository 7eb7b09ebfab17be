/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's documents. */
#include "manager/store-sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define FIELD_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_"
#define ORDER " ORDER BY name, id"
#define MEMBER(name) "json_extract(?3, '$." name "')"
#define SET(name) ", " name " = " MEMBER(name)

/* Columns of their own, with an index */
static const char *const indexed[] = {
	"name", "cluster", "host", "vm", "provider", "user", "serial",
};

/* A document on its way in. */
struct draft {
	const char *sql;
	const char *kind;
	const char *id;
	const char *body;
	bool must_exist;
};

static int check_kind(const char *kind, struct error *e)
{
	size_t size = strlen(kind);

	if (size < 1 || size > STORE_KIND_MAX || strspn(kind, NAME_CHARACTERS) != size)
		return error_usage(e, "\"%.40s\" is no kind of object", kind);
	return 0;
}

static int check_address(const char *kind, const char *id, struct error *e)
{
	if (!*id || strlen(id) > STORE_ID_MAX)
		return error_usage(e, "The id of a %s has 1 to %u bytes", kind, STORE_ID_MAX);
	return check_kind(kind, e);
}

/* What could not be read again must not be written. */
static int format_body(const char *kind, const char *id, const json_t *document, char **ret,
		       struct error *e)
{
	_cleanup_json_ json_t *copy = json_copy((json_t *)document);
	_cleanup_json_ json_t *again = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!json_is_object(document))
		return error_usage(e, "A %s is a JSON object", kind);
	if (!copy || json_object_set_new(copy, "id", json_string(id)) < 0)
		return error_usage(e, "The id of a %s is not UTF-8", kind);
	r = json_format(copy, &text, &size, e);
	if (r == 0)
		r = json_parse(text, size, STORE_DOCUMENT_MAX, kind, &again, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 0;
}

static int parse_body(sqlite3_stmt *stmt, const char *kind, json_t **ret, struct error *e)
{
	size_t size;
	const char *text = sql_column(stmt, 0, &size);

	if (!text)
		return error_oom(e);
	return json_parse(text, size, STORE_DOCUMENT_MAX, kind, ret, e);
}

static int no_such(const char *kind, const char *id, struct error *e)
{
	return error_fail(e, ENOENT, "There is no %s %s", kind, id);
}

int store_get(struct store *s, const char *kind, const char *id, json_t **ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = check_address(kind, id, e);
	if (r == 0)
		r = sql_prepare(s, "SELECT body FROM document WHERE kind = ?1 AND id = ?2", &stmt, e);
	if (r == 0)
		r = sql_text(s, stmt, 1, kind, e);
	if (r == 0)
		r = sql_text(s, stmt, 2, id, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r < 0)
		return r;
	return r > 0 ? parse_body(stmt, kind, ret, e) : no_such(kind, id, e);
}

static bool is_indexed(const char *field)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(indexed); i++)
		if (strcmp(indexed[i], field) == 0)
			return true;
	return false;
}

/* Under the lock: the statement for one kind, and for one field where one is asked for.
 * The field's name stands in it, for no column can be bound; it has nothing but
 * harmless characters. */
static int search(struct store *s, const char *kind, const char *field, const char *value,
		  sqlite3_stmt **ret, struct error *e)
{
	char sql[256];
	int r;

	r = check_kind(kind, e);
	if (r < 0)
		return r;
	if (!field) {
		r = sql_prepare(s, "SELECT body FROM document WHERE kind = ?1" ORDER, ret, e);
		return r < 0 ? r : sql_text(s, *ret, 1, kind, e);
	}
	if (!*field || strlen(field) > STORE_KIND_MAX ||
	    strspn(field, FIELD_CHARACTERS) != strlen(field))
		return error_usage(e, "\"%.40s\" is no field of a %s", field, kind);
	/* Left to itself SQLite takes the primary key, and reads all of the kind. */
	if (is_indexed(field))
		snprintf(sql, sizeof(sql), "SELECT body FROM document INDEXED BY document_%s"
			 " WHERE kind = ?1 AND %s = ?2" ORDER, field, field);
	else
		snprintf(sql, sizeof(sql), "SELECT body FROM document WHERE kind = ?1"
			 " AND json_extract(body, '$.%s') = ?2" ORDER, field);
	r = sql_prepare(s, sql, ret, e);
	if (r == 0)
		r = sql_text(s, *ret, 1, kind, e);
	if (r == 0)
		r = sql_text(s, *ret, 2, value, e);
	return r;
}

int store_find(struct store *s, const char *kind, const char *field, const char *value,
	       json_t **ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = search(s, kind, field, value, &stmt, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r < 0)
		return r;
	if (r > 0)
		return parse_body(stmt, kind, ret, e);
	return error_fail(e, ENOENT, "There is no %s with the %s %s", kind, field, value);
}

int store_list(struct store *s, const char *kind, const char *field, const char *value,
	       json_t **ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	_cleanup_json_ json_t *list = json_array();
	int r;

	if (!list)
		return error_oom(e);
	r = search(s, kind, field, value, &stmt, e);
	while (r == 0 && (r = sql_step(s, stmt, e)) > 0) {
		json_t *document;

		r = parse_body(stmt, kind, &document, e);
		if (r == 0 && json_array_append_new(list, document) < 0)
			r = error_oom(e);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	return 0;
}

static int write_draft(struct store *s, void *userdata, struct error *e)
{
	const struct draft *draft = userdata;
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, draft->sql, &stmt, e);
	if (r == 0)
		r = sql_text(s, stmt, 1, draft->kind, e);
	if (r == 0)
		r = sql_text(s, stmt, 2, draft->id, e);
	if (r == 0 && draft->body)
		r = sql_text(s, stmt, 3, draft->body, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r == 0 && draft->must_exist && sqlite3_changes(s->db->sqlite) == 0)
		return no_such(draft->kind, draft->id, e);
	return r;
}

static int put(struct store *s, struct draft *draft, const json_t *document, struct error *e)
{
	_cleanup_free_ char *body = NULL;
	const char *name;
	int r;

	r = check_address(draft->kind, draft->id, e);
	if (r == 0)
		r = format_body(draft->kind, draft->id, document, &body, e);
	if (r < 0)
		return r;
	draft->body = body;
	r = store_write(s, write_draft, draft, e);
	name = json_string_value(json_object_get(document, "name"));
	if (r == -EEXIST)
		return error_fail(e, EEXIST, "There is a %s %s already", draft->kind,
				  name ? name : draft->id);
	return r;
}

int store_insert(struct store *s, const char *kind, const char *id, const json_t *document,
		 struct error *e)
{
	struct draft draft = {
		.sql = "INSERT INTO document(kind, id, body, name, cluster, host, vm, provider,"
		       " user, serial) VALUES(?1, ?2, ?3, " MEMBER("name") ", " MEMBER("cluster")
		       ", " MEMBER("host") ", " MEMBER("vm") ", " MEMBER("provider") ", "
		       MEMBER("user") ", " MEMBER("serial") ")",
		.kind = kind, .id = id,
	};

	return put(s, &draft, document, e);
}

int store_update(struct store *s, const char *kind, const char *id, const json_t *document,
		 struct error *e)
{
	struct draft draft = {
		.sql = "UPDATE document SET body = ?3" SET("name") SET("cluster") SET("host")
		       SET("vm") SET("provider") SET("user") SET("serial")
		       " WHERE kind = ?1 AND id = ?2",
		.kind = kind, .id = id, .must_exist = true,
	};

	return put(s, &draft, document, e);
}

int store_delete(struct store *s, const char *kind, const char *id, struct error *e)
{
	struct draft draft = {
		.sql = "DELETE FROM document WHERE kind = ?1 AND id = ?2",
		.kind = kind, .id = id, .must_exist = true,
	};
	int r;

	r = check_address(kind, id, e);
	return r < 0 ? r : store_write(s, write_draft, &draft, e);
}

int store_delete_all(struct store *s, const char *kind, const char *field, const char *value,
		     struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *document;
	size_t i;
	int r = store_list(s, kind, field, value, &list, e);

	json_array_foreach(list, i, document) {
		r = store_delete(s, kind, json_text(document, "id"), e);
		if (r < 0)
			break;
	}
	return r;
}
