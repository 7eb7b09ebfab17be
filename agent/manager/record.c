/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of events: rows into the chain, and out to watchers and the journal. */
#include "manager/record-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"

#define DATA_MAX		8192	/* bytes of data as text */
#define MESSAGE_ID_INTENT	"0f6c9d5be0c5467e9f4f3a1cf2a3d8b7"
#define MESSAGE_ID_OUTCOME	"c4b2f0a7d1a84f5f8f6d7f0e91c3a526"
#define MESSAGE_ID_NOTE		"7a61e2c08d0a4e86b3c5d94b6a0e1f92"
#define RESULT_UNKNOWN		"unknown: manager restarted"

/* Any bytes as a JSON string: what is no UTF-8 and what could move a terminal becomes '?'. */
static json_t *text_json(const char *text, size_t max)
{
	_cleanup_free_ char *copy = NULL;
	size_t i;

	if (!text)
		return json_null();
	copy = strndup(text, max);
	if (!copy)
		return NULL;
	for (i = 0; copy[i]; i++)
		if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f)
			copy[i] = '?';
	return json_string_printable(copy);
}

static int set_data(json_t *row, const json_t *data, struct error *e)
{
	_cleanup_json_ json_t *copy = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!data)
		return json_object_set_new(row, "data", json_null()) < 0 ? error_oom(e) : 0;
	if (!json_is_object(data))
		return error_usage(e, "The data of an event are a JSON object");
	copy = record_data_copy(data);
	if (!copy)
		return error_oom(e);
	r = json_format(copy, &text, &size, e);
	if (r < 0)
		return r;
	if (size > DATA_MAX)
		return error_fail(e, EFBIG, "The data of an event are larger than %d bytes",
				  DATA_MAX);
	return json_object_set(row, "data", copy) < 0 ? error_oom(e) : 0;
}

/* All but seq, time and hash, which a row gets when it is appended. @type: what it tells */
static int row_new(const struct record_event *ev, const char *type, const char *id,
		   const char *phase, const char *result, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *row = NULL;
	int r;

	row = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			"id", id, "phase", phase,
			"user", text_json(ev->user, 256),
			"operation", text_json(ev->operation, 128),
			"type", text_json(type, 128),
			"object", text_json(ev->object, 512),
			"key", text_json(ev->key, 512),
			"result", text_json(result, ERROR_TEXT_SIZE),
			"host", text_json(ev->host, 256),
			"vm", text_json(ev->vm, 256));
	if (!row)
		return error_oom(e);
	r = set_data(row, ev->data, e);
	if (r == 0)
		*ret = TAKE_PTR(row);
	return r;
}

/* Within a transaction: the row becomes the newest of the chain. */
static int append(struct store *s, json_t *row, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	char now[TIME_TEXT_SIZE];
	struct event_mark head;
	size_t size;
	int r;

	r = event_mark_read(s, EVENT_HEAD, &head, e);
	if (r == -ENOENT)
		return error_fail(e, EBADMSG,
				  "The head of the events is gone from the database: start the manager again");
	if (r < 0)
		return r;
	head.seq++;
	time_format(time_now(), now);
	if (json_object_set_new(row, "seq", json_integer((json_int_t)head.seq)) < 0 ||
	    json_object_set_new(row, "time", json_string(now)) < 0)
		return error_oom(e);
	json_object_del(row, "hash");
	r = json_format(row, &text, &size, e);
	if (r == 0 && size > RECORD_ROW_MAX)
		r = error_fail(e, EMSGSIZE, "The event is larger than %u bytes", RECORD_ROW_MAX);
	if (r == 0)
		r = record_hash(head.hash, text, size, head.hash, e);
	if (r == 0)
		r = event_insert(s, head.seq, text, head.hash, e);
	if (r == 0)
		r = event_mark_write(s, EVENT_HEAD, &head, e);
	if (r < 0)
		return r;
	if (json_object_set_new(row, "hash", json_string(head.hash)) < 0 ||
	    json_array_append(s->record.pending, row) < 0)
		return error_oom(e);
	return 0;
}

static int append_work(struct store *s, void *userdata, struct error *e)
{
	json_t *row = userdata;
	int r = append(s, row, e);

	if (r == 0 && strcmp(json_text(row, "phase"), "intent") == 0)
		r = event_open_add(s, json_text(row, "id"),
				   (uint64_t)json_integer_value(json_object_get(row, "seq")), e);
	return r;
}

static int new_id(char ret[UUID_TEXT_SIZE], struct error *e)
{
	int r = uuid_random_text(ret);

	return r < 0 ? error_fail(e, r, "No random bytes: %s", strerror(-r)) : 0;
}

