// SPDX-License-Identifier: LGPL-2.1-or-later
/* A new manager: all of it, or nothing. */
#include "unit.h"

#include "manager/init.h"
#include "manager/permission.h"
#include "manager/privilege.h"
#include "manager/record.h"
#include "manager/store.h"
#include "manager/user.h"

static struct error e;
static char dir[64];
static struct secret password;

static int setup(void **state)
{
	(void) state;
	e = ERROR_NULL;
	unit_make_dir(dir);
	password = unit_password("correct horse");
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	secret_done(&password);
	unit_remove_dir(dir);
	return 0;
}

static int init(const char *names, const char *admin, char fingerprint[65])
{
	const struct manager_init asked = {
		.vault = { .dir = unit_path(dir, "m") }, .source = VAULT_FROM_KEY_FILE,
		.names = names, .admin = admin, .password = &password,
	};

	e = ERROR_NULL;
	return manager_init(&asked, fingerprint, &e);
}

static void check_made(const char *fingerprint)
{
	const struct vault_settings settings = { .dir = unit_path(dir, "m") };
	struct authority *authority;
	struct store *store;
	struct vault *vault;
	struct users *users;
	char loaded[65], head[RECORD_HASH_SIZE];
	uint64_t rows, bad;

	assert_int_equal(store_open(settings.dir, &store, &e), 0);
	assert_int_equal(vault_open(&settings, &vault, &e), 0);
	assert_int_equal(authority_load(store, vault, &authority, &e), 0);
	authority_fingerprint(authority, loaded);
	assert_string_equal(loaded, fingerprint);
	assert_int_equal(users_new(store, NULL, NULL, &users, &e), 0);
	assert_int_equal(user_authenticate(users, "admin", &password, "127.0.0.1", &e), 0);
	assert_int_equal(privilege_check(store, "admin", "Cryptographer.ManageKeyServers", NULL, &e), 0);
	assert_int_equal(record_verify(store, &rows, &bad, head, &e), 0);
	assert_int_equal(rows, 1);
	users_free(users);
	authority_free(authority);
	vault_free(vault);
	store_free(store);
}

static void a_new_manager(void **state)
{
	char fingerprint[65], second[65] = "as before";
	struct stat st;

	(void) state;
	if (init("manager.example,10.0.0.1", "admin", fingerprint) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(strlen(fingerprint), 64);
	assert_int_equal(stat(unit_path(dir, "m"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	check_made(fingerprint);
	/* Never twice: the hosts trust the first authority. */
	assert_int_equal(init("manager.example", "other", second), -EEXIST);
	unit_speaks(&e, "already");
	assert_string_equal(second, "as before");
	check_made(fingerprint);
}

static void or_nothing(void **state)
{
	struct secret good = password;
	char fingerprint[65];

	(void) state;
	assert_int_equal(init("not a name", "admin", fingerprint), -EINVAL);
	assert_int_equal(e.status, EXIT_USAGE);
	unit_speaks(&e, "not a name");
	assert_int_equal(access(unit_path(dir, "m/vault.key"), F_OK), -1);
	assert_int_equal(init("manager.example", "no good", fingerprint), -EINVAL);
	unit_speaks(&e, "user's name");
	password = unit_password("short");
	assert_int_equal(init("manager.example", "admin", fingerprint), -EINVAL);
	unit_speaks(&e, "5 bytes");
	secret_done(&password);
	password = good;
	/* What failed before is not in the way. */
	if (init("manager.example", "admin", fingerprint) < 0)
		fail_msg("%s", e.text);
	check_made(fingerprint);
}

static void not_beside_a_running_one(void **state)
{
	struct store *store;
	char fingerprint[65];

	(void) state;
	assert_int_equal(mkdir(unit_path(dir, "m"), 0700), 0);
	assert_int_equal(store_open(unit_path(dir, "m"), &store, &e), 0);
	assert_int_equal(init("manager.example", "admin", fingerprint), -EBUSY);
	store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_manager, setup, teardown),
		cmocka_unit_test_setup_teardown(or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(not_beside_a_running_one, setup, teardown),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
