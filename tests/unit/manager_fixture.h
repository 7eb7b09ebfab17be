/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store of the manager in a folder of its own, for tests of what stands on it.
 */
#ifndef VMCRYPT_TESTS_MANAGER_FIXTURE_H
#define VMCRYPT_TESTS_MANAGER_FIXTURE_H

#include "unit.h"

#include "manager/permission.h"
#include "manager/role.h"
#include "manager/store.h"
#include "manager/user.h"

static struct error e;
static char dir[64];
static struct store *store;

static inline int fixture_setup(void **state)
{
	(void) state;
	e = ERROR_NULL;
	unit_make_dir(dir);
	if (store_open(dir, &store, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static inline int fixture_teardown(void **state)
{
	(void) state;
	store_free(store);
	unit_remove_dir(dir);
	return 0;
}

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

#endif
