// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provider_fixture.h"

#include <sys/resource.h>

static void starts_empty(void **state)
{
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_info info, *infos = &info;
	struct secret kek = SECRET_NULL;
	struct key_locator locator;
	struct stat st;
	size_t n = 9;

	(void) state;
	assert_int_equal(stat(state_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(provider_list(registry, &infos, &n, &e), 0);
	assert_null(infos);
	assert_int_equal(n, 0);
	assert_int_equal(provider_show(registry, NULL, &info, &e), -ENOENT);
	unit_speaks(&e, "provider create native");
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -ENOENT);
	assert_int_equal(provider_set_default(registry, "x", &e), -ENOENT);
	assert_int_equal(provider_check(registry, NULL, &e), -ENOENT);
	assert_int_equal(provider_delete(registry, "x", &e), -ENOENT);
	provider_registry_free(registry);
	provider_registry_free(NULL);
}

static void needs_a_tpm_or_a_word(void **state)
{
	struct provider_registry *registry = must_open(NO_TPM);

	(void) state;
	assert_int_equal(provider_create_native(registry, "a", SEALING_AUTO, NULL, &e), -ENODEV);
	unit_speaks(&e, "--allow-unsealed");
	assert_int_equal(provider_create_native(registry, "a", SEALING_TPM, NULL, &e), -ENODEV);
	unit_speaks(&e, "A TPM is required");
	assert_null(strstr(e.text, "--allow-unsealed"));
	/* Who wants no words gets the code all the same. */
	assert_int_equal(provider_create_native(registry, "a", SEALING_TPM, NULL, NULL), -ENODEV);
	assert_int_equal(unit_count(state_dir, ".json"), 0);
	provider_registry_free(registry);
}

static void first_one_is_the_default(void **state)
{
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_info a, b, *infos;
	size_t n;

	(void) state;
	make(registry, "zeta", &a);
	make(registry, "alpha", &b);
	assert_true(a.is_default);
	assert_false(b.is_default);
	assert_false(a.usable);
	assert_int_equal(a.backed_up, 0);
	assert_int_equal(a.sealing, SEALING_NONE);
	provider_registry_free(registry);

	registry = must_open(NO_TPM);
	assert_int_equal(provider_list(registry, &infos, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_string_equal(infos[0].name, "alpha");
	assert_string_equal(infos[1].name, "zeta");
	assert_true(infos[1].is_default);
	free(infos);
	assert_int_equal(provider_set_default(registry, "alpha", &e), 0);
	provider_registry_free(registry);

	registry = must_open(NO_TPM);
	assert_int_equal(provider_show(registry, NULL, &a, &e), 0);
	assert_string_equal(a.name, "alpha");
	assert_int_equal(provider_delete(registry, "alpha", &e), 0);
	assert_int_equal(provider_show(registry, NULL, &a, &e), -ENOENT);
	unit_speaks(&e, "provider default");
	make(registry, "beta", &b);
	assert_true(b.is_default);
	provider_registry_free(registry);
}

static void refuses_names(void **state)
{
	static const char *const bad[] = {
		"", "-a", "a/b", "../a", "a b", "01234567-89ab-cdef-0123-456789abcdef",
	};
	struct provider_registry *registry = must_open(NO_TPM);
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(provider_create_native(registry, bad[i], SEALING_NONE, NULL, &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
	}
	make(registry, "a", NULL);
	assert_int_equal(provider_create_native(registry, "a", SEALING_NONE, NULL, &e), -EEXIST);
	provider_registry_free(registry);
}

static void no_key_before_the_backup(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, again = SECRET_NULL, other = SECRET_NULL;
	struct provider_registry *registry = must_open(NO_TPM);
	struct key_locator locator, second;
	struct provider_info info;

	(void) state;
	make(registry, "a", NULL);
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	unit_speaks(&e, "provider backup a");
	assert_null(kek.data);

	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	assert_int_equal(provider_show(registry, "a", &info, &e), 0);
	assert_true(info.usable);
	assert_true(info.backed_up > 0);
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), 0);
	assert_int_equal(kek.size, KEK_SIZE);
	assert_string_equal(locator.provider_name, "a");
	assert_memory_equal(locator.provider, info.id, UUID_SIZE);
	assert_int_equal(provider_key_new(registry, "a", NULL, &second, &other, &e), 0);
	assert_string_not_equal(locator.key_id, second.key_id);
	assert_false(secret_equal(&kek, &other));
	provider_registry_free(registry);

	registry = must_open(NO_TPM);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &again, &e), 0);
	assert_true(secret_equal(&kek, &again));
	assert_int_equal(provider_check(registry, NULL, &e), 0);
	provider_registry_free(registry);
}

