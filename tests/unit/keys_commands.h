/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What test_manager_keys.c does by order of test_manager_keys.py. */
#ifndef VMCRYPT_TESTS_KEYS_COMMANDS_H
#define VMCRYPT_TESTS_KEYS_COMMANDS_H

#include "common/lock.h"
#include <sqlite3.h>

#include "common/log.h"
#include "manager/keys_withdraw.h"

/* One order: ["name", text...]. */
struct order {
	const json_t *line;
	json_t *result;
	struct channel_failure why;
};

static const char *word(const struct order *o, size_t i)
{
	const json_t *value = json_array_get(o->line, i);

	return json_is_string(value) ? json_string_value(value) : NULL;
}

/* What a host has got: so that two can be compared without telling. */
static json_t *digest_of(const char *host, const json_t *key)
{
	struct secret kek _cleanup_secret_ = SECRET_NULL;
	unsigned int sum = 0;
	size_t i;

	open_key(find_played(host), key, &kek);
	for (i = 0; i < kek.size; i++)
		sum = sum * 31 + kek.data[i];
	return json_pack("{s:O, s:I, s:O}", "key", json_object_get(key, "key"), "sum", (json_int_t) sum,
			 "provider", json_object_get(key, "provider"));
}

/* HOST VM DISK [PROVIDER [UUID-OF-VM USER]]: the last while it makes a disk for a user */
static int do_new(struct order *o)
{
	struct errand errand = { .host = word(o, 1), .vm = word(o, 5), .user = word(o, 6), .event = "e1" };
	_cleanup_json_ json_t *args = json_pack("{s:s?, s:s, s:s}", "provider", word(o, 4), "vm", word(o, 2),
						"disk", word(o, 3)), *key = NULL;
	struct host_peer peer = { .host = word(o, 1) };
	int r;

	if (errand.user)
		errand_begin(manager.errands, &errand);
	r = keys_serve_new(&manager, &peer, args, &key, &o->why);
	mutex_unlock(&peer.order);
	if (errand.user)
		errand_end(manager.errands, &errand);
	if (r == 0)
		o->result = digest_of(word(o, 1), key);
	return r;
}

static int do_get(struct order *o)
{
	_cleanup_json_ json_t *args = json_pack("{s:s, s:s, s:n}", "provider", word(o, 2), "key", word(o, 3),
						"vm"), *key = NULL;
	struct host_peer peer = { .host = word(o, 1) };
	int r = keys_serve_get(&manager, &peer, args, &key, &o->why);

	mutex_unlock(&peer.order);
	if (r == 0)
		o->result = digest_of(word(o, 1), key);
	return r;
}

static int do_provider(struct order *o)
{
	char id[UUID_TEXT_SIZE];
	int r = provider_create(&manager, word(o, 1), word(o, 2), word(o, 3), false, id, &o->why.error);

	if (r == 0)
		o->result = json_string(id);
	return r;
}

/* PROVIDER NAME PORT CA PIN VERSION USER PASSWORD */
static int do_server(struct order *o)
{
	struct provider_server server = {
		.name = word(o, 2), .address = "127.0.0.1", .port = (uint16_t) strtoul(word(o, 3), NULL, 10),
		.ca = word(o, 4), .pin = word(o, 5), .user = word(o, 7), .legacy = true, .password = SECRET_NULL,
	};
	int r = provider_version_parse(word(o, 6), &server.version, &o->why.error);

	if (word(o, 8))
		server.password = unit_secret(word(o, 8), strlen(word(o, 8)));
	if (r == 0)
		r = provider_server_add(&manager, word(o, 1), &server, "anna", &o->why.error);
	secret_done(&server.password);
	return r;
}

/* PROVIDER NAME PORT VERSION USER PASSWORD; null: as it is, USER "": none */
static int do_change(struct order *o)
{
	struct provider_server change = {
		.port = (uint16_t) (word(o, 3) ? strtoul(word(o, 3), NULL, 10) : 0), .password = SECRET_NULL,
	};
	unsigned int named = (word(o, 3) ? SERVER_PORT : 0) | (word(o, 4) ? SERVER_VERSION : 0) |
			     (word(o, 5) ? SERVER_USER : 0) | (word(o, 6) ? SERVER_PASSWORD : 0);
	int r = provider_version_parse(word(o, 4), &change.version, &o->why.error);

	if (word(o, 5) && *word(o, 5))
		change.user = word(o, 5);
	if (word(o, 6))
		change.password = unit_secret(word(o, 6), strlen(word(o, 6)));
	if (r == 0)
		r = provider_server_change(&manager, word(o, 1), word(o, 2), &change, named, "anna",
					   &o->why.error);
	secret_done(&change.password);
	return r;
}

static int do_remove_server(struct order *o)
{
	return provider_server_remove(&manager, word(o, 1), word(o, 2), &o->why.error);
}

static int do_trust(struct order *o)
{
	const struct provider_server change = { .pin = word(o, 3), .ca = word(o, 4), .password = SECRET_NULL };

	return provider_server_change(&manager, word(o, 1), word(o, 2), &change, SERVER_TRUST, "anna",
				      &o->why.error);
}

