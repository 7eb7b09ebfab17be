// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who may do what: the table, the roles, the tree, and that nobody rises by themselves. */
#include "manager_fixture.h"

#include "manager/permission_move.h"
#include "manager/privilege.h"

#define CLUSTER	"11111111-1111-4111-8111-111111111111"
#define OTHER	"22222222-2222-4222-8222-222222222222"
#define HOST	"33333333-3333-4333-8333-333333333333"
#define ALONE	"44444444-4444-4444-8444-444444444444"
#define VM	"55555555-5555-4555-8555-555555555555"
#define VM_ALONE "66666666-6666-4666-8666-666666666666"
#define NOBODY	"77777777-7777-4777-8777-777777777777"

/* All of Cryptographer.* and TPM, vSphere's five side doors, and one of our own. */
static const char *const lost[] = {
	"Cryptographer.Access", "Cryptographer.AddDisk", "Cryptographer.Clone",
	"Cryptographer.Decrypt", "Cryptographer.Encrypt", "Cryptographer.EncryptNew",
	"Cryptographer.ManageEncryptionPolicy", "Cryptographer.ManageKeyServers",
	"Cryptographer.ManageKeys", "Cryptographer.Migrate", "Cryptographer.ReadKeyServersInfo",
	"Cryptographer.Recrypt", "Cryptographer.RegisterHost", "Cryptographer.RegisterVM",
	"Global.Diagnostics", "Host.Inventory.AddHostToCluster", "Host.Inventory.AddStandaloneHost",
	"Host.Inventory.MoveHost", "Host.Local.ManageUserGroups", "Host.Tpm.Read",
	"Host.Tpm.Unseal", "VirtualMachine.Interact.GuestControl",
};

static void put(const char *kind, const char *id, const char *cluster, const char *host)
{
	_cleanup_json_ json_t *document = json_pack("{s:s, s:s?, s:s?}", "name", id, "cluster", cluster,
						    "host", host);

	must(store_insert(store, kind, id, document, &e));
}

static void put_user(const char *name)
{
	_cleanup_json_ json_t *document = json_pack("{s:s, s:b}", "name", name, "disabled", 0);

	must(store_insert(store, "user", name, document, &e));
}

static int setup(void **state)
{
	fixture_setup(state);
	put("cluster", CLUSTER, NULL, NULL);
	put("cluster", OTHER, NULL, NULL);
	put("host", HOST, CLUSTER, NULL);
	put("host", ALONE, NULL, NULL);
	put("vm", VM, CLUSTER, HOST);
	put("vm", VM_ALONE, NULL, ALONE);
	put_user("admin");
	put_user("alice");
	put_user("bob");
	must(permission_set(store, NULL, "admin", ROLE_ADMINISTRATOR, "global", true, NULL, &e));
	return 0;
}

#define privilege_test(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)

static void give(const char *user, const char *role, const char *object, bool propagate)
{
	must(permission_set(store, NULL, user, role, object, propagate, NULL, &e));
}

static int check(const char *user, const char *privilege, const char *object)
{
	e = ERROR_NULL;
	return privilege_check(store, user, privilege, object, &e);
}

static bool is_lost(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lost); i++)
		if (strcmp(lost[i], name) == 0)
			return true;
	return false;
}

static void the_table(void **state)
{
	const struct privilege *table;
	size_t n, i, crypto = 0;

	(void) state;
	table = privilege_table(&n);
	for (i = 0; i < n; i++) {
		assert_int_equal(privilege_bit(table[i].name), (privilege_set) 1 << i);
		assert_true(strlen(table[i].summary) > 5);
		assert_false(table[i].crypto && table[i].read);
		if (i > 0)
			assert_true(strcmp(table[i - 1].name, table[i].name) < 0);
		crypto += table[i].crypto;
		assert_int_equal(table[i].crypto, is_lost(table[i].name));
	}
	assert_int_equal(crypto, ARRAY_SIZE(lost));
	assert_int_equal(privilege_bit("Cryptographer"), 0);
	assert_int_equal(privilege_bit(""), 0);
}