static void keys_that_cannot_be_had(void **state)
{
	struct key_locator locator = { .provider_name = "gone", .key_id = "x" };
	struct provider_registry *registry = must_open(NO_TPM);
	struct secret kek = SECRET_NULL;
	struct provider_info info;

	(void) state;
	make(registry, "a", &info);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	assert_int_equal(e.reason, VMCRYPT_REASON_UNAVAILABLE);
	unit_speaks(&e, "provider restore");
	memcpy(locator.provider, info.id, UUID_SIZE);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -EBADMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
	assert_null(kek.data);
	provider_registry_free(registry);
}

static void backup_needs_a_good_file(void **state)
{
	_cleanup_secret_ struct secret password = unit_password("pass word");
	struct provider_registry *registry = must_open(NO_TPM);
	struct rlimit before, small = { .rlim_cur = 100 };
	struct provider_info info;
	int fd, fds[2];

	(void) state;
	make(registry, "a", NULL);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(provider_backup(registry, "a", &password, fds[1], &e), -EINVAL);
	close(fds[0]);
	close(fds[1]);
	unit_write(unit_path(dir, "full"), "x", 1, 0600);
	fd = open(unit_path(dir, "full"), O_RDWR);
	assert_int_equal(provider_backup(registry, "a", &password, fd, &e), -EINVAL);
	close(fd);
	fd = open(unit_path(dir, "wronly"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(provider_backup(registry, "a", &password, fd, &e), -EINVAL);
	close(fd);
	assert_int_equal(provider_backup(registry, "a", &password, -1, &e), -EBADF);

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(back_up(registry, "a", "limited"), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

	assert_int_equal(provider_show(registry, "a", &info, &e), 0);
	assert_int_equal(info.backed_up, 0);
	provider_registry_free(registry);
}

static void a_lost_host_comes_back(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, again = SECRET_NULL;
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_restore_plan plan;
	struct provider_info before, after;
	struct key_locator locator;

	(void) state;
	make(registry, "a", &before);
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), 0);
	provider_registry_free(registry);
	unit_remove_dir(state_dir);

	registry = must_open(NO_TPM);
	assert_int_equal(restore(registry, "a.p12", "wrong", SEALING_NONE, true, &plan), -EKEYREJECTED);
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_AUTO, true, &plan), -ENODEV);
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_NONE, true, &plan), 0);
	assert_string_equal(plan.info.name, "a");
	assert_memory_equal(plan.info.id, before.id, UUID_SIZE);
	assert_int_equal(plan.info.created, before.created);
	assert_false(plan.exists);
	assert_true(plan.becomes_default);
	assert_int_equal(plan.sealing, SEALING_NONE);
	/* It was dry: nothing is here. */
	assert_int_equal(provider_show(registry, "a", &after, &e), -ENOENT);
	assert_int_equal(unit_count(state_dir, ""), 0);

	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_NONE, false, &plan), 0);
	assert_int_equal(provider_show(registry, NULL, &after, &e), 0);
	assert_true(after.usable);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &again, &e), 0);
	assert_true(secret_equal(&kek, &again));

	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_NONE, true, &plan), 0);
	assert_true(plan.exists);
	assert_false(plan.becomes_default);
	assert_true(plan.info.is_default);
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_NONE, false, &plan), 0);
	provider_registry_free(registry);
}

static void restore_does_not_mix_providers(void **state)
{
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_restore_plan plan;

	(void) state;
	make(registry, "a", NULL);
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	assert_int_equal(provider_delete(registry, "a", &e), 0);
	make(registry, "a", NULL);
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_NONE, false, &plan), -EEXIST);
	unit_speaks(&e, "another provider is called");
	unit_write(unit_path(dir, "junk"), "junk", 4, 0600);
	assert_int_equal(restore(registry, "junk", "pass word", SEALING_NONE, false, &plan), -EBADMSG);
	provider_registry_free(registry);
}

static void in_use_is_not_deleted(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct provider_registry *registry = must_open(NO_TPM);
	struct key_locator locator;

	(void) state;
	make(registry, "a", NULL);
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	used = 1;
	assert_int_equal(provider_delete(registry, "a", &e), -EBUSY);
	unit_speaks(&e, "disk /dev/vdb of VM web1");
	used = -EIO;
	assert_int_equal(provider_delete(registry, "a", &e), -EIO);
	unit_speaks(&e, "list of disks");
	/* Neither attempt took anything away. */
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), 0);
	used = 0;
	assert_int_equal(provider_delete(registry, NULL, &e), -EINVAL);
	assert_int_equal(provider_delete(registry, "a", &e), 0);
	assert_int_equal(unit_count(state_dir, ".json"), 0);
	assert_int_equal(unit_count(state_dir, ".tmp"), 0);
	provider_registry_free(registry);
}

static void files_are_private(void **state)
{
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_info info;
	const char *path;
	struct stat st;

	(void) state;
	make(registry, "a", &info);
	provider_registry_free(registry);
	path = only_file(&info);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	assert_int_equal(chmod(path, 0640), 0);
	assert_null(open_with(NO_TPM));
	unit_speaks(&e, "Others have access");
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(state_dir, 0770), 0);
	assert_null(open_with(NO_TPM));
	unit_speaks(&e, "Others can write");
	assert_int_equal(chmod(state_dir, 0700), 0);
	provider_registry_free(must_open(NO_TPM));
}

