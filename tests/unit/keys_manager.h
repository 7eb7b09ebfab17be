/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager of keys_fixture.h, and what stands in its store. */
#ifndef VMCRYPT_TESTS_KEYS_MANAGER_H
#define VMCRYPT_TESTS_KEYS_MANAGER_H

#include "keys_fixture.h"

#include "manager/errands.h"
#include "manager/refusals.h"
#include "manager/vault.h"

#define HOST	"00000000-0000-4000-8000-00000000000"
#define VM	"00000000-0000-4000-8000-0000000000a"
#define CLUSTER	"00000000-0000-4000-8000-0000000000c"

static char dir[64];
static struct manager manager;
static struct error e;

static inline void open_manager(const char *folder)
{
	const struct vault_settings settings = { .dir = folder };
	struct error failure = ERROR_NULL;
	int r = store_open(folder, &manager.store, &failure);

	if (r == 0 && vault_create(&settings, VAULT_FROM_KEY_FILE, &failure) == -EEXIST)
		failure = ERROR_NULL;
	if (r == 0)
		r = vault_open(&settings, &manager.vault, &failure);
	if (r == 0)
		r = providers_open(manager.store, manager.vault, &manager.providers, &failure);
	if (r == 0)
		r = keywatch_new(&manager.watch, &failure);
	if (r == 0)
		r = refusals_new(&manager.refusals, &failure);
	if (r == 0)
		r = errands_new(&manager.errands, &failure);
	if (r < 0)
		fail_msg("%s", failure.text);
}

static inline void close_manager(void)
{
	keywatch_free(manager.watch);
	refusals_free(manager.refusals);
	errands_free(manager.errands);
	providers_free(manager.providers);
	vault_free(manager.vault);
	store_free(manager.store);
	manager = (struct manager) { .store = NULL };
}

static inline void add_host(const char *id, const char *name, const char *cluster, const char *mode,
		     bool tpm)
{
	_cleanup_json_ json_t *host = json_pack("{s:s, s:s?, s:s, s:s, s:b, s:s}", "name", name, "cluster",
						cluster, "mode", mode, "state", "active", "tpm", (int) tpm,
						"reported", "2026-01-01T00:00:00Z");

	if (store_insert(manager.store, "host", id, host, &e) < 0)
		fail_msg("%s", e.text);
	play_host(id);
}

static inline void add_vm(const char *id, const char *name, const char *cluster, const char *host)
{
	_cleanup_json_ json_t *vm = json_pack("{s:s, s:s*, s:s*}", "name", name, "cluster", cluster,
					      "host", host);

	if (store_insert(manager.store, "vm", id, vm, &e) < 0)
		fail_msg("%s", e.text);
}

static inline int setup(void **state)
{
	(void) state;
	e = ERROR_NULL;
	unit_make_dir(dir);
	open_manager(dir);
	return 0;
}

static inline int teardown(void **state)
{
	(void) state;
	play_end();
	close_manager();
	unit_remove_dir(dir);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static inline void make(const char *name, const char *type, char id[UUID_TEXT_SIZE])
{
	must(provider_create(&manager, name, type, NULL, false, id, &e));
}

static inline int take_row(const json_t *row, void *userdata)
{
	return json_array_append((json_t *) userdata, (json_t *) row);
}

/* The newest row of an operation. */
static inline json_t *newest(const char *operation)
{
	const struct record_filter f = { .operation = operation, .limit = 1, .newest = true };
	_cleanup_json_ json_t *rows = json_array();

	must(record_each(manager.store, &f, take_row, rows, &e));
	return json_incref(json_array_get(rows, 0));
}

static inline void add_key(const char *provider, const char *key, const char *vm)
{
	_cleanup_json_ json_t *document = json_pack("{s:s, s:s, s:s, s:n, s:n, s:s}", "provider", provider,
						    "key", key, "vm", vm, "host", "disk", "created",
						    "2026-01-01T00:00:00Z");
	char id[KEY_DOCUMENT_SIZE];

	key_document_id(provider, key, id);
	must(store_insert(manager.store, KEY_KIND, id, document, &e));
}

#endif