/* Each role against each privilege of the table, by privilege_check() itself. */
static void the_whole_table(void **state)
{
	const struct privilege *table;
	size_t n, i;

	(void) state;
	give("alice", ROLE_NO_CRYPTO, "global", true);
	give("bob", ROLE_READ_ONLY, "global", true);
	table = privilege_table(&n);
	for (i = 0; i < n; i++) {
		const char *name = table[i].name;
		bool looks = strncmp(name, "System.", 7) == 0;

		assert_int_equal(check("admin", name, "vm:" VM), 0);
		assert_int_equal(check("alice", name, "vm:" VM), is_lost(name) ? -EACCES : 0);
		if (is_lost(name)) {
			unit_speaks(&e, name);
			unit_speaks(&e, "vm:" VM);
			unit_speaks(&e, "grant");
			assert_int_equal(e.status, EXIT_NOT_ALLOWED);
		}
		assert_int_equal(check("bob", name, "vm:" VM), looks ? 0 : -EACCES);
		assert_int_equal(check("nobody", name, NULL), -EACCES);
	}
	must_fail(privilege_check(store, "admin", "Cryptographer.Nothing", NULL, &e), -EINVAL, "Nothing");
}

static void what_is_an_object(void **state)
{
	static const char *const bad[] = {
		"", "vm", "vm:", "vm:x", "VM:" VM, "disk:" VM, "global:" VM, "vm:" VM "0", " global",
	};
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(permission_object_valid(bad[i]));
		must_fail(privilege_check(store, "admin", "System.Read", bad[i], &e), -EINVAL, "no object");
	}
	assert_true(permission_object_valid("global"));
	assert_true(permission_object_valid("cluster:" CLUSTER));
}

static void the_tree(void **state)
{
	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "cluster:" CLUSTER, true);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "cluster:" CLUSTER), 0);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "host:" HOST), 0);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "vm:" VM), 0);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "cluster:" OTHER), -EACCES);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "host:" ALONE), -EACCES);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "vm:" VM_ALONE), -EACCES);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", NULL), -EACCES);
	give("bob", ROLE_ADMINISTRATOR, "host:" ALONE, true);
	assert_int_equal(check("bob", "Cryptographer.Encrypt", "vm:" VM_ALONE), 0);
	assert_int_equal(check("bob", "Cryptographer.Encrypt", "vm:" VM), -EACCES);
	/* An object that is not there: below global, so that who sees all learns it. */
	assert_int_equal(check("admin", "System.Read", "vm:" NOBODY), 0);
	assert_int_equal(check("alice", "System.Read", "vm:" NOBODY), -EACCES);
}

static void the_nearest_wins(void **state)
{
	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "global", true);
	give("alice", ROLE_READ_ONLY, "vm:" VM, true);
	assert_int_equal(check("alice", "Cryptographer.Decrypt", "vm:" VM), -EACCES);
	assert_int_equal(check("alice", "System.Read", "vm:" VM), 0);
	assert_int_equal(check("alice", "Cryptographer.Decrypt", "host:" HOST), 0);
	/* And the other way round. */
	give("bob", ROLE_READ_ONLY, "global", true);
	give("bob", ROLE_ADMINISTRATOR, "vm:" VM, false);
	assert_int_equal(check("bob", "Cryptographer.Decrypt", "vm:" VM), 0);
	assert_int_equal(check("bob", "Cryptographer.Decrypt", "host:" HOST), -EACCES);
	/* In the middle. */
	give("bob", ROLE_NO_CRYPTO, "cluster:" CLUSTER, true);
	assert_int_equal(check("bob", "VirtualMachine.Inventory.Create", "host:" HOST), 0);
	assert_int_equal(check("bob", "Cryptographer.Decrypt", "host:" HOST), -EACCES);
}

static void without_propagation(void **state)
{
	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "cluster:" CLUSTER, false);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "cluster:" CLUSTER), 0);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "host:" HOST), -EACCES);
	/* It hides nothing from further up either. */
	give("alice", ROLE_READ_ONLY, "global", true);
	assert_int_equal(check("alice", "System.Read", "vm:" VM), 0);
	give("alice", ROLE_READ_ONLY, "global", false);
	assert_int_equal(check("alice", "System.Read", NULL), 0);
	assert_int_equal(check("alice", "System.Read", "vm:" VM), -EACCES);
}

