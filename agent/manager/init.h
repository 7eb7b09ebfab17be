/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a new manager: vault, store, authority, the first administrator.
 */
#ifndef VMCRYPT_MANAGER_INIT_H
#define VMCRYPT_MANAGER_INIT_H

#include "common/errors.h"
#include "common/secret.h"
#include "manager/authority.h"
#include "manager/vault.h"

/**
 * struct manager_init - what is asked for
 * @vault: @vault.dir is the manager's folder; made, mode 0700, when it is not there
 * @source: where the vault's key is to be
 * @names: DNS names and addresses of the server, with commas between
 * @admin: name of the first administrator
 * @password: theirs
 */
struct manager_init {
	struct vault_settings vault;
	enum vault_source source;
	const char *names;
	const char *admin;
	const struct secret *password;
};

/**
 * manager_init() - make it all, or nothing
 * @ret_fingerprint: of the authority, to be shown to the administrator
 *
 * Return: 0; -EEXIST (there is a manager in that folder), -EBUSY (and it is running),
 * -EINVAL with EXIT_USAGE.
 */
int manager_init(const struct manager_init *init,
		 char ret_fingerprint[AUTHORITY_FINGERPRINT_SIZE], struct error *e);

#endif
