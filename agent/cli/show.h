/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a human reads of each result; the members are those of
 * host/protocol.h. A member that is missing prints as "-". */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <jansson.h>
#include <stdio.h>

void show_status(FILE *out, const json_t *result);

void show_provider(FILE *out, const json_t *result);
void show_provider_created(FILE *out, const json_t *result);
void show_provider_list(FILE *out, const json_t *result);
void show_provider_default(FILE *out, const json_t *result);
void show_provider_check(FILE *out, const json_t *result);
void show_provider_deleted(FILE *out, const json_t *result);
void show_provider_backup(FILE *out, const json_t *result);
void show_provider_restore(FILE *out, const json_t *result);

void show_disk(FILE *out, const json_t *result);
void show_disk_created(FILE *out, const json_t *result);
void show_disk_attached(FILE *out, const json_t *result);
void show_disk_detached(FILE *out, const json_t *result);
void show_disk_locked(FILE *out, const json_t *result);
void show_disk_forgotten(FILE *out, const json_t *result);
void show_disk_unlocked(FILE *out, const json_t *result);
void show_disk_table(FILE *out, const json_t *result);
void show_disk_list(FILE *out, const json_t *result);
void show_disk_export(FILE *out, const json_t *result);

void show_host(FILE *out, const json_t *result);
void show_host_left(FILE *out, const json_t *result);

void show_key_list(FILE *out, const json_t *result);

void show_event(FILE *out, const json_t *event);
void show_event_end(FILE *out, const json_t *result);

#endif