static json_t *names(const char *one, const char *two)
{
	json_t *list = json_array();

	json_array_append_new(list, json_string(one));
	if (two)
		json_array_append_new(list, json_string(two));
	return list;
}

static void roles_of_ones_own(void **state)
{
	_cleanup_json_ json_t *encrypt = names("Cryptographer.Encrypt", "System.Read");
	_cleanup_json_ json_t *read = names("System.Read", NULL), *bad = names("System.Write", NULL);
	_cleanup_json_ json_t *list = NULL, *got = NULL;

	(void) state;
	must(role_create(store, NULL, "Encryptor", encrypt, &e));
	must_fail(role_create(store, NULL, "Encryptor", read, &e), -EEXIST, "Encryptor");
	must_fail(role_create(store, NULL, ROLE_READ_ONLY, read, &e), -EEXIST, "built in");
	must_fail(role_create(store, NULL, "Bad", bad, &e), -EINVAL, "System.Write");
	must_fail(role_create(store, NULL, "a/b", read, &e), -EINVAL, "name");
	must_fail(role_create(store, NULL, "Bad", encrypt ? json_object_get(encrypt, "x") : NULL, &e),
		  -EINVAL, "list of names");
	give("alice", "Encryptor", "cluster:" CLUSTER, true);
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "vm:" VM), 0);
	assert_int_equal(check("alice", "Cryptographer.Decrypt", "vm:" VM), -EACCES);
	must(role_update(store, NULL, "Encryptor", read, &e));
	assert_int_equal(check("alice", "Cryptographer.Encrypt", "vm:" VM), -EACCES);
	must(role_list(store, &list, &e));
	assert_int_equal(json_array_size(list), 4);
	must(role_get(store, "Encryptor", &got, &e));
	assert_true(json_equal(json_object_get(got, "privileges"), read));
	must_fail(role_delete(store, "Encryptor", &e), -EBUSY, "1 permissions");
	must(permission_remove_all(store, "alice", NULL, &e));
	must(role_delete(store, "Encryptor", &e));
	must_fail(role_delete(store, "Encryptor", &e), -ENOENT, "Encryptor");
	must_fail(role_update(store, NULL, "Encryptor", read, &e), -ENOENT, "Encryptor");
	must_fail(role_update(store, NULL, ROLE_ADMINISTRATOR, read, &e), -EPERM, "built in");
	must_fail(role_delete(store, ROLE_NO_CRYPTO, &e), -EPERM, "built in");
}

/* The whole point of NoCryptoAdmin: no way of theirs leads to cryptography. */
static void nobody_rises(void **state)
{
	_cleanup_json_ json_t *encrypt = names("Cryptographer.Encrypt", "System.Read");
	_cleanup_json_ json_t *read = names("System.Read", NULL);
	char id[UUID_TEXT_SIZE];

	(void) state;
	give("alice", ROLE_NO_CRYPTO, "global", true);
	must_fail(permission_set(store, "alice", "alice", ROLE_ADMINISTRATOR, "global", true, NULL,
				 &e), -EACCES, "Cryptographer");
	must_fail(permission_set(store, "alice", "alice", ROLE_ADMINISTRATOR, "vm:" VM, true, NULL, &e),
		  -EACCES, "Cryptographer");
	must_fail(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, "cluster:" CLUSTER, true, NULL,
				 &e), -EACCES, "Cryptographer");
	must_fail(role_create(store, "alice", "Own", encrypt, &e), -EACCES, "Cryptographer.Encrypt");
	must(role_create(store, "alice", "Own", read, &e));
	must_fail(role_update(store, "alice", "Own", encrypt, &e), -EACCES, "Cryptographer.Encrypt");
	must_fail(permission_set(store, "alice", "admin", ROLE_READ_ONLY, "global", true, NULL,
				 &e), -EACCES,
		  "more rights");
	must_fail(permission_covers(store, "alice", "admin", &e), -EACCES, "more rights");
	must(permission_set(store, "alice", "bob", ROLE_NO_CRYPTO, "global", true, NULL, &e));
	must(permission_covers(store, "alice", "bob", &e));
	/* Their own restriction hides what is inherited: they cannot take it away... */
	give("bob", ROLE_ADMINISTRATOR, "global", true);
	must(permission_set(store, NULL, "bob", ROLE_NO_CRYPTO, "vm:" VM, true, id, &e));
	must_fail(permission_remove(store, "bob", id, &e), -EACCES, "Cryptographer");
	/* ...nor let somebody else have all. */
	must_fail(permission_set(store, "bob", "alice", ROLE_ADMINISTRATOR, "global", true, NULL, &e),
		  -EACCES, "vm:" VM);
	must_fail(permission_covers(store, "bob", "admin", &e), -EACCES, "vm:" VM);
	must(permission_remove(store, "admin", id, &e));
	assert_int_equal(check("bob", "Cryptographer.Encrypt", "vm:" VM), 0);
}

