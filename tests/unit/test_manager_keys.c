/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Providers and keys of the manager as far as no key server is needed. Called with the
 * name of a folder the program does what its standard input says, a JSON array a line,
 * for test_manager_keys.py.
 */
#include "keys_manager.h"

#include "common/fileio.h"
#include "common/lock.h"
#include "manager/host_change.h"
#include "manager/host_mode.h"
#include "manager/host_requests.h"
static void names_are_given_once(void **state)
{
	char id[UUID_TEXT_SIZE];

	(void) state;
	make("kms", "standard", id);
	must_fail(provider_create(&manager, "kms", "native", NULL, false, id, &e), -EEXIST, "kms");
	must_fail(provider_create(&manager, "a/b", "native", NULL, false, id, &e), -EINVAL, "a/b");
	must_fail(provider_create(&manager, "x", "trusted", NULL, false, id, &e), -EINVAL, "trusted");
	must_fail(provider_create(&manager, "x", "native", "key", false, id, &e), -EINVAL, "native");
}

static void nearest_default_wins(void **state)
{
	char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE], c[UUID_TEXT_SIZE], found[UUID_TEXT_SIZE];
	const struct host_view in_cluster = { .cluster = CLUSTER "1" }, alone = { .cluster = "" };

	(void) state;
	must_fail(provider_default_of(&manager, HOST "1", &alone, found, &e), -ENOENT, "default");
	assert_int_equal(e.status, EXIT_NO_KEY);
	make("a", "standard", a);
	make("b", "standard", b);
	make("c", "native", c);
	must(provider_default_of(&manager, HOST "1", &in_cluster, found, &e));
	assert_string_equal(found, a);
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", b, &e));
	must(provider_default_set(&manager, "host:" HOST "2", c, &e));
	must(provider_default_of(&manager, HOST "1", &in_cluster, found, &e));
	assert_string_equal(found, b);
	must(provider_default_of(&manager, HOST "1", &alone, found, &e));
	assert_string_equal(found, a);
	must(provider_default_of(&manager, HOST "2", &in_cluster, found, &e));
	assert_string_equal(found, c);
	must_fail(provider_default_set(&manager, "global", HOST "9", &e), -ENOENT, "provider");
	must(provider_default_clear(&manager, "host:" HOST "2", &e));
	must_fail(provider_default_clear(&manager, "host:" HOST "2", &e), -ENOENT, "default");
	must(provider_default_of(&manager, HOST "2", &in_cluster, found, &e));
	assert_string_equal(found, b);
	must_fail(provider_remove(&manager, b, &e), -EBUSY, "cluster:");
	must_fail(provider_remove(&manager, a, &e), -EBUSY, "global");
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", a, &e));
	must(provider_remove(&manager, b, &e));
	must(provider_remove(&manager, c, &e));
	must(provider_default_clear(&manager, "cluster:" CLUSTER "1", &e));
	must(provider_remove(&manager, a, &e));
	must_fail(provider_default_of(&manager, HOST "1", &alone, found, &e), -ENOENT, "default");
}

static void what_is_in_use_stays(void **state)
{
	_cleanup_json_ json_t *disk = NULL;
	char id[UUID_TEXT_SIZE];

	(void) state;
	make("kms", "standard", id);
	disk = json_pack("{s:s, s:[{s:s, s:s}]}", "vm", VM "1", "keys", "provider", id, "key", "7");
	must(store_insert(manager.store, "disk", "d1", disk, &e));
	must_fail(provider_remove(&manager, id, &e), -EBUSY, "d1");
	must(store_delete(manager.store, "disk", "d1", &e));
	must(provider_remove(&manager, id, &e));
	must_fail(provider_remove(&manager, id, &e), -ENOENT, id);
}

static int get(const char *host, const char *provider, const char *key, struct channel_failure *why)
{
	_cleanup_json_ json_t *args = json_pack("{s:s, s:s, s:s}", "provider", provider, "key", key, "vm",
						"web");
	struct host_peer peer = { .host = host };
	json_t *answer = NULL;
	int r;

	*why = (struct channel_failure) { .error = ERROR_NULL };
	r = keys_serve_get(&manager, &peer, args, &answer, why);
	mutex_unlock(&peer.order);
	json_decref(answer);
	return r;
}

