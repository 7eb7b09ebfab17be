/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that hosts have to forget, whether they are there or not. */
#include "keys_manager.h"

#include "manager/host_change.h"
#include "manager/host_join.h"
#include "manager/host_requests.h"
#include "manager/keys_withdraw.h"

/* Ids of the keys that a host was told to forget, in order. */
static json_t *withdrawn(const char *host)
{
	json_t *keys = json_array(), *asked;
	size_t i;

	json_array_foreach(find_played(host)->asked, i, asked)
		if (strcmp(json_text(asked, "op"), "key.remove") == 0)
			json_array_append(keys, json_object_get(json_object_get(asked, "args"), "key"));
	return keys;
}

static void withdrawn_is(const char *host, const char *key)
{
	_cleanup_json_ json_t *keys = withdrawn(host);

	assert_int_equal(json_array_size(keys), key ? 1 : 0);
	if (key)
		assert_string_equal(json_string_value(json_array_get(keys, 0)), key);
}

static void who_leaves_a_cluster_forgets_its_keys(void **state)
{
	_cleanup_json_ json_t *cluster = json_pack("{s:s}", "name", "two"), *row = NULL;
	const struct host_changes move = { .cluster = CLUSTER "2" };
	char kms[UUID_TEXT_SIZE];

	(void) state;
	make("kms", "standard", kms);
	must(store_insert(manager.store, "cluster", CLUSTER "2", cluster, &e));
	add_host(HOST "1", "one", CLUSTER "1", "safe", true);
	add_host(HOST "2", "two", CLUSTER "1", "safe", true);
	add_vm(VM "1", "web", CLUSTER "1", NULL);
	add_vm(VM "2", "own", NULL, HOST "1");
	add_key(kms, "7", VM "1");
	add_key(kms, "8", VM "2");
	/* No new key can be had, for there is no key server. */
	must(host_change(&manager, HOST "1", &move, &e));
	withdrawn_is(HOST "1", "7");
	withdrawn_is(HOST "2", NULL);
	row = newest("key.withdraw");
	assert_string_equal(json_text(row, "result"), "ok");
	assert_string_equal(json_text(row, "host"), HOST "1");
	assert_string_equal(json_text(row, "vm"), VM "1");
	assert_string_equal(json_text(row, "key"), "7");
}

/* Moves VM 1 to another cluster, by hand: the hosts of CLUSTER 1 could have its key. */
static int move_vm(struct store *store, void *userdata, struct error *failure)
{
	_cleanup_json_ json_t *vm = json_pack("{s:s, s:s}", "name", "web", "cluster", userdata), *before = NULL;
	int r = hosts_of_vm(&manager, VM "1", &before, failure);

	if (r == 0)
		r = store_update(store, "vm", VM "1", vm, failure);
	return r < 0 ? r : keys_withdraw_vm(&manager, before, VM "1", failure);
}

/* How many keys a host has to forget; whether it has refused the first. */
static size_t outstanding(const char *host, bool *ret_refused)
{
	_cleanup_json_ json_t *list = NULL;

	must(keys_withdraw_list(manager.store, host, &list, &e));
	if (ret_refused)
		*ret_refused = json_is_string(json_object_get(json_array_get(list, 0), "refused"));
	return json_array_size(list);
}

static void farm(char kms[UUID_TEXT_SIZE])
{
	make("kms", "standard", kms);
	add_host(HOST "1", "one", CLUSTER "1", "safe", true);
	add_host(HOST "2", "two", CLUSTER "2", "safe", true);
	add_host(HOST "3", "three", CLUSTER "1", "prepared", true);
	add_vm(VM "1", "web", CLUSTER "1", NULL);
	add_key(kms, "7", VM "1");
}