/* Restricted on one VM of the cluster: nothing that is done above it lifts that. */
static void nobody_rises_from_above(void **state)
{
	_cleanup_json_ json_t *encrypt = names("Cryptographer.Encrypt", "System.Read");
	_cleanup_json_ json_t *read = names("System.Read", NULL);

	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "global", true);
	must(role_create(store, NULL, "Own", read, &e));
	give("alice", "Own", "vm:" VM, true);
	must_fail(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, "cluster:" CLUSTER, true, NULL,
				 &e), -EACCES, "vm:" VM);
	must_fail(role_update(store, "alice", "Own", encrypt, &e), -EACCES, "vm:" VM);
	must(permission_set(store, "alice", "bob", "Own", "cluster:" CLUSTER, true, NULL, &e));
	/* Elsewhere they are what they were. */
	must(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, "host:" HOST, true, NULL, &e));
}

/* A permission that does not propagate keeps nothing away below: it must not take the place
 * of one that does, unless its giver holds what counts there then. */
static void nobody_rises_by_limiting(void **state)
{
	static const char cluster[] = "cluster:" CLUSTER;
	char id[UUID_TEXT_SIZE];

	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "global", true);
	must(permission_set(store, NULL, "alice", ROLE_NO_CRYPTO, cluster, true, id, &e));
	must_fail(permission_set(store, "alice", "alice", ROLE_NO_CRYPTO, cluster, false, NULL, &e),
		  -EACCES, "all that is within cluster:" CLUSTER);
	must_fail(permission_set(store, "alice", "alice", ROLE_READ_ONLY, cluster, false, NULL, &e),
		  -EACCES, "Cryptographer");
	must_fail(permission_remove(store, "alice", id, &e), -EACCES, "Cryptographer");
	assert_int_equal(check("alice", "Cryptographer.Access", "vm:" VM), -EACCES);
	/* Nor for somebody else. */
	give("bob", ROLE_ADMINISTRATOR, "global", true);
	give("bob", ROLE_READ_ONLY, cluster, true);
	must_fail(permission_set(store, "alice", "bob", ROLE_READ_ONLY, cluster, false, NULL, &e),
		  -EACCES, "all that is within");
	assert_int_equal(check("bob", "Cryptographer.Access", "vm:" VM), -EACCES);
	must(permission_set(store, "alice", "bob", ROLE_NO_CRYPTO, cluster, true, NULL, &e));
	must(permission_set(store, "admin", "alice", ROLE_NO_CRYPTO, cluster, false, NULL, &e));
	assert_int_equal(check("alice", "Cryptographer.Access", "vm:" VM), 0);
	/* Where nothing changes below, it takes nothing there. */
	must(permission_set(store, "admin", "bob", ROLE_READ_ONLY, cluster, false, id, &e));
	must_fail(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, cluster, false, NULL, &e),
		  -EACCES, "on cluster:" CLUSTER);
	must(permission_set(store, "alice", "bob", ROLE_NO_CRYPTO, cluster, false, NULL, &e));
}

