/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/events.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "host/eventfile.h"

#define OBJECT_MAX	1024	/* bytes of an object's name that are kept */
#define MESSAGE_ID_INTENT	"5d1f0c1ab2a94c0c8d6a1c3e6f7b2e41"
#define MESSAGE_ID_OUTCOME	"9b0e7d5430c24e5f9f3bd41c7a8e5d62"
#define RESULT_UNKNOWN	"unknown: agent restarted"

struct events {
	pthread_mutex_t lock;
	struct eventfile files;
	unsigned int open;		/* intents without an outcome */
	uint64_t seq;
	char host[256];
	char trouble[ERROR_TEXT_SIZE];	/* of the last write, empty when it went well */
	void (*seen)(const char *text, size_t size, uint64_t seq, void *userdata);
	void *seen_userdata;
};

/* Any bytes as a JSON string: what is no UTF-8 becomes '?'. */
static json_t *text_json(const char *text, size_t max)
{
	_cleanup_free_ char *copy = NULL;

	if (!text)
		return json_null();
	copy = strndup(text, max);
	return copy ? json_string_printable(copy) : NULL;
}

static json_t *line_new(const struct events *events, const struct event *event)
{
	char now[TIME_TEXT_SIZE], id[UUID_TEXT_SIZE];

	if (uuid_random_text(id) < 0)
		return NULL;
	time_format(time_now(), now);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:n, s:s, s:o}",
			 "time", now, "id", id,
			 "user", text_json(event->user, 128),
			 "operation", text_json(event->operation, 64),
			 "object", text_json(event->object, OBJECT_MAX),
			 "key", text_json(event->key, 512),
			 "phase", "intent", "result", "host", events->host,
			 "vm", text_json(event->vm, 255));
}

/* The journal's copy may fail: the store is the record. */
static void journal_line(const json_t *line)
{
	bool outcome = !strcmp(json_text(line, "phase"), "outcome");
	const char *result = json_text(line, "result");
	bool bad = outcome && strcmp(result, "ok") != 0;

	sd_journal_send("MESSAGE=%s %s by %s: %s", json_text(line, "operation"), json_text(line, "object"),
			json_text(line, "user"), outcome ? result : "begins",
			"PRIORITY=%d", bad ? LOG_WARNING : LOG_INFO,
			"MESSAGE_ID=%s", outcome ? MESSAGE_ID_OUTCOME : MESSAGE_ID_INTENT,
			"VMCRYPT_EVENT=%s", json_text(line, "id"),
			"VMCRYPT_OPERATION=%s", json_text(line, "operation"),
			"VMCRYPT_OBJECT=%s", json_text(line, "object"),
			"VMCRYPT_USER=%s", json_text(line, "user"),
			"VMCRYPT_KEY=%s", json_text(line, "key"),
			"VMCRYPT_VM=%s", json_text(line, "vm"),
			NULL);
}

static int format_line(const json_t *line, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *text = json_dumps(line, JSON_COMPACT);
	size_t size;
	char *longer;

	if (!text)
		return -ENOMEM;
	size = strlen(text);
	if (size + 1 > EVENT_LINE_MAX)
		return -EMSGSIZE;
	longer = realloc(text, size + 2);
	if (!longer)
		return -ENOMEM;
	text = NULL;
	longer[size] = '\n';
	longer[size + 1] = '\0';
	*ret = longer;
	*ret_size = size + 1;
	return 0;
}

/* Under the lock. */
static int append(struct events *events, const json_t *line, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = format_line(line, &text, &size);
	if (r < 0)
		return error_fail(e, r, "Cannot record an event: %s", strerror(-r));
	r = eventfile_append(&events->files, text, size, e);
	if (r < 0) {
		snprintf(events->trouble, sizeof(events->trouble), "%s", e->text);
		return r;
	}
	events->trouble[0] = '\0';
	events->seq++;
	if (events->seen)
		events->seen(text, size - 1, events->seq, events->seen_userdata);
	return 0;
}

/* Room for @lines and for the outcomes of all that is under way; under the lock. */
static int reserve(struct events *events, unsigned int lines, struct error *e)
{
	uint64_t need = (uint64_t)(events->open + lines) * EVENT_LINE_MAX;

	return eventfile_reserve(&events->files, need, e);
}

int events_begin(struct events *events, const struct event *event, struct event_record *ret,
		 struct error *e)
{
	_cleanup_json_ json_t *line = line_new(events, event);
	int r;

	if (!line)
		return error_oom(e);
	pthread_mutex_lock(&events->lock);
	r = reserve(events, 2, e);
	if (r == 0)
		r = append(events, line, e);
	if (r == 0)
		events->open++;
	pthread_mutex_unlock(&events->lock);
	if (r < 0)
		return error_prefix(e, "%s of %s is not done, for its record cannot be kept",
				    event->operation, event->object);
	journal_line(line);
	ret->line = TAKE_PTR(line);
	return 0;
}

void events_learn(struct event_record *record, const char *key, const char *vm)
{
	if (!record->line)
		return;
	if (key)
		json_object_set_new(record->line, "key", text_json(key, 512));
	if (vm)
		json_object_set_new(record->line, "vm", text_json(vm, 255));
}

/* Under the lock. */
static void append_outcome(struct events *events, json_t *line, const char *result)
{
	struct error e = ERROR_NULL;
	char now[TIME_TEXT_SIZE];

	time_format(time_now(), now);
	json_object_set_new(line, "time", json_string(now));
	json_object_set_new(line, "phase", json_string("outcome"));
	json_object_set_new(line, "result", text_json(result, ERROR_TEXT_SIZE));
	if (reserve(events, 1, &e) < 0 || append(events, line, &e) < 0)
		log_error("%s (%s of %s: %s)", e.text, json_text(line, "operation"),
			  json_text(line, "object"), result);
}

