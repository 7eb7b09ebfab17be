/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Native providers on hosts: who gets a KDK, who does not, and who has to forget it. */
#include "keys_manager.h"

#include "common/log.h"
#include "manager/host_change.h"
#include "manager/host_join.h"
#include "manager/host_mode.h"
#include "manager/host_requests.h"
#include "manager/keys_withdraw.h"
#include "manager/provider_hosts.h"

#define DISK	"00000000-0000-4000-8000-0000000000d1"

/* As if it were backed up, which takes its time. */
static void make_native(const char *name, bool allow_unsealed, char id[UUID_TEXT_SIZE])
{
	_cleanup_json_ json_t *document = NULL;

	must(provider_create(&manager, name, "native", NULL, allow_unsealed, id, &e));
	must(provider_get(&manager, id, "native", &document, &e));
	json_object_set_new(document, "backed_up", json_string("2026-01-01T00:00:00Z"));
	must(store_update(manager.store, PROVIDER_KIND, id, document, &e));
}

/* Two clusters, each with a host, and one host without a cluster. */
static void make_site(void)
{
	_cleanup_json_ json_t *a = json_pack("{s:s}", "name", "a"), *b = json_pack("{s:s}", "name", "b");

	must(store_insert(manager.store, "cluster", CLUSTER "1", a, &e));
	must(store_insert(manager.store, "cluster", CLUSTER "2", b, &e));
	add_host(HOST "1", "one", CLUSTER "1", "safe", true);
	add_host(HOST "2", "two", CLUSTER "2", "safe", true);
	add_host(HOST "3", "three", NULL, "safe", true);
}

static bool has(const char *host, const char *provider)
{
	return json_object_get(find_played(host)->kdks, provider);
}

static void provide(void)
{
	keys_provision_all(&manager, NULL);
}

/* How often the host was asked to forget a provider; @ret_kept: of the last time. */
static size_t taken_back(const char *host, bool *ret_kept)
{
	const json_t *asked;
	size_t i, n = 0;

	json_array_foreach(find_played(host)->asked, i, asked) {
		if (strcmp(json_text(asked, "op"), "provider.remove") != 0)
			continue;
		n++;
		if (ret_kept)
			*ret_kept = json_is_true(json_object_get(json_object_get(asked, "args"), "kept"));
	}
	return n;
}

static void report(const char *host, const char *vm, bool attached, const char *provider)
{
	_cleanup_json_ json_t *args = json_pack("{s:[{s:s, s:s, s:n, s:s, s:b, s:[{s:s, s:s}]}], s:b}", "disks",
						"dek", DISK, "vm", vm, "disk", "state",
						attached ? "loaded" : "absent", "attached", (int) attached,
						"keys", "provider", provider, "key", VM "f", "more", 0);
	struct host_peer peer = { .host = host, .serial = "", .address = "::1" };
	struct channel_failure why = { .key_reason = "" };
	_cleanup_json_ json_t *result = NULL;

	must(host_report(&manager, &peer, args, &result, &why));
	host_reported(&manager, host);
}

/* A provider that is the default of one cluster is no business of others. */
static void goes_where_it_is_the_default(void **state)
{
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("other", false, other);
	make_native("n", false, n);
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", n, &e));
	provide();
	assert_true(has(HOST "1", n));
	assert_false(has(HOST "1", other));
	assert_false(has(HOST "2", n) || has(HOST "3", n));
	assert_true(has(HOST "2", other) && has(HOST "3", other));
	assert_int_equal(n_seen, 3);
	/* A host's own choice. */
	must(provider_default_set(&manager, "host:" HOST "3", n, &e));
	provide();
	assert_true(has(HOST "3", n));
	assert_false(has(HOST "3", other));
	assert_false(has(HOST "2", n));
}

static void is_taken_back_with_the_choice(void **state)
{
	_cleanup_json_ json_t *list = NULL, *row = NULL;
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
	bool kept = false;

	(void) state;
	make_site();
	make_native("n", false, n);
	make_native("other", false, other);
	provide();
	assert_true(has(HOST "1", n));
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", other, &e));
	provide();
	assert_false(has(HOST "1", n));
	assert_true(has(HOST "1", other));
	assert_int_equal(taken_back(HOST "1", &kept), 1);
	assert_true(kept);
	assert_int_equal(taken_back(HOST "2", NULL), 0);
	row = newest("provider.remove");
	assert_string_equal(json_text(row, "result"), "ok");
	assert_string_equal(json_text(row, "host"), HOST "1");
	must(provider_hosts_list(manager.store, HOST "1", &list, &e));
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_text(json_array_get(list, 0), "provider_name"), "other");
	assert_true(json_is_true(json_object_get(json_array_get(list, 0), "sealed")));
	/* And comes again. */
	must(provider_default_clear(&manager, "cluster:" CLUSTER "1", &e));
	provide();
	assert_true(has(HOST "1", n));
	assert_false(has(HOST "1", other));
}