static void damaged_files_stop_the_start(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_info info;
	const char *path;
	size_t size, n;

	(void) state;
	make(registry, "a", &info);
	provider_registry_free(registry);
	path = only_file(&info);
	assert_int_equal(file_read_bounded(path, 16384, &text, &size, &e), 0);
	for (n = 0; n < size; n += 11) {
		unit_write(path, text, n, 0600);
		assert_null(open_with(NO_TPM));
		unit_speaks(&e, path);
	}
	unit_write(path, text, size, 0600);
	provider_registry_free(must_open(NO_TPM));

	/* A copy under another name, a second of the same name, a left-over. */
	unit_write(unit_path(state_dir, "01234567-89ab-cdef-0123-456789abcdef.json"), text, size, 0600);
	assert_null(open_with(NO_TPM));
	unit_speaks(&e, "renamed or copied");
	unlink(unit_path(state_dir, "01234567-89ab-cdef-0123-456789abcdef.json"));
	unit_write(unit_path(state_dir, ".x.json.abcdef.tmp"), text, size, 0600);
	provider_registry_free(must_open(NO_TPM));
	assert_int_equal(access(unit_path(state_dir, ".x.json.abcdef.tmp"), F_OK), -1);
	unit_write(unit_path(state_dir, "default"), "nonsense\n", 9, 0600);
	assert_null(open_with(NO_TPM));
	unit_speaks(&e, "provider default");
}

/* A flipped bit in an unsealed key must not make keys that nothing else opens. */
static void a_damaged_key_makes_no_keys(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct provider_registry *registry = must_open(NO_TPM);
	_cleanup_free_ char *text = NULL;
	struct provider_info info;
	struct key_locator locator;
	const char *path;
	size_t size;
	char *kdk;

	(void) state;
	make(registry, "a", &info);
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	path = only_file(&info);
	assert_int_equal(file_read_bounded(path, 16384, &text, &size, &e), 0);
	kdk = strstr(text, "\"kdk\":\"");
	assert_non_null(kdk);
	kdk[8] = kdk[8] == 'A' ? 'B' : 'A';
	unit_write(path, text, size, 0600);
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -ENOKEY);
	unit_speaks(&e, "damaged");
	assert_int_equal(provider_check(registry, NULL, &e), -ENOKEY);
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_NONE, false, NULL), 0);
	assert_int_equal(provider_check(registry, NULL, &e), 0);
	provider_registry_free(registry);
}

static void a_full_disk_leaves_no_half_provider(void **state)
{
	struct provider_registry *registry = must_open(NO_TPM);
	struct rlimit before, small = { .rlim_cur = 20 };

	(void) state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(provider_create_native(registry, "a", SEALING_NONE, NULL, NULL), -EFBIG);
	assert_int_equal(provider_create_native(registry, "a", SEALING_NONE, NULL, &e), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	unit_speaks(&e, "Cannot create provider \"a\"");
	assert_int_equal(unit_count(state_dir, ""), 0);
	make(registry, "a", NULL);
	provider_registry_free(registry);
}

static void json_shows_no_secret(void **state)
{
	static const char *const members[] = {
		"id", "name", "type", "created", "backed_up", "sealing", "default",
		"managed", "usable"
	};
	struct provider_registry *registry = must_open(NO_TPM);
	struct provider_restore_plan plan = { .exists = true };
	_cleanup_json_ json_t *json = NULL, *restored = NULL;
	struct provider_info info;
	size_t i;

	(void) state;
	make(registry, "a", &info);
	json = provider_info_to_json(&info);
	assert_int_equal(json_object_size(json), ARRAY_SIZE(members));
	for (i = 0; i < ARRAY_SIZE(members); i++)
		assert_non_null(json_object_get(json, members[i]));
	assert_true(json_is_null(json_object_get(json, "backed_up")));
	assert_string_equal(json_string_value(json_object_get(json, "sealing")), "none");
	plan.info = info;
	restored = provider_restore_plan_to_json(&plan);
	assert_true(json_is_true(json_object_get(restored, "exists")));
	assert_true(json_is_object(json_object_get(restored, "provider")));
	provider_registry_free(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(starts_empty),
		T(needs_a_tpm_or_a_word),
		T(first_one_is_the_default),
		T(refuses_names),
		T(no_key_before_the_backup),
		T(keys_that_cannot_be_had),
		T(backup_needs_a_good_file),
		T(a_lost_host_comes_back),
		T(restore_does_not_mix_providers),
		T(in_use_is_not_deleted),
		T(files_are_private),
		T(damaged_files_stop_the_start),
		T(a_damaged_key_makes_no_keys),
		T(a_full_disk_leaves_no_half_provider),
		T(json_shows_no_secret),
	};

	return cmocka_run_group_tests_name("provider", tests, group_setup, NULL);
}