static int do_look(struct order *o)
{
	const struct provider_server server = {
		.name = "", .address = "127.0.0.1", .port = (uint16_t) strtoul(word(o, 1), NULL, 10),
		.legacy = true, .password = SECRET_NULL,
	};

	return provider_server_look(&server, &o->result, &o->why.error);
}

static int do_certificate(struct order *o)
{
	struct secret key _cleanup_secret_ = SECRET_NULL;

	if (word(o, 3))
		key = unit_secret(word(o, 3), strlen(word(o, 3)));
	return provider_certificate_upload(&manager, word(o, 1), word(o, 2), &key, &o->why.error);
}

static int do_request(struct order *o)
{
	return provider_certificate_request(&manager, word(o, 1), "vmcrypt", &o->why.error);
}

static int do_self_signed(struct order *o)
{
	return provider_certificate_self_signed(&manager, word(o, 1), "vmcrypt", 20, &o->why.error);
}

static int do_signed(struct order *o)
{
	return provider_certificate_signed(&manager, word(o, 1), "vmcrypt", 90, &o->why.error);
}

/* KIND ID */
static int do_document(struct order *o)
{
	return store_get(manager.store, word(o, 1), word(o, 2), &o->result, &o->why.error);
}

/* KIND ID DOCUMENT; null: delete */
static int do_put(struct order *o)
{
	const json_t *document = json_array_get(o->line, 3);
	int r;

	if (json_is_null(document))
		return store_delete(manager.store, word(o, 1), word(o, 2), &o->why.error);
	r = store_insert(manager.store, word(o, 1), word(o, 2), document, &o->why.error);
	if (r == -EEXIST)
		return store_update(manager.store, word(o, 1), word(o, 2), document, &o->why.error);
	return r;
}

/* ID NAME CLUSTER MODE */
static int do_host(struct order *o)
{
	add_host(word(o, 1), word(o, 2), word(o, 3), word(o, 4), true);
	return 0;
}

/* ID NUMBER: enum play */
static int do_play(struct order *o)
{
	find_played(word(o, 1))->play = (enum play) json_integer_value(json_array_get(o->line, 2));
	return 0;
}

/* What a host was asked since the last time, and what it holds. */
static int do_asked(struct order *o)
{
	struct played *p = find_played(word(o, 1));

	o->result = json_pack("{s:o, s:O}", "asked", p->asked, "keys", p->keys);
	p->asked = json_array();
	return 0;
}

static int do_status(struct order *o)
{
	return provider_status(&manager, word(o, 1), "anna", &o->result, &o->why.error);
}

static int do_view(struct order *o)
{
	_cleanup_json_ json_t *document = NULL;
	int r = provider_get(&manager, word(o, 1), NULL, &document, &o->why.error);

	if (r == 0)
		o->result = provider_view(&manager, document);
	return r;
}

static int do_provision(struct order *o)
{
	return keys_provision(&manager, word(o, 1), &o->why.error);
}

static int do_host_key(struct order *o)
{
	return keys_make_host_key(&manager, word(o, 1), "anna", &o->result, &o->why.error);
}

static int do_keys(struct order *o)
{
	return keys_list(&manager, word(o, 1), word(o, 2), &o->result, &o->why.error);
}

static int do_show(struct order *o)
{
	return keys_show(&manager, word(o, 1), word(o, 2), &o->result, &o->why.error);
}

static int do_remove(struct order *o)
{
	return keys_remove(&manager, word(o, 1), word(o, 2), word(o, 3) != NULL, &o->why.error);
}

static int do_register(struct order *o)
{
	return keys_register(&manager, word(o, 1), word(o, 2), word(o, 3), &o->why.error);
}

static int do_default(struct order *o)
{
	return provider_default_set(&manager, word(o, 1), word(o, 2), &o->why.error);
}

/* SECONDS since 1970 */
static int do_watch(struct order *o)
{
	provider_watch(&manager, json_integer_value(json_array_get(o->line, 1)));
	return 0;
}

/* ms from now */
static int do_retry(struct order *o)
{
	keywatch_retry(manager.watch, &manager,
		       time_monotonic_ms() + json_integer_value(json_array_get(o->line, 1)));
	o->result = json_integer((json_int_t) keywatch_wanted(manager.watch));
	return 0;
}

/* VM CLUSTER: as api_inventory.c does it */
static int move(struct store *store, void *userdata, struct error *failure)
{
	const struct order *o = userdata;
	_cleanup_json_ json_t *vm = NULL, *before = NULL;
	int r = store_get(store, "vm", word(o, 1), &vm, failure);

	if (r == 0)
		r = hosts_of_vm(&manager, word(o, 1), &before, failure);
	if (r == 0 && json_object_set(vm, "cluster", json_array_get(o->line, 2)) == 0)
		r = store_update(store, "vm", word(o, 1), vm, failure);
	return r < 0 ? r : keys_withdraw_vm(&manager, before, word(o, 1), failure);
}

