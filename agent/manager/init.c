/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <limits.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "manager/permission.h"
#include "manager/record.h"
#include "manager/role.h"
#include "manager/store.h"
#include "manager/user.h"

static void store_freep(struct store **store)
{
	if (*store)
		store_free(*store);
}

static void vault_freep(struct vault **vault)
{
	vault_free(*vault);
}

static void authority_freep(struct authority **authority)
{
	authority_free(*authority);
}

static void users_freep(struct users **users)
{
	users_free(*users);
}

static int refuse_second(struct store *store, const char *dir, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	struct error ignored = ERROR_NULL;
	int r = store_get(store, "authority", "ca", &document, &ignored);

	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		if (e)
			*e = ignored;
		return r;
	}
	return error_fail(e, EEXIST, "There is a manager in %s already: its hosts trust its authority; "
			  "choose another folder", dir);
}

static int make_authority(const struct manager_init *init, struct store *store,
			  struct vault *vault, char ret_fingerprint[AUTHORITY_FINGERPRINT_SIZE],
			  struct error *e)
{
	_cleanup_(authority_freep) struct authority *authority = NULL;
	_cleanup_free_ char *first = strndup(init->names, strcspn(init->names, ","));
	int r;

	if (!first)
		return error_oom(e);
	r = authority_init(store, vault, first, e);
	if (r == 0)
		r = authority_load(store, vault, &authority, e);
	if (r == 0)
		r = authority_issue_server(authority, init->names, e);
	if (r == 0)
		authority_fingerprint(authority, ret_fingerprint);
	return r;
}

static int make_admin(const struct manager_init *init, struct store *store, struct error *e)
{
	_cleanup_(users_freep) struct users *users = NULL;
	int r;

	r = users_new(store, /* sessions= */ NULL, /* clock= */ NULL, &users, e);
	if (r == 0)
		r = user_create(users, init->admin, init->password, /* certificate= */ NULL, e);
	if (r == 0)
		r = permission_set(store, /* actor= */ NULL, init->admin, ROLE_ADMINISTRATOR,
				   PERMISSION_GLOBAL, /* propagate= */ true, /* ret_id= */ NULL, e);
	return r;
}

/* What a new store is filled with, in one transaction. */
struct filling {
	const struct manager_init *init;
	struct vault *vault;
	char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
};

static int fill(struct store *store, void *userdata, struct error *e)
{
	struct filling *filling = userdata;
	const struct record_event made = {
		.user = RECORD_USER_MANAGER, .operation = "manager.init", .object = PERMISSION_GLOBAL,
	};
	int r;

	r = make_authority(filling->init, store, filling->vault, filling->fingerprint, e);
	if (r == 0)
		r = make_admin(filling->init, store, e);
	return r < 0 ? r : record_note(store, &made, "ok", e);
}

/* The key that this call has made: nothing is sealed with it. */
static void remove_key(const struct manager_init *init)
{
	const char *name = init->source == VAULT_FROM_TPM ? VAULT_TPM_FILE : VAULT_KEY_FILE;
	char path[PATH_MAX];

	if (init->source == VAULT_FROM_CREDENTIAL)
		return;
	if (snprintf(path, sizeof(path), "%s/%s", init->vault.dir, name) < (int) sizeof(path))
		file_remove(path, NULL);
}

/* A credential that is passed would be found before the key that init makes. */
static int check_source(const struct manager_init *init, struct vault *vault, struct error *e)
{
	if (vault_source(vault) == init->source)
		return 0;
	return error_usage(e, "The vault's key is to come from %s, but the one of the %s comes first: "
			   "choose that, or take it away", vault_source_name(init->source),
			   vault_source_name(vault_source(vault)));
}

int manager_init(const struct manager_init *init,
		 char ret_fingerprint[AUTHORITY_FINGERPRINT_SIZE], struct error *e)
{
	struct filling filling = { .init = init };
	_cleanup_(store_freep) struct store *store = NULL;
	_cleanup_(vault_freep) struct vault *vault = NULL;
	int r;

	r = file_make_dir(init->vault.dir, 0700, e);
	if (r == 0)
		r = store_open(init->vault.dir, &store, e);
	if (r == 0)
		r = refuse_second(store, init->vault.dir, e);
	if (r == 0)
		r = vault_create(&init->vault, init->source, e);
	if (r < 0)
		return r;
	r = vault_open(&init->vault, &vault, e);
	filling.vault = vault;
	if (r == 0)
		r = check_source(init, vault, e);
	if (r == 0)
		r = store_write(store, fill, &filling, e);
	if (r < 0) {
		remove_key(init);
		return r;
	}
	memcpy(ret_fingerprint, filling.fingerprint, sizeof(filling.fingerprint));
	return 0;
}