static void reasons_without_a_key_server(void **state)
{
	_cleanup_json_ json_t *trusted = json_pack("{s:s, s:s}", "name", "t", "type", "trusted");
	char kms[UUID_TEXT_SIZE], native[UUID_TEXT_SIZE];
	struct channel_failure why;
	size_t i;

	(void) state;
	make("kms", "standard", kms);
	make("n", "native", native);
	must(store_insert(manager.store, "provider", HOST "f", trusted, &e));
	add_host(HOST "1", "one", CLUSTER "1", "safe", true);
	add_vm(VM "1", "web", CLUSTER "1", NULL);
	const struct { const char *provider, *reason; bool listed; } cases[] = {
		{ HOST "9", "KeyStateMissingInCache", false },
		{ kms, "KeyStateMissingInCache", false },
		{ native, "KeyStateManagedByNKP", false },
		{ HOST "f", "KeyStateManagedByTrustAuthority", false },
		{ HOST "9", "KeyStateClusterInvalid", true },
		{ kms, "KeyStateClusterInvalid", true },
		{ native, "KeyStateManagedByNKP", true },
	};
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].listed)
			add_key(cases[i].provider, "7", VM "1");
		assert_true(get(HOST "1", cases[i].provider, "7", &why) < 0);
		assert_string_equal(why.key_reason, cases[i].reason);
		assert_int_equal(why.error.status, EXIT_NO_KEY);
		unit_speaks(&why.error, cases[i].reason);
	}
}

static void a_host_gets_what_it_may_have(void **state)
{
	_cleanup_json_ json_t *row = NULL;
	struct channel_failure why;
	char kms[UUID_TEXT_SIZE];

	(void) state;
	make("kms", "standard", kms);
	add_host(HOST "1", "one", CLUSTER "1", "safe", true);
	add_host(HOST "2", "two", CLUSTER "2", "safe", true);
	add_host(HOST "3", "three", CLUSTER "1", "prepared", true);
	add_vm(VM "1", "web", CLUSTER "1", NULL);
	add_key(kms, "7", VM "1");
	/* Entitled, and so it gets as far as the key server, which is not there. */
	assert_int_equal(get(HOST "1", kms, "7", &why), -ENOENT);
	assert_int_equal(get(HOST "2", kms, "7", &why), -EACCES);
	assert_int_equal(why.error.status, EXIT_NOT_ALLOWED);
	assert_string_equal(why.key_reason, "");
	unit_speaks(&why.error, VM "1");
	row = newest("key.get");
	assert_string_equal(json_text(row, "result"), "refused");
	assert_string_equal(json_text(row, "host"), HOST "2");
	assert_string_equal(json_text(row, "vm"), VM "1");
	assert_string_equal(json_text(row, "key"), "7");
	assert_string_equal(json_text(json_object_get(row, "data"), "vm_named"), "web");
	assert_int_equal(get(HOST "3", kms, "7", &why), -EACCES);
	unit_speaks(&why.error, "safe");
	assert_int_equal(get(HOST "4", kms, "7", &why), -ENOENT);
}

static void a_host_key_is_its_host_s(void **state)
{
	_cleanup_json_ json_t *document = NULL;
	struct channel_failure why;
	char kms[UUID_TEXT_SIZE], id[KEY_DOCUMENT_SIZE];

	(void) state;
	make("kms", "standard", kms);
	add_host(HOST "1", "one", CLUSTER "1", "safe", true);
	add_host(HOST "2", "two", CLUSTER "1", "safe", true);
	document = json_pack("{s:s, s:s, s:n, s:s}", "provider", kms, "key", "8", "vm", "host", HOST "1");
	key_document_id(kms, "8", id);
	must(store_insert(manager.store, KEY_KIND, id, document, &e));
	assert_int_equal(get(HOST "1", kms, "8", &why), -ENOENT);
	assert_int_equal(get(HOST "2", kms, "8", &why), -EACCES);
}

static struct secret password(const char *text)
{
	return unit_secret(text, strlen(text));
}