static int refuse_transaction(struct store *s, const struct record_event *ev, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);

	if (s->depth == 0)
		return 0;
	return error_fail(e, EDEADLK,
			  "%s cannot be recorded inside of a transaction, for its end may undo it",
			  ev->operation);
}

static int not_begun(const struct record_event *ev, int r, const struct error *why,
		     struct error *e)
{
	return error_set(e, r, why->status, why->reason,
			 "%s is not done, for its record cannot be kept: %s", ev->operation,
			 why->text);
}

int record_begin(struct store *s, const struct record_event *ev, char ret_id[UUID_TEXT_SIZE],
		 struct error *e)
{
	_cleanup_json_ json_t *row = NULL;
	char id[UUID_TEXT_SIZE];
	struct error own = ERROR_NULL;
	int r;

	r = refuse_transaction(s, ev, &own);
	if (r == 0)
		r = new_id(id, &own);
	if (r == 0)
		r = row_new(ev, /* type= */ NULL, id, "intent", NULL, &row, &own);
	if (r == 0)
		r = store_write(s, append_work, row, &own);
	if (r == 0) {
		memcpy(ret_id, id, UUID_TEXT_SIZE);
		return 0;
	}
	return not_begun(ev, r, &own, e);
}

/* Intents on their way. */
struct intents {
	const struct record_event *ev;
	const json_t *keys;
	json_t *ids;
};

static int begin_one(struct store *s, struct intents *intents, const json_t *key, struct error *e)
{
	_cleanup_json_ json_t *row = NULL, *data = json_pack("{s:O*}", "provider",
							     json_object_get(key, "provider"));
	struct record_event event = *intents->ev;
	char id[UUID_TEXT_SIZE];
	int r = new_id(id, e);

	event.key = json_text(key, "key");
	event.data = data;
	if (r == 0)
		r = row_new(&event, /* type= */ NULL, id, "intent", NULL, &row, e);
	if (r == 0)
		r = append_work(s, row, e);
	if (r == 0 && json_array_append_new(intents->ids, json_string(id)) < 0)
		r = error_oom(e);
	return r;
}

static int begin_each(struct store *s, void *userdata, struct error *e)
{
	struct intents *intents = userdata;
	const json_t *key;
	size_t i;
	int r = 0;

	json_array_clear(intents->ids);
	json_array_foreach(intents->keys, i, key) {
		r = begin_one(s, intents, key, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int record_begin_keys(struct store *s, const struct record_event *ev, const json_t *keys,
		      json_t **ret_ids, struct error *e)
{
	_cleanup_json_ json_t *ids = json_array();
	struct intents intents = { .ev = ev, .keys = keys, .ids = ids };
	struct error own = ERROR_NULL;
	int r = ids ? refuse_transaction(s, ev, &own) : error_oom(&own);

	if (r == 0)
		r = store_write(s, begin_each, &intents, &own);
	if (r < 0)
		return not_begun(ev, r, &own, e);
	*ret_ids = TAKE_PTR(ids);
	return 0;
}

int record_note(struct store *s, const struct record_event *ev, const char *result,
		struct error *e)
{
	_cleanup_json_ json_t *row = NULL;
	char id[UUID_TEXT_SIZE];
	int r;

	r = new_id(id, e);
	if (r == 0)
		r = row_new(ev, ev->type, id, "note", result, &row, e);
	if (r == 0)
		r = store_write(s, append_work, row, e);
	return r;
}

/* An outcome on its way. */
struct outcome {
	const char *id;
	const struct record_event *ev;	/* NULL: as the intent */
	const char *type;
	const char *result;
};

static int read_intent(struct store *s, const char *id, json_t **ret, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r = event_open_get(s, id, &text, &size, e);

	if (r == -ENOENT)
		return error_fail(e, ENOENT, "No operation %s is under way", id);
	return r < 0 ? r : json_parse(text, size, RECORD_ROW_MAX, "event", ret, e);
}

/* What the outcome does not say is taken from the intent, which has no type. */
static int merge(json_t *row, const json_t *intent, struct error *e)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)intent, name, value) {
		if (!json_is_null(json_object_get(row, name)))
			continue;
		if (json_object_set(row, name, value) < 0)
			return error_oom(e);
	}
	return 0;
}

static int end_work(struct store *s, void *userdata, struct error *e)
{
	static const struct record_event nothing;
	const struct outcome *outcome = userdata;
	_cleanup_json_ json_t *intent = NULL;
	_cleanup_json_ json_t *row = NULL;
	int r;

	r = read_intent(s, outcome->id, &intent, e);
	if (r == 0)
		r = row_new(outcome->ev ? outcome->ev : &nothing, outcome->type, outcome->id,
			    "outcome", outcome->result, &row, e);
	if (r == 0)
		r = merge(row, intent, e);
	if (r == 0)
		r = event_open_remove(s, outcome->id, e);
	if (r == 0)
		r = append(s, row, e);
	return r;
}

