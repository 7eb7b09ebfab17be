/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What both ends of a backup share. */
#ifndef MANAGER_BACKUP_INTERNAL_H
#define MANAGER_BACKUP_INTERNAL_H

#include <sys/un.h>

#include "manager/store.h"

#define BACKUP_REQUEST "backup"

/** backup_recorded() - store_backup() with its record; the copy has its intent alone */
int backup_recorded(struct store *store, int fd, struct store_copy *ret, struct error *e);

/**
 * backup_socket_path() - a socket, and the address of the folder's
 *
 * Return: the socket, for close(); -1 with errno.
 */
int backup_socket_path(int dir_fd, struct sockaddr_un *ret);

#endif