static int do_move(struct order *o)
{
	int r = store_write(manager.store, move, o, &o->why.error);

	keys_withdraw_again(&manager);
	return r;
}

/* Rows behind SEQ. */
static int do_rows(struct order *o)
{
	const struct record_filter f = {
		.since_seq = (uint64_t) json_integer_value(json_array_get(o->line, 1)),
	};

	o->result = json_array();
	return record_each(manager.store, &f, take_row, o->result, &o->why.error);
}

static bool holds(const char *data, size_t size, const struct secret *key)
{
	char hex[2 * 32 + 1], base64[BASE64_SIZE(32)];

	hex_encode(key->data, key->size, hex);
	base64_encode(key->data, key->size, base64);
	/* The last characters of base64 depend on what follows. */
	return memmem(data, size, key->data, key->size) || memmem(data, size, hex, strlen(hex)) ||
	       memmem(data, size, base64, 40);
}

/* How many keys the hosts have seen; fails when one of them is in a FILE. */
static int do_search(struct order *o)
{
	_cleanup_fclose_ FILE *file = fopen(word(o, 1), "r");
	_cleanup_free_ char *data = NULL;
	struct stat st;
	size_t i;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	data = malloc((size_t) st.st_size + 1);
	assert_int_equal(fread(data, 1, (size_t) st.st_size, file), (size_t) st.st_size);
	for (i = 0; i < n_seen; i++)
		if (holds(data, (size_t) st.st_size, &seen[i]))
			return error_fail(&o->why.error, EEXIST, "Key %zu is in %s", i, word(o, 1));
	o->result = json_integer((json_int_t) n_seen);
	return 0;
}

static void alter_store(const char *folder, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(unit_path(folder, "manager.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* FOLDER SQL, which is run meanwhile */
static int do_reopen(struct order *o)
{
	close_manager();
	if (word(o, 2))
		alter_store(word(o, 1), word(o, 2));
	open_manager(word(o, 1));
	return 0;
}

static int do_start(struct order *o);
static int do_finish(struct order *o);

static const struct { const char *name; int (*run)(struct order *o); } orders[] = {
	{ "asked", do_asked }, { "certificate", do_certificate }, { "change", do_change }, { "default", do_default },
	{ "document", do_document }, { "finish", do_finish }, { "get", do_get }, { "host", do_host }, { "host_key", do_host_key },
	{ "keys", do_keys }, { "look", do_look }, { "move", do_move }, { "new", do_new }, { "play", do_play },
	{ "provider", do_provider }, { "provision", do_provision }, { "put", do_put },
	{ "register", do_register }, { "remove", do_remove }, { "remove_server", do_remove_server },
	{ "reopen", do_reopen }, { "request", do_request }, { "retry", do_retry }, { "rows", do_rows },
	{ "search", do_search }, { "self_signed", do_self_signed }, { "server", do_server },
	{ "show", do_show }, { "signed", do_signed }, { "start", do_start }, { "status", do_status }, { "trust", do_trust },
	{ "view", do_view }, { "watch", do_watch },
};

static json_t *carry_out(const json_t *line)
{
	struct order o = { .line = line, .why = { .error = ERROR_NULL } };
	json_t *answer;
	size_t i = 0;
	int r;

	while (i < ARRAY_SIZE(orders) && strcmp(orders[i].name, word(&o, 0)) != 0)
		i++;
	assert_true(i < ARRAY_SIZE(orders));
	r = orders[i].run(&o);
	answer = json_pack("{s:i, s:s, s:i, s:s, s:s, s:o?}", "r", r, "errno", r < 0 ? error_name(r) : "",
			   "status", r < 0 ? (int) o.why.error.status : 0, "reason", o.why.key_reason,
			   "text", o.why.error.text, "result", o.result);
	assert_non_null(answer);
	return answer;
}

/* One order that goes on while others are carried out, and its answer. */
static struct {
	pthread_t thread;
	json_t *line;
	json_t *answer;
} aside;

static void *carry_out_aside(void *unused)
{
	(void) unused;
	aside.answer = carry_out(aside.line);
	return NULL;
}

/* ORDER... */
static int do_start(struct order *o)
{
	aside.line = json_copy((json_t *) o->line);
	json_array_remove(aside.line, 0);
	return -pthread_create(&aside.thread, NULL, carry_out_aside, NULL);
}

static int do_finish(struct order *o)
{
	pthread_join(aside.thread, NULL);
	json_decref(aside.line);
	o->result = aside.answer;
	return 0;
}

static void obey(const char *text)
{
	_cleanup_json_ json_t *line = json_loads(text, 0, NULL), *answer = carry_out(line);

	json_dumpf(answer, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

static int commands(const char *folder)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (secret_init() < 0)
		return EXIT_FAILURE;
	log_set_level(LOG_DEBUG);
	open_manager(folder);
	while (getline(&line, &size, stdin) > 0)
		obey(line);
	play_end();
	close_manager();
	return EXIT_SUCCESS;
}

#endif
