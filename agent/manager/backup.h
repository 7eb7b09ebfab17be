/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Backups of a manager: the database without the key of the secrets in it.
 *
 * The serving manager has its database for itself alone, so it is asked for the copy
 * over DIR/control, a socket of type SOCK_SEQPACKET. The one request is the text
 * "backup" with the descriptor of an empty file, open for writing; the answer is a
 * JSON object, {"bytes":n,"sha256":s} or {"error":s}. Root and the manager's own
 * user may ask.
 */
#ifndef MANAGER_BACKUP_H
#define MANAGER_BACKUP_H

#include "common/errors.h"
#include "manager/store.h"
#include "manager/vault.h"

#define BACKUP_SOCKET	"control"

struct backup_server;

/**
 * backup_serve() - answer in a thread of its own, until backup_server_free()
 * @dir: the manager's folder
 */
int backup_serve(struct store *store, const char *dir, struct backup_server **ret,
		 struct error *e);
void backup_server_free(struct backup_server *server);

/**
 * backup_make() - the command: back up the manager of a folder, served or not
 * @out: a new file; none is left of it on failure
 */
int backup_make(const struct vault_settings *settings, const char *out, struct error *e);

/**
 * backup_restore() - the command: make a manager out of a backup
 * @from: the file
 *
 * The key of its secrets has to be there already. All or nothing.
 */
int backup_restore(const struct vault_settings *settings, const char *from, struct error *e);

#endif