static void who_moves_leaves_it_behind(void **state)
{
	const struct host_changes move = { .cluster = CLUSTER "2" }, back = { .cluster = CLUSTER "1" };
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("other", false, other);
	make_native("n", false, n);
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", n, &e));
	provide();
	assert_true(has(HOST "1", n));
	must(host_change(&manager, HOST "1", &move, &e));
	assert_false(has(HOST "1", n));
	assert_true(has(HOST "1", other));
	/* One that is away learns of it when it says hello. */
	must(host_change(&manager, HOST "1", &back, &e));
	assert_true(has(HOST "1", n));
	find_played(HOST "1")->play = PLAY_AWAY;
	must(host_change(&manager, HOST "1", &move, &e));
	find_played(HOST "1")->play = PLAY_GOOD;
	assert_true(has(HOST "1", n));
	host_greeted(&manager, HOST "1");
	assert_false(has(HOST "1", n));
}

static void who_is_disabled_forgets_it(void **state)
{
	_cleanup_json_ json_t *list = NULL;
	char n[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("n", false, n);
	must(hosts_new(&manager.hosts, &e));
	provide();
	assert_true(has(HOST "1", n));
	must(host_mode_disable(&manager, HOST "1", &e));
	assert_false(has(HOST "1", n));
	must(provider_hosts_list(manager.store, HOST "1", &list, &e));
	assert_int_equal(json_array_size(list), 0);
	assert_true(has(HOST "2", n));
	hosts_free(TAKE_PTR(manager.hosts));
}

/* @text: of what the host says why it keeps the provider; NULL: it does not have it */
static void refused_is(const char *host, const char *provider, const char *text)
{
	_cleanup_json_ json_t *given = NULL;
	int r = provider_hosts_find(manager.store, host, provider, &given, NULL);

	assert_int_equal(r, text ? 0 : -ENOENT);
	if (text)
		assert_non_null(strstr(json_text(given, "refused"), text));
}

/* Who has attached a disk goes on with it, and is asked again. */
static void an_attached_disk_holds_it(void **state)
{
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("n", false, n);
	make_native("other", false, other);
	provide();
	find_played(HOST "3")->play = PLAY_REFUSES;
	must(provider_default_set(&manager, "global", other, &e));
	must_fail(keys_provision(&manager, HOST "3", &e), -EBUSY, "attached");
	assert_true(has(HOST "3", n) && has(HOST "3", other));
	refused_is(HOST "3", n, "Disk vdb is attached");
	/* Not each time that something is given to it. */
	must(keys_provision(&manager, HOST "3", &e));
	assert_int_equal(taken_back(HOST "3", NULL), 1);
	keys_withdraw_again(&manager);
	assert_int_equal(taken_back(HOST "3", NULL), 2);
	host_greeted(&manager, HOST "3");
	assert_int_equal(taken_back(HOST "3", NULL), 3);
	/* Of a VM that is registered elsewhere, so that the disk gives no right to it. */
	add_vm(VM "1", "web", CLUSTER "2", NULL);
	report(HOST "3", "web", true, n);
	assert_int_equal(taken_back(HOST "3", NULL), 3);
	report(HOST "3", "web", false, n);
	assert_int_equal(taken_back(HOST "3", NULL), 4);
	find_played(HOST "3")->play = PLAY_GOOD;
	report(HOST "3", "web", false, n);
	keys_withdraw_again(&manager);
	assert_false(has(HOST "3", n));
	refused_is(HOST "3", n, NULL);
}

/* It stays where disks need it, comes where their VM goes, and where else it may be attached. */
static void goes_where_disks_use_it(void **state)
{
	_cleanup_json_ json_t *vm = json_pack("{s:s, s:s}", "name", "web", "cluster", CLUSTER "2");
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	add_host(HOST "4", "four", CLUSTER "1", "safe", true);
	add_host(HOST "5", "five", CLUSTER "1", "safe", false);
	make_native("other", false, other);
	make_native("n", false, n);
	add_vm(VM "1", "web", CLUSTER "1", NULL);
	must(provider_default_set(&manager, "host:" HOST "1", n, &e));
	provide();
	assert_true(has(HOST "1", n));
	assert_false(has(HOST "4", n));
	report(HOST "1", "web", false, n);
	assert_true(has(HOST "4", n));
	assert_false(has(HOST "2", n) || has(HOST "5", n));
	must(provider_default_clear(&manager, "host:" HOST "1", &e));
	provide();
	assert_true(has(HOST "1", n) && has(HOST "1", other));
	assert_int_equal(taken_back(HOST "1", NULL), 0);
	must(store_update(manager.store, "vm", VM "1", vm, &e));
	keys_share_vm(&manager, VM "1");
	assert_true(has(HOST "2", n));
	provide();
	assert_false(has(HOST "1", n) || has(HOST "4", n));
}

/* Who claims a disk gets nothing by it that it has not had before. */
static void a_claim_gives_no_right(void **state)
{
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("other", false, other);
	make_native("n", false, n);
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", n, &e));
	add_vm(VM "1", "mine", CLUSTER "2", NULL);
	provide();
	report(HOST "2", "mine", true, n);
	provide();
	host_greeted(&manager, HOST "2");
	assert_false(has(HOST "2", n));
	assert_true(has(HOST "1", n));
}

static json_t *status_of(const char *provider)
{
	json_t *status = NULL;

	must(provider_status(&manager, provider, "anna", &status, &e));
	return status;
}

/* A TPM seals it, unless the other was asked for by name; where it lies unsealed is said. */
static void unsealed_is_asked_for_by_name(void **state)
{
	_cleanup_json_ json_t *list = NULL, *sealed = NULL, *unsealed = NULL;
	char n[UUID_TEXT_SIZE], open[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("n", false, n);
	add_host(HOST "4", "four", CLUSTER "1", "safe", false);
	must_fail(keys_provision(&manager, HOST "4", &e), -ENODEV, "--allow-unsealed");
	assert_false(has(HOST "4", n));
	sealed = status_of(n);
	assert_int_equal(json_array_size(json_object_get(sealed, "hosts")), 4);
	assert_string_equal(json_text(sealed, "state"), "yellow");
	must_fail(provider_create(&manager, "kms", "standard", NULL, true, open, &e), -EINVAL, "seal");

	make_native("open", true, open);
	must(provider_default_set(&manager, "cluster:" CLUSTER "1", open, &e));
	provide();
	assert_true(has(HOST "4", open));
	assert_false(has(HOST "4", n) || has(HOST "2", open));
	must(provider_hosts_list(manager.store, HOST "4", &list, &e));
	assert_true(json_is_false(json_object_get(json_array_get(list, 0), "sealed")));
	unsealed = status_of(open);
	/* Those that have no business with it are not in it. */
	assert_int_equal(json_array_size(json_object_get(unsealed, "hosts")), 2);
	assert_string_equal(json_text(unsealed, "state"), "yellow");
	assert_non_null(strstr(json_string_value(json_array_get(json_object_get(unsealed, "warnings"), 0)),
			       "in a file"));
}

static void who_was_away_forgets_what_was_deleted(void **state)
{
	char n[UUID_TEXT_SIZE];
	bool kept = true;

	(void) state;
	make_site();
	make_native("n", false, n);
	provide();
	find_played(HOST "2")->play = PLAY_AWAY;
	must(provider_remove(&manager, n, &e));
	provide();
	assert_false(has(HOST "1", n));
	assert_int_equal(taken_back(HOST "1", &kept), 1);
	assert_false(kept);
	assert_true(has(HOST "2", n));
	find_played(HOST "2")->play = PLAY_GOOD;
	host_greeted(&manager, HOST "2");
	assert_false(has(HOST "2", n));
	provide();
	assert_int_equal(taken_back(HOST "1", NULL), 1);
}

static void who_is_removed_is_not_asked(void **state)
{
	_cleanup_json_ json_t *list = NULL;
	char n[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("n", false, n);
	provide();
	must(host_remove(&manager, HOST "3", &e));
	must(provider_hosts_list(manager.store, HOST "3", &list, &e));
	assert_int_equal(json_array_size(list), 0);
	keys_withdraw(&manager, HOST "3", true);
	assert_int_equal(taken_back(HOST "3", NULL), 0);
}

/* What is sent is noted before: a host that dies with it in hand has it. */
static void is_noted_before_it_is_sent(void **state)
{
	_cleanup_json_ json_t *given = NULL;
	char n[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void) state;
	make_site();
	make_native("n", false, n);
	make_native("other", false, other);
	find_played(HOST "1")->play = PLAY_DIES;
	must_fail(keys_provision(&manager, HOST "1", &e), -ECONNRESET, "gone");
	must(provider_hosts_find(manager.store, HOST "1", n, &given, &e));
	assert_true(json_is_null(json_object_get(given, "sealed")));
	find_played(HOST "1")->play = PLAY_GOOD;
	must(provider_default_set(&manager, "global", other, &e));
	host_greeted(&manager, HOST "1");
	assert_int_equal(taken_back(HOST "1", NULL), 1);
	assert_false(has(HOST "1", n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(goes_where_it_is_the_default),
		T(is_taken_back_with_the_choice),
		T(who_moves_leaves_it_behind),
		T(who_is_disabled_forgets_it),
		T(an_attached_disk_holds_it),
		T(goes_where_disks_use_it),
		T(a_claim_gives_no_right),
		T(unsealed_is_asked_for_by_name),
		T(who_was_away_forgets_what_was_deleted),
		T(who_is_removed_is_not_asked),
		T(is_noted_before_it_is_sent),
	};

	log_set_level(LOG_CRIT);
	return cmocka_run_group_tests_name("native providers on hosts", tests, unit_setup, NULL);
}