static void who_is_away_while_a_vm_leaves_forgets_its_keys_later(void **state)
{
	_cleanup_json_ json_t *row = NULL, *before = json_pack("[s]", HOST "1");
	char kms[UUID_TEXT_SIZE];

	(void) state;
	farm(kms);
	find_played(HOST "1")->play = PLAY_AWAY;
	must(store_write(manager.store, move_vm, CLUSTER "2", &e));
	keys_withdraw_each(&manager, before);
	assert_null(newest("key.withdraw"));
	assert_int_equal(outstanding(HOST "1", NULL), 1);
	assert_int_equal(outstanding(HOST "2", NULL), 0);
	assert_int_equal(outstanding(HOST "3", NULL), 0);
	close_manager();
	open_manager(dir);
	find_played(HOST "1")->play = PLAY_GOOD;
	host_greeted(&manager, HOST "1");
	withdrawn_is(HOST "1", "7");
	assert_int_equal(outstanding(HOST "1", NULL), 0);
	row = newest("key.withdraw");
	assert_string_equal(json_text(row, "result"), "ok");
	assert_string_equal(json_text(row, "vm"), VM "1");
	host_greeted(&manager, HOST "1");
	withdrawn_is(HOST "1", "7");
}

static void report(const char *host, const char *provider, const char *key)
{
	_cleanup_json_ json_t *args = NULL, *result = NULL, *keys = json_array();
	struct host_peer peer = { .host = host, .serial = "", .address = "::1" };
	struct channel_failure why = { .key_reason = "" };

	if (key)
		json_array_append_new(keys, json_pack("{s:s, s:s}", "provider", provider, "key", key));
	args = json_pack("{s:[{s:s, s:s, s:s, s:s, s:b, s:O}], s:b}", "disks", "dek", HOST "d", "vm", "web",
			 "disk", "vda", "state", "absent", "attached", 0, "keys", keys, "more", 0);
	must(host_report(&manager, &peer, args, &result, &why));
	host_reported(&manager, host);
}

static void a_disk_keeps_its_key_until_it_is_gone(void **state)
{
	_cleanup_json_ json_t *row = NULL, *before = json_pack("[s]", HOST "1"), *asked = NULL;
	char kms[UUID_TEXT_SIZE];
	bool refused = false;

	(void) state;
	farm(kms);
	find_played(HOST "1")->play = PLAY_REFUSES;
	must(store_write(manager.store, move_vm, CLUSTER "2", &e));
	keys_withdraw_each(&manager, before);
	withdrawn_is(HOST "1", "7");
	row = newest("key.withdraw");
	assert_non_null(strstr(json_text(row, "result"), "uses it"));
	assert_int_equal(outstanding(HOST "1", &refused), 1);
	assert_true(refused);
	/* Asking while the host says itself that a disk has it would be in vain, and in the record. */
	report(HOST "1", kms, "7");
	withdrawn_is(HOST "1", "7");
	find_played(HOST "1")->play = PLAY_GOOD;
	report(HOST "1", kms, NULL);
	asked = withdrawn(HOST "1");
	assert_int_equal(json_array_size(asked), 2);
	assert_int_equal(outstanding(HOST "1", NULL), 0);
	/* And now and then, for what a host does not report. */
	find_played(HOST "1")->play = PLAY_REFUSES;
	must(store_write(manager.store, move_vm, CLUSTER "1", &e));
	must(store_write(manager.store, move_vm, CLUSTER "2", &e));
	keys_withdraw_each(&manager, before);
	find_played(HOST "1")->play = PLAY_GOOD;
	keys_withdraw_again(&manager);
	assert_int_equal(outstanding(HOST "1", NULL), 0);
}

static void what_a_host_may_have_again_it_keeps(void **state)
{
	const struct host_changes off = { .cluster = "" }, back = { .cluster = CLUSTER "1" };
	_cleanup_json_ json_t *cluster = json_pack("{s:s}", "name", "one");
	char kms[UUID_TEXT_SIZE];

	(void) state;
	farm(kms);
	must(store_insert(manager.store, "cluster", CLUSTER "1", cluster, &e));
	find_played(HOST "1")->play = PLAY_AWAY;
	must(host_change(&manager, HOST "1", &off, &e));
	assert_int_equal(outstanding(HOST "1", NULL), 1);
	must(host_change(&manager, HOST "1", &back, &e));
	assert_int_equal(outstanding(HOST "1", NULL), 0);
	must(store_write(manager.store, move_vm, CLUSTER "2", &e));
	assert_int_equal(outstanding(HOST "1", NULL), 1);
	must(store_write(manager.store, move_vm, CLUSTER "1", &e));
	assert_int_equal(outstanding(HOST "1", NULL), 0);
	must(host_change(&manager, HOST "1", &off, &e));
	must(host_remove(&manager, HOST "1", &e));
	assert_int_equal(outstanding(HOST "1", NULL), 0);
}