/* What one holds on an object alone, nobody gets on what is within it. */
static void nobody_rises_below(void **state)
{
	static const char cluster[] = "cluster:" CLUSTER;
	_cleanup_json_ json_t *encrypt = names("Cryptographer.Encrypt", "System.Read");

	(void) state;
	give("alice", ROLE_NO_CRYPTO, "global", true);
	give("alice", ROLE_ADMINISTRATOR, cluster, false);
	must_fail(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, cluster, true, NULL, &e),
		  -EACCES, "all that is within cluster:" CLUSTER);
	assert_int_equal(check("bob", "Cryptographer.Access", "vm:" VM), -EACCES);
	must(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, cluster, false, NULL, &e));
	must(permission_covers(store, "alice", "bob", &e));
	give("bob", ROLE_ADMINISTRATOR, cluster, true);
	must_fail(permission_covers(store, "alice", "bob", &e), -EACCES, "all that is within");
	/* Roles count everywhere, global alone is not enough. */
	give("alice", ROLE_ADMINISTRATOR, "global", false);
	must_fail(role_create(store, "alice", "Own", encrypt, &e), -EACCES, "all that is within global");
	/* Nothing is within a VM. */
	give("alice", ROLE_ADMINISTRATOR, "vm:" VM, false);
	must(permission_set(store, "alice", "bob", ROLE_ADMINISTRATOR, "vm:" VM, true, NULL, &e));
}

static void set_disabled(const char *name, bool disabled)
{
	_cleanup_json_ json_t *user = NULL;

	must(store_get(store, "user", name, &user, &e));
	json_object_set_new(user, "disabled", json_boolean(disabled));
	must(store_update(store, "user", name, user, &e));
}

/* Who is disabled holds nothing now, and all of it again one day. */
static void nobody_rises_while_disabled(void **state)
{
	char id[UUID_TEXT_SIZE];

	(void) state;
	give("alice", ROLE_NO_CRYPTO, "global", true);
	give("bob", ROLE_ADMINISTRATOR, "global", true);
	must(permission_set(store, NULL, "bob", ROLE_NO_CRYPTO, "cluster:" CLUSTER, true, id, &e));
	set_disabled("bob", true);
	must_fail(permission_remove(store, "alice", id, &e), -EACCES, "Cryptographer");
	must_fail(permission_set(store, "alice", "bob", ROLE_READ_ONLY, "global", true, NULL, &e),
		  -EACCES, "more rights");
	set_disabled("bob", false);
	assert_int_equal(check("bob", "Cryptographer.Access", "vm:" VM), -EACCES);
}

static void place(const char *kind, const char *id, const char *cluster, const char *host)
{
	_cleanup_json_ json_t *document = json_pack("{s:s, s:s?, s:s?}", "name", id, "cluster", cluster,
						    "host", host);

	must(store_update(store, kind, id, document, &e));
}

/* Rights come of the place: what one is restricted on does not get free by being moved. */
static void nobody_rises_by_moving(void **state)
{
	_cleanup_json_ json_t *vm = NULL, *host = NULL, *nobody = NULL;

	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "global", true);
	give("alice", ROLE_READ_ONLY, "cluster:" CLUSTER, true);
	must(permission_before_move(store, "alice", "vm", VM, &vm, &e));
	must(permission_after_move(store, "alice", vm, &e));
	place("vm", VM, OTHER, NULL);
	must_fail(permission_after_move(store, "alice", vm, &e), -EACCES, "vm:" VM);
	must(permission_before_move(store, NULL, "vm", VM, &nobody, &e));
	must(permission_after_move(store, NULL, nobody, &e));
	/* With a host go the VMs that are registered to it. */
	give("bob", ROLE_READ_ONLY, "global", true);
	give("bob", ROLE_ADMINISTRATOR, "cluster:" OTHER, true);
	must(permission_before_move(store, "bob", "host", ALONE, &host, &e));
	assert_int_equal(json_object_size(host), 1);
	place("host", ALONE, OTHER, NULL);
	must_fail(permission_after_move(store, "bob", host, &e), -EACCES, "vm:" VM_ALONE);
}

/* A role may be somebody's who has more: it is not emptied from below. */
static void nobody_takes_from_above(void **state)
{
	_cleanup_json_ json_t *encrypt = names("Cryptographer.Encrypt", "System.Read");
	_cleanup_json_ json_t *read = names("System.Read", NULL), *none = json_array();

	(void) state;
	must(role_create(store, NULL, "Encryptor", encrypt, &e));
	give("alice", ROLE_NO_CRYPTO, "global", true);
	must_fail(role_update(store, "alice", "Encryptor", read, &e), -EACCES, "Cryptographer.Encrypt");
	must(role_update(store, "admin", "Encryptor", read, &e));
	must(role_update(store, "alice", "Encryptor", none, &e));
}