void events_end(struct events *events, struct event_record *record, const struct error *failure)
{
	bool failed = failure && error_is_set(failure);

	if (!record->line)
		return;
	pthread_mutex_lock(&events->lock);
	append_outcome(events, record->line, failed ? failure->text : "ok");
	events->open--;
	pthread_mutex_unlock(&events->lock);
	journal_line(record->line);
	json_decref(record->line);
	record->line = NULL;
}

/* Whether a line is a whole event; an intent goes into @userdata, an object by
 * id, and its outcome takes it out. */
static bool line_valid(const char *text, size_t size, void *userdata)
{
	_cleanup_json_ json_t *line = NULL;
	json_t *open = userdata;
	const char *id, *phase;

	if (json_parse(text, size, EVENT_LINE_MAX, "event", &line, NULL) < 0)
		return false;
	id = json_text(line, "id");
	phase = json_text(line, "phase");
	if (!*id || !*phase)
		return false;
	if (!strcmp(phase, "intent"))
		json_object_set(open, id, line);
	else
		json_object_del(open, id);
	return true;
}

/* Operations that an earlier agent began and did not end. */
static void close_open_intents(struct events *events, json_t *open)
{
	const char *id;
	json_t *line;

	json_object_foreach(open, id, line) {
		log_notice("%s of %s was under way when the agent ended: its outcome is unknown",
			   json_text(line, "operation"), json_text(line, "object"));
		append_outcome(events, line, RESULT_UNKNOWN);
		journal_line(line);
	}
}

int events_open(const char *dir, uint64_t size_max, struct events **ret, struct error *e)
{
	_cleanup_json_ json_t *open = json_object();
	struct events *events = calloc(1, sizeof(*events));
	int r;

	if (!open || !events) {
		free(events);
		return error_oom(e);
	}
	if (gethostname(events->host, sizeof(events->host) - 1) < 0)
		snprintf(events->host, sizeof(events->host), "localhost");
	r = eventfile_open(dir, size_max, line_valid, open, &events->files, e);
	if (r < 0) {
		free(events);
		return r;
	}
	pthread_mutex_init(&events->lock, NULL);
	close_open_intents(events, open);
	*ret = events;
	return 0;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	eventfile_close(&events->files);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

void events_get_status(struct events *events, struct events_status *ret)
{
	pthread_mutex_lock(&events->lock);
	*ret = (struct events_status){
		.bytes = events->files.size + events->files.old_size,
		.reserved = eventfile_reserved(&events->files),
		.healthy = eventfile_healthy(&events->files) && !events->trouble[0],
	};
	if (events->trouble[0])
		snprintf(ret->trouble, sizeof(ret->trouble), "%s", events->trouble);
	else if (events->files.no_reserve)
		snprintf(ret->trouble, sizeof(ret->trouble),
			 "the file system of the event store cannot reserve space: a full disk will stop operations on keys");
	else if (!ret->healthy)
		snprintf(ret->trouble, sizeof(ret->trouble),
			 "the event store has only %llu bytes in reserve: free space on its file system",
			 (unsigned long long)ret->reserved);
	pthread_mutex_unlock(&events->lock);
}

struct walk {
	int (*line)(const char *text, size_t size, void *userdata);
	void *userdata;
	uint64_t count;
	uint64_t skip;
};

static int count_line(const char *text, size_t size, uint64_t end, void *userdata)
{
	struct walk *walk = userdata;

	(void)text;
	(void)size;
	(void)end;
	walk->count++;
	return 0;
}

static int walk_line(const char *text, size_t size, uint64_t end, void *userdata)
{
	struct walk *walk = userdata;

	(void)end;
	if (walk->skip) {
		walk->skip--;
		return 0;
	}
	return walk->line(text, size, walk->userdata);
}

static int each_file(FILE *files[2], const uint64_t sizes[2],
		     int (*line)(const char *text, size_t size, uint64_t end, void *userdata),
		     struct walk *walk)
{
	int i, r = 0;

	for (i = 0; i < 2 && r == 0; i++) {
		if (!files[i])
			continue;
		rewind(files[i]);
		r = eventfile_lines(files[i], sizes[i], line, walk);
	}
	return r;
}

static void close_files(FILE *const files[2])
{
	for (size_t i = 0; i < 2; i++)
		if (files[i])
			fclose(files[i]);
}

int events_each(struct events *events, uint64_t limit,
		int (*line)(const char *text, size_t size, void *userdata), void *userdata,
		uint64_t *ret_seq, struct error *e)
{
	struct walk walk = { .line = line, .userdata = userdata };
	FILE *files[2] = { NULL, NULL };
	uint64_t sizes[2];
	int r;

	pthread_mutex_lock(&events->lock);
	r = eventfile_readers(&events->files, files, sizes, e);
	*ret_seq = events->seq;
	pthread_mutex_unlock(&events->lock);
	if (r < 0)
		return r;
	if (limit) {
		each_file(files, sizes, count_line, &walk);
		walk.skip = walk.count > limit ? walk.count - limit : 0;
	}
	r = each_file(files, sizes, walk_line, &walk);
	close_files(files);
	if (r < 0 && e && !error_is_set(e))
		error_fail(e, r, "Cannot list the events: %s", strerror(-r));
	return r;
}

void events_watch(struct events *events,
		  void (*seen)(const char *text, size_t size, uint64_t seq, void *userdata),
		  void *userdata)
{
	pthread_mutex_lock(&events->lock);
	events->seen = seen;
	events->seen_userdata = userdata;
	pthread_mutex_unlock(&events->lock);
}
