/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registry of providers in a folder of its own, for each test.
 */
#ifndef VMCRYPT_TESTS_PROVIDER_FIXTURE_H
#define VMCRYPT_TESTS_PROVIDER_FIXTURE_H

#include "swtpm.h"

#include <errno.h>
#include <fcntl.h>

#include "common/fileio.h"
#include "crypto/wrap.h"
#include "provider/provider.h"
#include "vmcrypt.h"

#define NO_TPM "swtpm:path=/nonexistent/socket"

/* Each test has a folder of its own; most need no TPM. */
static char dir[64];
static char state_dir[80];
static int used;
static struct error e;

static inline int in_use(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what, size_t what_size,
		  struct error *ret_e)
{
	(void) userdata;
	(void) provider;
	if (used < 0)
		return error_fail(ret_e, used, "Cannot read the list of disks");
	snprintf(ret_what, what_size, "disk /dev/vdb of VM web1");
	return used;
}

static inline struct provider_registry *open_with(const char *tcti)
{
	const struct provider_settings settings = {
		.dir = state_dir, .tcti = tcti, .in_use = in_use,
	};
	struct provider_registry *registry = NULL;

	e = ERROR_NULL;
	if (provider_registry_open(&settings, &registry, &e) < 0)
		assert_null(registry);
	return registry;
}

static inline struct provider_registry *must_open(const char *tcti)
{
	struct provider_registry *registry = open_with(tcti);

	if (!registry)
		fail_msg("%s", e.text);
	return registry;
}

static inline void make(struct provider_registry *registry, const char *name, struct provider_info *ret)
{
	e = ERROR_NULL;
	if (provider_create_native(registry, name, SEALING_NONE, ret, &e) < 0)
		fail_msg("%s", e.text);
}

static inline int back_up(struct provider_registry *registry, const char *name, const char *file)
{
	_cleanup_secret_ struct secret password = unit_password("pass word");
	_cleanup_close_ int fd = open(unit_path(dir, file), O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	e = ERROR_NULL;
	return provider_backup(registry, name, &password, fd, &e);
}

static inline int restore(struct provider_registry *registry, const char *file, const char *word,
		   enum provider_sealing sealing, bool dry_run, struct provider_restore_plan *ret)
{
	_cleanup_secret_ struct secret password = unit_password(word);
	_cleanup_close_ int fd = open(unit_path(dir, file), O_RDONLY);

	assert_true(fd >= 0);
	e = ERROR_NULL;
	return provider_restore(registry, fd, &password, sealing, dry_run, ret, &e);
}

static inline int setup(void **state)
{
	(void) state;
	used = 0;
	unit_make_dir(dir);
	snprintf(state_dir, sizeof(state_dir), "%s/providers", dir);
	return 0;
}

static inline int teardown(void **state)
{
	(void) state;
	unit_remove_dir(dir);
	return 0;
}

static inline const char *only_file(const struct provider_info *info)
{
	char id[UUID_TEXT_SIZE], name[64];

	uuid_format(info->id, id);
	snprintf(name, sizeof(name), "%s.json", id);
	return unit_path(state_dir, name);
}

static inline int group_setup(void **state)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	return unit_setup(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