static void permissions(void **state)
{
	_cleanup_json_ json_t *list = NULL, *one = NULL;
	char id[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];

	(void) state;
	must(permission_set(store, NULL, "alice", ROLE_READ_ONLY, "host:" HOST, false, id, &e));
	must(permission_set(store, NULL, "alice", ROLE_NO_CRYPTO, "host:" HOST, true, again, &e));
	assert_string_equal(id, again);
	must(permission_list(store, "alice", &list, &e));
	assert_int_equal(json_array_size(list), 1);
	must(permission_get(store, id, &one, &e));
	assert_string_equal(json_string_value(json_object_get(one, "role")), ROLE_NO_CRYPTO);
	assert_true(json_is_true(json_object_get(one, "propagate")));
	assert_null(json_object_get(one, "name"));
	must_fail(permission_set(store, NULL, "carol", ROLE_READ_ONLY, "global", true, NULL,
				 &e), -ENOENT,
		  "carol");
	must_fail(permission_set(store, NULL, "alice", "Nothing", "global", true, NULL,
				 &e), -ENOENT,
		  "Nothing");
	must_fail(permission_set(store, NULL, "alice", ROLE_READ_ONLY, "vm:" NOBODY, true, NULL,
				 &e), -ENOENT,
		  NOBODY);
	must_fail(permission_set(store, NULL, "alice", ROLE_READ_ONLY, "nonsense", true, NULL,
				 &e), -EINVAL,
		  "nonsense");
	must(permission_remove(store, NULL, id, &e));
	must_fail(permission_remove(store, NULL, id, &e), -ENOENT, id);
	must_fail(permission_get(store, "x", &one, &e), -ENOENT, "no permission");
	/* Those on an object go with it, of whoever they are. */
	give("alice", ROLE_READ_ONLY, "host:" HOST, false);
	give("bob", ROLE_READ_ONLY, "host:" HOST, false);
	must(permission_remove_all(store, NULL, "host:" HOST, &e));
	json_decref(list);
	list = NULL;
	must(permission_list(store, NULL, &list, &e));
	assert_int_equal(json_array_size(list), 1);
}

static void one_administrator_stays(void **state)
{
	_cleanup_json_ json_t *list = NULL;
	const char *id;

	(void) state;
	must(permission_list(store, "admin", &list, &e));
	id = json_string_value(json_object_get(json_array_get(list, 0), "id"));
	must_fail(permission_remove(store, NULL, id, &e), -EBUSY, "Administrator");
	must_fail(permission_set(store, NULL, "admin", ROLE_READ_ONLY, "global", true, NULL, &e),
		  -EBUSY, "Administrator");
	must_fail(permission_set(store, NULL, "admin", ROLE_ADMINISTRATOR, "global", false, NULL, &e),
		  -EBUSY, "Administrator");
	assert_int_equal(check("admin", "Cryptographer.Encrypt", "vm:" VM), 0);
	give("alice", ROLE_ADMINISTRATOR, "global", true);
	must(permission_remove(store, NULL, id, &e));
	assert_int_equal(check("admin", "System.Read", NULL), -EACCES);
}

static void the_disabled_hold_nothing(void **state)
{
	privilege_set set;

	(void) state;
	give("alice", ROLE_ADMINISTRATOR, "global", true);
	set_disabled("alice", true);
	assert_int_equal(check("alice", "System.View", NULL), -EACCES);
	must(privilege_effective(store, "alice", NULL, &set, &e));
	assert_int_equal(set, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		privilege_test(the_table),
		privilege_test(the_whole_table),
		privilege_test(what_is_an_object),
		privilege_test(the_tree),
		privilege_test(the_nearest_wins),
		privilege_test(without_propagation),
		privilege_test(roles_of_ones_own),
		privilege_test(nobody_rises),
		privilege_test(nobody_rises_from_above),
		privilege_test(nobody_rises_by_limiting),
		privilege_test(nobody_rises_below),
		privilege_test(nobody_rises_while_disabled),
		privilege_test(nobody_rises_by_moving),
		privilege_test(nobody_takes_from_above),
		privilege_test(permissions),
		privilege_test(one_administrator_stays),
		privilege_test(the_disabled_hold_nothing),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
