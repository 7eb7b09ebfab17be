// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/event_pages.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/draft.h"
#include "cli/event_writer.h"
#include "cli/interrupt.h"
#include "cli/manager.h"
#include "common/cleanup.h"

#define PAGE		1000U	/* events; as many as the manager puts into one answer */
#define NEWEST		100U	/* that are listed when nobody says how many */
#define POLL_MS		1000
#define AWAY_MS		3000	/* between two tries to reach a manager that is away */

/**
 * struct pages - events on their way from the manager
 * @filter: which; what of it goes into each request
 * @since: the number of the last one that came, or that was looked at
 * @left: as many may yet come; %UINT64_MAX: all
 */
struct pages {
	const struct cli_call *call;
	struct rest_target *target;
	const json_t *filter;
	uint64_t since;
	uint64_t left;
	struct event_writer writer;
};

static uint64_t take_number(json_t *args, const char *name, uint64_t other)
{
	const json_t *value = json_object_get(args, name);
	uint64_t number = value ? (uint64_t)json_integer_value(value) : other;

	json_object_del(args, name);
	return number;
}

static uint64_t seq_at(const json_t *events, size_t index)
{
	json_int_t seq = json_integer_value(json_object_get(json_array_get(events, index), "seq"));

	return seq > 0 ? (uint64_t)seq : 0;
}

static int no_events(const struct pages *p, struct error *e)
{
	return error_fail(e, EPROTO, "The manager at %s does not answer with events in their order",
			  p->target->url);
}