static void a_key_that_is_removed_is_taken_from_who_was_away(void **state)
{
	char kms[UUID_TEXT_SIZE];

	(void) state;
	farm(kms);
	find_played(HOST "1")->play = PLAY_AWAY;
	must(keys_remove(&manager, kms, "7", /* destroy= */ false, &e));
	assert_int_equal(outstanding(HOST "1", NULL), 1);
	find_played(HOST "1")->play = PLAY_GOOD;
	host_greeted(&manager, HOST "1");
	withdrawn_is(HOST "1", "7");
	assert_int_equal(outstanding(HOST "1", NULL), 0);
	/* Who could be told needs not be told again. */
	add_key(kms, "8", VM "1");
	must(keys_remove(&manager, kms, "8", /* destroy= */ false, &e));
	assert_int_equal(outstanding(HOST "1", NULL), 0);
}

static void set_member(const char *kind, const char *id, const char *member, const char *value)
{
	_cleanup_json_ json_t *document = NULL;

	must(store_get(manager.store, kind, id, &document, &e));
	json_object_set_new(document, member, value ? json_string(value) : json_null());
	must(store_update(manager.store, kind, id, document, &e));
}

/* Whoever may have made a disk with it has to have told so. */
static void what_a_host_may_need_is_not_destroyed(void **state)
{
	char kms[UUID_TEXT_SIZE], id[KEY_DOCUMENT_SIZE], now[TIME_TEXT_SIZE];

	(void) state;
	farm(kms);
	key_document_id(kms, "7", id);
	find_played(HOST "1")->play = PLAY_AWAY;
	must_fail(keys_remove(&manager, kms, "7", /* destroy= */ true, &e), -EBUSY, "host one is away");
	find_played(HOST "1")->play = PLAY_GOOD;
	/* It has connected again and said nothing yet. */
	set_member("host", HOST "1", "reported", NULL);
	must_fail(keys_remove(&manager, kms, "7", true, &e), -EBUSY, "host one is away or has not told");
	report(HOST "1", kms, NULL);
	withdrawn_is(HOST "1", NULL);
	/* Made for it this moment. */
	time_format(time_now(), now);
	set_member("key", id, "created", now);
	set_member("key", id, "made_on", HOST "1");
	must_fail(keys_remove(&manager, kms, "7", true, &e), -EBUSY, "just now for host one");
	/* A disk with it was there, and is gone. */
	report(HOST "1", kms, "7");
	must_fail(keys_remove(&manager, kms, "7", true, &e), -EBUSY, HOST "d");
	must(store_delete(manager.store, "disk", HOST "d", &e));
	/* Now it comes as far as the key server, which is not there. */
	must_fail(keys_remove(&manager, kms, "7", true, &e), -ENOENT, "key server");
	/* Its VM has moved, and who could have the key before is away. */
	find_played(HOST "1")->play = PLAY_AWAY;
	must(store_write(manager.store, move_vm, CLUSTER "2", &e));
	must_fail(keys_remove(&manager, kms, "7", true, &e), -EBUSY, "host one is away");
	/* It takes none of this to forget it here. */
	must(keys_remove(&manager, kms, "7", /* destroy= */ false, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_leaves_a_cluster_forgets_its_keys),
		T(who_is_away_while_a_vm_leaves_forgets_its_keys_later),
		T(a_disk_keeps_its_key_until_it_is_gone),
		T(what_a_host_may_have_again_it_keeps),
		T(a_key_that_is_removed_is_taken_from_who_was_away),
		T(what_a_host_may_need_is_not_destroyed),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