static void native_is_used_once_backed_up(void **state)
{
	struct secret word _cleanup_secret_ = password("correct horse");
	_cleanup_free_ uint8_t *data = NULL;
	char id[UUID_TEXT_SIZE];
	size_t size;

	(void) state;
	make("n", "native", id);
	add_host(HOST "1", "one", NULL, "safe", true);
	must(keys_provision(&manager, HOST "1", &e));
	assert_int_equal(n_seen, 0);
	must(provider_backup_file(&manager, id, &word, &data, &size, &e));
	must(keys_provision(&manager, HOST "1", &e));
	assert_int_equal(n_seen, 1);
	/* The same KDK for all, and what the file holds. */
	add_host(HOST "2", "two", NULL, "safe", true);
	must(keys_provision(&manager, HOST "2", &e));
	assert_int_equal(n_seen, 2);
	assert_true(secret_equal(&seen[0], &seen[1]));
}

static int restore(const uint8_t *data, size_t size, const char *word, bool dry_run,
		   const char *want_state)
{
	struct secret secret _cleanup_secret_ = password(word);
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	json_t *answer = NULL;
	int r;

	e = ERROR_NULL;
	r = backup_read(data, size, &secret, &content, &e);
	if (r == 0)
		r = provider_restore_backup(&manager, &content, false, dry_run, &answer, &e);
	if (r == 0)
		assert_string_equal(json_text(answer, "state"), want_state);
	json_decref(answer);
	return r;
}

