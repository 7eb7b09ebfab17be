/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the operations do; protocol.h says what they take and return.
 */
#ifndef HOST_OPS_H
#define HOST_OPS_H

#include <jansson.h>

#include "common/errors.h"
#include "host/call.h"

struct link_view;

int op_status(struct call *call, json_t **ret_result, struct error *e);

int op_provider_create(struct call *call, json_t **ret_result, struct error *e);
int op_provider_list(struct call *call, json_t **ret_result, struct error *e);
int op_provider_show(struct call *call, json_t **ret_result, struct error *e);
int op_provider_default(struct call *call, json_t **ret_result, struct error *e);
int op_provider_check(struct call *call, json_t **ret_result, struct error *e);
int op_provider_delete(struct call *call, json_t **ret_result, struct error *e);
int op_provider_backup(struct call *call, json_t **ret_result, struct error *e);
int op_provider_restore(struct call *call, json_t **ret_result, struct error *e);

int op_disk_create(struct call *call, json_t **ret_result, struct error *e);
int op_disk_attach(struct call *call, json_t **ret_result, struct error *e);
int op_disk_detach(struct call *call, json_t **ret_result, struct error *e);
int op_disk_lock(struct call *call, json_t **ret_result, struct error *e);
int op_disk_unlock(struct call *call, json_t **ret_result, struct error *e);
int op_disk_table(struct call *call, json_t **ret_result, struct error *e);
int op_disk_list(struct call *call, json_t **ret_result, struct error *e);
int op_disk_show(struct call *call, json_t **ret_result, struct error *e);
int op_disk_export_key(struct call *call, json_t **ret_result, struct error *e);
int op_disk_forget(struct call *call, json_t **ret_result, struct error *e);

int op_host_join(struct call *call, json_t **ret_result, struct error *e);
int op_host_leave(struct call *call, json_t **ret_result, struct error *e);
int op_host_show(struct call *call, json_t **ret_result, struct error *e);

int op_key_list(struct call *call, json_t **ret_result, struct error *e);
int op_event_list(struct call *call, json_t **ret_result, struct error *e);

/*
 * Shared by them.
 */

/* DISK of a DEK, or -ENOENT; PROVIDER of a provider with the number of its disks. */
int ops_disk_json(struct host *host, const uint8_t dek[UUID_SIZE], json_t **ret, struct error *e);
json_t *ops_disks_json(struct host *host, struct error *e);
json_t *ops_provider_json(struct host *host, const struct provider_info *info);
/* MANAGER of `status` and `host.show`; null: not joined. */
json_t *ops_manager_json(const struct link_view *view);
int ops_providers_json(struct host *host, json_t **ret, struct error *e);

/* Whether a disk that the state knows is on its device: 1, 0; -errno: that cannot be seen. */
int ops_disk_look(const char *dek, const json_t *record, struct error *e);

/* Record the intent of an operation on a disk, with the VM and the KEK that are known of it. */
int ops_disk_begin(struct call *call, const char *what, const char *dek,
		   struct event_record *ret, struct error *e);

/*
 * Load the key of an attached disk that has lost it, unless an administrator has locked it;
 * recorded. Waits for storage and for the manager.
 */
int ops_disk_load(struct host *host, const char *name, const char *user, struct error *e);

/* provider_settings.in_use: whether a disk that the agent knows has a wrap of it. */
int ops_provider_in_use(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what,
			size_t what_size, struct error *e);

/* provider_settings.attached: the same for disks that are attached. */
int ops_provider_attached(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what,
			  size_t what_size, struct error *e);

/* provider_settings.key_in_use: as the first one for one key. */
int ops_key_in_use(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
		   char *ret_what, size_t what_size, struct error *e);

#endif /* HOST_OPS_H */