int record_end(struct store *s, const char *id, const struct record_event *ev,
	       const struct error *failure)
{
	bool failed = failure && error_is_set(failure);
	struct outcome outcome = { .id = id, .ev = ev, .result = failed ? failure->text : "ok" };
	struct error e = ERROR_NULL;
	int r;

	if (ev)
		outcome.type = failed ? ev->failed_type : ev->type;
	r = store_write(s, end_work, &outcome, &e);
	if (r < 0)
		log_error("The outcome of %s (%s) cannot be recorded: %s",
			  ev && ev->operation ? ev->operation : id, outcome.result, e.text);
	return r;
}

void record_watch(struct store *s, void (*seen)(const json_t *row, void *userdata), void *userdata)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);

	s->record.seen = seen;
	s->record.userdata = userdata;
}

/* Operations that an earlier manager began and did not end. */
static int close_open_intents(struct store *s, struct error *e)
{
	char id[UUID_TEXT_SIZE];
	struct outcome outcome = { .id = id, .result = RESULT_UNKNOWN };
	uint64_t seq;
	int r;

	while ((r = event_open_oldest(s, id, &seq, e)) == 0) {
		r = store_write(s, end_work, &outcome, e);
		if (r == -ENOENT || r == -EBADMSG) {
			log_error("The intent %s was under way and is gone from the events", id);
			r = event_open_remove(s, id, e);
		}
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

int record_open(struct store *s, struct error *e)
{
	static const struct record_event check = {
		.user = RECORD_USER_MANAGER, .operation = "event.verify",
	};
	const char *wrong;
	int r;

	s->record.pending = json_array();
	if (!s->record.pending)
		return error_oom(e);
	r = head_open(s, &wrong, e);
	if (r == 0 && wrong) {
		log_error("The record of events in %s has been changed: %s", s->dir, wrong);
		r = record_note(s, &check, wrong, e);
	}
	return r < 0 ? r : close_open_intents(s, e);
}

void record_close(struct store *s)
{
	s->record.fd = close_fd(s->record.fd);
	json_decref(s->record.pending);
	s->record.pending = NULL;
}

void record_rolled_back(struct store *s, unsigned int depth)
{
	while (json_array_size(s->record.pending) > s->record.marks[depth])
		json_array_remove(s->record.pending, json_array_size(s->record.pending) - 1);
}

json_t *record_committed(struct store *s)
{
	struct event_mark head;
	struct error e = ERROR_NULL;
	json_t *rows, *row;
	size_t i;

	if (json_array_size(s->record.pending) == 0)
		return NULL;
	if (event_mark_read(s, EVENT_HEAD, &head, &e) == 0 && head_file_write(s, &head, &e) < 0) {
		log_error("%s", e.text);
		snprintf(s->trouble, sizeof(s->trouble), "%s", e.text);
	}
	json_array_foreach(s->record.pending, i, row)
		if (s->record.seen)
			s->record.seen(row, s->record.userdata);
	rows = json_copy(s->record.pending);
	json_array_clear(s->record.pending);
	return rows;
}

/* The journal's copy may fail: the store is the record. */
static void journal_row(const json_t *row)
{
	const char *phase = json_text(row, "phase"), *result = json_text(row, "result");
	bool intent = strcmp(phase, "intent") == 0, outcome = strcmp(phase, "outcome") == 0;

	sd_journal_send("MESSAGE=%s %s by %s: %s", json_text(row, "operation"), json_text(row, "object"),
			json_text(row, "user"), intent ? "begins" : result,
			"PRIORITY=%d", outcome && strcmp(result, "ok") != 0 ? LOG_WARNING : LOG_INFO,
			"MESSAGE_ID=%s", intent ? MESSAGE_ID_INTENT :
				outcome ? MESSAGE_ID_OUTCOME : MESSAGE_ID_NOTE,
			"VMCRYPT_EVENT=%s", json_text(row, "id"),
			"VMCRYPT_EVENT_HASH=%s", json_text(row, "hash"),
			"VMCRYPT_OPERATION=%s", json_text(row, "operation"),
			"VMCRYPT_TYPE=%s", json_text(row, "type"),
			"VMCRYPT_OBJECT=%s", json_text(row, "object"),
			"VMCRYPT_USER=%s", json_text(row, "user"),
			"VMCRYPT_KEY=%s", json_text(row, "key"),
			"VMCRYPT_HOST=%s", json_text(row, "host"),
			"VMCRYPT_VM=%s", json_text(row, "vm"),
			NULL);
}

void record_journal(json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		journal_row(row);
	json_decref(rows);
}