static void backup_and_restore(void **state)
{
	struct secret word _cleanup_secret_ = password("correct horse");
	_cleanup_free_ uint8_t *data = NULL;
	char id[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
	_cleanup_json_ json_t *document = NULL;
	json_t *asked;
	size_t size, i;

	(void) state;
	make("n", "native", id);
	add_host(HOST "1", "one", NULL, "safe", true);
	must(provider_backup_file(&manager, id, &word, &data, &size, &e));
	assert_int_equal(restore(data, size, "wrong horse", true, ""), -EKEYREJECTED);
	must(restore(data, size, "correct horse", true, "same"));
	must(provider_remove(&manager, id, &e));
	must(restore(data, size, "correct horse", true, "new"));
	assert_int_equal(store_get(manager.store, "provider", id, &document, &e), -ENOENT);
	make("n", "native", other);
	assert_int_equal(restore(data, size, "correct horse", true, "new"), -EEXIST);
	must(provider_remove(&manager, other, &e));
	must(restore(data, size, "correct horse", false, "new"));
	must(store_get(manager.store, "provider", id, &document, &e));
	assert_true(json_is_string(json_object_get(document, "backed_up")));
	/* Hosts are not to forget it any more. */
	must(keys_provision(&manager, HOST "1", &e));
	json_array_foreach(find_played(HOST "1")->asked, i, asked)
		assert_false(strcmp(json_text(asked, "op"), "provider.remove") == 0 &&
			     strcmp(json_text(json_object_get(asked, "args"), "provider"), id) == 0);
	assert_int_equal(restore(data, 20, "correct horse", false, "new"), -EBADMSG);
	data[size / 2] ^= 1;
	assert_true(restore(data, size, "correct horse", false, "new") < 0);
}

/* What goes with a policy of the cluster goes once. */
static void who_is_enabled_by_greeting_is_given_all_once(void **state)
{
	_cleanup_json_ json_t *cluster = json_pack("{s:s, s:s}", "name", "one", "crypto_mode",
						   HOST_FORCE_ENABLE), *host = NULL;
	const json_t *asked;
	char id[UUID_TEXT_SIZE];
	size_t i, times = 0;

	(void) state;
	make("n", "native", id);
	must(hosts_new(&manager.hosts, &e));
	must(store_insert(manager.store, "cluster", CLUSTER "1", cluster, &e));
	add_host(HOST "1", "one", CLUSTER "1", "prepared", true);
	host_greeted(&manager, HOST "1");
	must(store_get(manager.store, "host", HOST "1", &host, &e));
	assert_string_equal(json_text(host, "mode"), "safe");
	json_array_foreach(find_played(HOST "1")->asked, i, asked)
		times += strcmp(json_text(asked, "op"), "provider.set") == 0;
	assert_int_equal(times, 1);
	host_greeted(&manager, HOST "1");
	times = 0;
	json_array_foreach(find_played(HOST "1")->asked, i, asked)
		times += strcmp(json_text(asked, "op"), "provider.set") == 0;
	assert_int_equal(times, 2);
	hosts_free(TAKE_PTR(manager.hosts));
}

static void mode_is(const char *host, const char *mode)
{
	_cleanup_json_ json_t *document = NULL;

	must(store_get(manager.store, "host", host, &document, &e));
	assert_string_equal(json_text(document, "mode"), mode);
}

static void a_policy_is_applied_at_once(void **state)
{
	_cleanup_json_ json_t *cluster = json_pack("{s:s, s:s}", "name", "one", "crypto_mode", HOST_ON_DEMAND);
	const struct host_changes move = { .cluster = CLUSTER "1" };
	char id[UUID_TEXT_SIZE];

	(void) state;
	must(hosts_new(&manager.hosts, &e));
	must(store_insert(manager.store, "cluster", CLUSTER "1", cluster, &e));
	add_host(HOST "1", "one", CLUSTER "1", "prepared", true);
	add_host(HOST "2", "two", NULL, "prepared", true);
	add_host(HOST "3", "three", CLUSTER "1", "prepared", true);
	find_played(HOST "3")->play = PLAY_AWAY;
	host_mode_force_all(&manager, CLUSTER "1");
	mode_is(HOST "1", "prepared");
	json_object_set_new(cluster, "crypto_mode", json_string(HOST_FORCE_ENABLE));
	must(store_update(manager.store, "cluster", CLUSTER "1", cluster, &e));
	/* There is no provider yet: it is tried again now and then. */
	host_mode_force_all(&manager, CLUSTER "1");
	mode_is(HOST "1", "prepared");
	make("n", "native", id);
	host_mode_force_all(&manager, NULL);
	mode_is(HOST "1", "safe");
	mode_is(HOST "2", "prepared");
	mode_is(HOST "3", "prepared");
	must(host_change(&manager, HOST "2", &move, &e));
	mode_is(HOST "2", "safe");
	hosts_free(TAKE_PTR(manager.hosts));
}

/* A host that is prepared is enabled by users, not by what it sends. */
static void no_host_enables_itself(void **state)
{
	_cleanup_json_ json_t *args = json_pack("{s:n, s:s, s:s}", "provider", "vm", "web", "disk", "vda"),
			      *row = NULL, *vm = NULL;
	struct channel_failure why = { .error = ERROR_NULL };
	struct host_peer peer = { .host = HOST "1" };
	char id[UUID_TEXT_SIZE];
	json_t *key = NULL;

	(void) state;
	must(hosts_new(&manager.hosts, &e));
	make("n", "native", id);
	add_host(HOST "1", "one", CLUSTER "1", "prepared", true);
	assert_int_equal(host_request_find("key.new")->serve(&manager, &peer, args, &key, &why), -EACCES);
	unit_speaks(&why.error, "safe");
	mode_is(HOST "1", "prepared");
	row = newest("key.new");
	assert_string_equal(json_text(row, "result"), "refused");
	assert_int_equal(store_find(manager.store, "vm", "name", "web", &vm, &e), -ENOENT);
	hosts_free(TAKE_PTR(manager.hosts));
}

static void not_backed_up_is_said_each_day(void **state)
{
	const struct record_filter f = { .operation = "provider.watch" };
	_cleanup_json_ json_t *rows = json_array();
	char id[UUID_TEXT_SIZE], object[9 + UUID_TEXT_SIZE];

	(void) state;
	make("n", "native", id);
	provider_watch(&manager, 1700000000);
	provider_watch(&manager, 1700000060);
	provider_watch(&manager, 1700000000 + 86400);
	must(record_each(manager.store, &f, take_row, rows, &e));
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(json_text(json_array_get(rows, 0), "type"),
			    "com.vmware.vc.kms.crypto.NotBackedUp");
	snprintf(object, sizeof(object), "provider:%s", id);
	assert_string_equal(json_text(json_array_get(rows, 0), "object"), object);
}

#include "keys_commands.h"

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(names_are_given_once),
		T(nearest_default_wins),
		T(what_is_in_use_stays),
		T(reasons_without_a_key_server),
		T(a_host_gets_what_it_may_have),
		T(a_host_key_is_its_host_s),
		T(native_is_used_once_backed_up),
		T(backup_and_restore),
		T(who_is_enabled_by_greeting_is_given_all_once),
		T(a_policy_is_applied_at_once),
		T(no_host_enables_itself),
		T(not_backed_up_is_said_each_day),
	};

	if (argc == 2)
		return commands(argv[1]);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