/* One answer; @bound is "since" or "before", or NULL for the newest. */
static int fetch(const struct pages *p, const char *bound, uint64_t seq, uint64_t limit,
		 json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *query = json_deep_copy(p->filter), *answer = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	if (!query || json_object_set_new(query, "limit", json_integer((json_int_t)limit)) < 0 ||
	    (bound && json_object_set_new(query, bound, json_integer((json_int_t)seq)) < 0))
		return error_oom(e);
	r = manager_path("GET /events", query, &path, e);
	if (r == 0)
		r = rest_call(p->target, "GET", path, /* body= */ NULL, &answer, e);
	if (r < 0)
		return r;
	if (!json_is_array(json_object_get(answer, "events")))
		return no_events(p, e);
	*ret = TAKE_PTR(answer);
	return 0;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What a follower goes on behind. */
static void remember(struct pages *p, const json_t *answer)
{
	const json_t *events = json_object_get(answer, "events");
	json_int_t last = json_integer_value(json_object_get(answer, "last"));
	size_t n = json_array_size(events);

	if (n > 0 && seq_at(events, n - 1) > p->since)
		p->since = seq_at(events, n - 1);
	if (last > 0 && (uint64_t)last > p->since)
		p->since = (uint64_t)last;
}

/* Those behind @since, as they are at the manager by now. */
static int forward(struct pages *p, struct error *e)
{
	size_t n = PAGE, want = PAGE;
	int r = 0;

	while (r == 0 && p->left > 0 && n == want) {
		_cleanup_json_ json_t *answer = NULL;
		const json_t *events;

		want = less(p->left, PAGE);
		r = fetch(p, "since", p->since, want, &answer, e);
		if (r < 0)
			return r;
		events = json_object_get(answer, "events");
		n = json_array_size(events);
		if (n > want || (n > 0 && seq_at(events, n - 1) <= p->since))
			return no_events(p, e);
		r = event_writer_put(&p->writer, events, e);
		if (n == want)
			p->since = seq_at(events, n - 1);
		else
			remember(p, answer);
		if (p->left != UINT64_MAX)
			p->left -= n;
	}
	return r;
}

/* The newest ones, in answers from the newest backward. */
static int collect(struct pages *p, json_t *answers, struct error *e)
{
	uint64_t before = INT64_MAX;
	size_t n, want;

	do {
		json_t *answer = NULL;
		const json_t *events;
		int r;

		want = less(p->left, PAGE);
		r = fetch(p, "before", before, want, &answer, e);
		if (r < 0)
			return r;
		if (json_array_append_new(answers, answer) < 0)
			return error_oom(e);
		events = json_object_get(answer, "events");
		n = json_array_size(events);
		if (n > want || (n > 0 && (seq_at(events, 0) == 0 || seq_at(events, n - 1) >= before)))
			return no_events(p, e);
		if (n > 0)
			before = seq_at(events, 0);
		p->left -= n;
	} while (n == want && p->left > 0);
	return 0;
}

static int newest(struct pages *p, struct error *e)
{
	_cleanup_json_ json_t *answers = json_array();
	int r = answers ? collect(p, answers, e) : error_oom(e);

	for (size_t i = json_array_size(answers); r == 0 && i > 0; i--) {
		const json_t *answer = json_array_get(answers, i - 1);

		r = event_writer_put(&p->writer, json_object_get(answer, "events"), e);
		remember(p, answer);
	}
	return r;
}

/*
 * Following: what comes, until somebody interrupts.
 */

/* What a manager that starts again, or a network that is back, mends. */
static bool may_pass(int r, const struct error *e)
{
	return r == -ECONNREFUSED || r == -ETIMEDOUT ||
	       (r == -EREMOTEIO && e->status == EXIT_FAILED);
}

/* Sessions end with the manager; asking again with a token that is none would fill the
 * record. Return: 1: there is another token; 0: interrupted. */
static int await_session(struct pages *p, const struct interrupt *interrupt)
{
	while (!interrupt_wait(interrupt, POLL_MS)) {
		_cleanup_secret_ struct secret token = SECRET_NULL;

		if (manager_read_token(p->call, &token, /* e= */ NULL) < 0 || token.size == 0 ||
		    secret_equal(&token, &p->target->token))
			continue;
		secret_done(&p->target->token);
		p->target->token = secret_take(&token);
		return 1;
	}
	return 0;
}

/* Return: 1: go on; 0: interrupted; or why it cannot go on. */
static int mend(struct pages *p, const struct interrupt *interrupt, bool *away, FILE *err, int r,
		struct error *e)
{
	bool session = r == -EREMOTEIO && e->status == EXIT_NOT_ALLOWED && p->target->token.size > 0;

	if (!session && !may_pass(r, e))
		return r;
	if (session)
		fprintf(err, "vmcryptctl: %s. Waiting for a new session: \"vmcryptctl --manager %s session create USER\"\n",
			e->text, p->target->url);
	else if (!*away)
		fprintf(err, "vmcryptctl: %s. Trying again until it answers\n", e->text);
	fflush(err);
	*e = ERROR_NULL;
	*away = !session;
	return session ? await_session(p, interrupt) : !interrupt_wait(interrupt, AWAY_MS);
}

static int follow(struct pages *p, const struct interrupt *interrupt, FILE *err, struct error *e)
{
	bool away = false;
	int r = 1;

	while (r > 0 && !interrupt_wait(interrupt, away ? 0 : POLL_MS)) {
		p->left = UINT64_MAX;
		r = forward(p, e);
		if (r == -EINTR)
			break;
		if (r < 0) {
			r = mend(p, interrupt, &away, err, r, e);
			continue;
		}
		if (away)
			fprintf(err, "vmcryptctl: The manager at %s answers again\n", p->target->url);
		away = false;
		r = 1;
	}
	if (r < 0 && r != -EINTR)
		return r;
	*e = ERROR_NULL;
	return 0;
}

static int list(struct pages *p, bool from_the_first, struct error *e)
{
	int r = event_writer_begin(&p->writer, e);

	if (r == 0)
		r = from_the_first ? forward(p, e) : newest(p, e);
	return r == 0 ? event_writer_end(&p->writer, e) : r;
}

static enum event_style style_of(const struct cli_call *call, const char *format, bool followed)
{
	if (format && strcmp(format, "csv") == 0)
		return EVENT_CSV;
	if (followed)
		return call->json || format ? EVENT_JSON_LINES : EVENT_LINES;
	return call->json || format || call->out_file ? EVENT_JSON : EVENT_TABLE;
}

static int export(struct pages *p, FILE *out, struct error *e)
{
	_cleanup_draft_ struct draft draft = { .out = NULL };
	int r = draft_begin(p->call->out_file, &draft, e);

	if (r < 0)
		return r;
	p->writer.out = draft.out;
	r = list(p, /* from_the_first= */ true, e);
	if (r == 0)
		r = draft_keep(&draft, e);
	if (r < 0)
		return r == -EINTR ? error_fail(e, EINTR, "Interrupted: %s was not made",
						p->call->out_file) : r;
	if (p->call->json)
		fprintf(out, "{\"rows\": %" PRIu64 "}\n", p->writer.rows);
	else
		fprintf(out, "%" PRIu64 " events.\n", p->writer.rows);
	return 0;
}

int event_pages_run(const struct cli_call *call, struct rest_target *target, FILE *out, FILE *err,
		    struct error *e)
{
	_cleanup_interrupt_ struct interrupt interrupt = { .fd = -1 };
	_cleanup_json_ json_t *filter = json_copy(call->args), *format = NULL;
	bool followed = json_is_true(json_object_get(filter, "follow"));
	bool first = json_object_get(filter, "since") || json_object_get(filter, "from");
	struct pages p = { .call = call, .target = target, .filter = filter };
	int r = 0;

	if (!filter)
		return error_oom(e);
	format = json_incref(json_object_get(filter, "format"));
	p.writer = (struct event_writer) {
		.out = out, .safe = !call->out_file, .command = call->command,
		.style = style_of(call, json_string_value(format), followed),
	};
	p.since = take_number(filter, "since", 0);
	p.left = take_number(filter, "limit", call->out_file ? 0 : NEWEST);
	if (p.left == 0) {
		p.left = UINT64_MAX;
		first = true;
	}
	json_object_del(filter, "follow");
	json_object_del(filter, "format");
	if (followed || call->out_file)
		r = interrupt_begin(&interrupt, e);
	if (r < 0)
		return r;
	target->interrupt = interrupt.fd >= 0 ? &interrupt : NULL;
	r = call->out_file ? export(&p, out, e) : list(&p, first, e);
	if (followed && (r == 0 || r == -EINTR))
		r = follow(&p, &interrupt, err, e);
	target->interrupt = NULL;
	if (r == 0 && (fflush(out) != 0 || ferror(out)))
		r = error_fail(e, EIO, "The result could not be written: %s", strerror(errno));
	return r;
}
