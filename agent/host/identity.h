/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who this host is to its manager: STATE/manager/identity.json (0600), replaced as
 * a whole, so that after a crash the host has joined or has not.
 *
 * The private key is EC P-256. Where there is a TPM it is encrypted by AES-256-GCM
 * under a random key that the TPM has sealed; else it lies in the file as it is.
 * STATE/manager/mode holds the encryption mode that the manager gave last.
 */
#ifndef HOST_IDENTITY_H
#define HOST_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"
#include "crypto/gcm.h"
#include "provider/provider.h"
#include "provider/tpm.h"

#define IDENTITY_DIR		"manager"	/* in the state folder */
#define IDENTITY_FILE		"identity.json"
#define IDENTITY_MODE_FILE	"mode"
#define IDENTITY_URL_MAX	512		/* bytes */
#define IDENTITY_PEM_MAX	((size_t)16384)	/* bytes of a certificate */
#define IDENTITY_KEY_MAX	256		/* bytes of a private key */

/** IDENTITY_RENEW_DAYS - before its end a certificate is renewed */
#define IDENTITY_RENEW_DAYS	30

/** enum host_mode - the encryption mode, which the manager gives */
enum host_mode {
	MODE_INCAPABLE,
	MODE_PREPARED,
	MODE_SAFE,
	MODE_PENDING_INCAPABLE,
};

/** host_mode_name() - as status and channel have it */
const char *host_mode_name(enum host_mode mode);

/** host_mode_from_name() - Return: 0; -EINVAL. */
int host_mode_from_name(const char *name, enum host_mode *ret);

/**
 * struct identity - this host, to its manager; strings are its own
 * @host: UUID, as the certificate has it
 * @url: of the manager, "https://NAME[:PORT]"
 * @ca: PEM of the authority that the manager's certificate comes from
 * @certificate: PEM of ours
 * @certificate_end: seconds since 1970
 * @sealed: @tpm, @iv, @tag and @box of @box_size bytes hold the key
 * @key: PKCS#8 DER; empty where it is sealed and was not opened yet
 */
struct identity {
	char host[UUID_TEXT_SIZE];
	char *url;
	char *ca;
	char *certificate;
	int64_t certificate_end;
	bool sealed;
	struct tpm_sealed tpm;
	uint8_t iv[GCM_IV_SIZE];
	uint8_t tag[GCM_TAG_SIZE];
	uint8_t box[IDENTITY_KEY_MAX];
	size_t box_size;
	struct secret key;
};

#define IDENTITY_NULL ((struct identity){ .key = SECRET_NULL })

/** identity_done() - erase and free; one that is all zero is left alone */
void identity_done(struct identity *identity);

#define _cleanup_identity_ __attribute__((cleanup(identity_done)))

/** identity_take() - move it out of its variable, which becomes empty */
struct identity identity_take(struct identity *identity);

/** identity_copy() - with the key, if it is open */
int identity_copy(const struct identity *identity, struct identity *ret, struct error *e);

/**
 * identity_load() - read it
 * @state_dir: the agent's state folder
 * @ret: written only on success
 *
 * Return: 0; -ENOENT (not joined; *e is left alone); -EBADMSG, or what the file answers.
 */
int identity_load(const char *state_dir, struct identity *ret, struct error *e);

/** identity_parse() - the file's text. Return: 0; -EBADMSG, -ENOMEM. */
int identity_parse(const char *text, size_t size, struct identity *ret, struct error *e);

/** identity_save() - makes the folder, too */
int identity_save(const char *state_dir, const struct identity *identity, struct error *e);

/** identity_forget() - erase it and the mode from the disk; none is no error */
int identity_forget(const char *state_dir, struct error *e);

/**
 * identity_new_key() - a key pair, and a request (PKCS#10) for a certificate
 * @ret_csr: PEM, malloc'ed
 */
int identity_new_key(struct secret *ret_key, char **ret_csr, struct error *e);

/**
 * identity_certify() - take a certificate over
 * @identity: @ca and @key are there; on success @certificate, @certificate_end and
 *	@host are set
 * @pem: what the manager gave
 * @now: seconds since 1970
 *
 * Return: 0; -EKEYREJECTED: not of this key, not by this authority, not valid now, or
 * it names no host, or, where @host is set already, another one.
 */
int identity_certify(struct identity *identity, const char *pem, int64_t now, struct error *e);

/**
 * identity_seal() - have the TPM seal @key, where there is one
 *
 * Waits for the TPM. Return: 0 with @sealed or without; -ENOMEM, -EIO.
 */
int identity_seal(struct identity *identity, struct provider_registry *registry,
		  struct error *e);

/**
 * identity_open() - make sure that @key is there
 *
 * Waits for the TPM. Return: 0; -EKEYREJECTED (the TPM is another one), -ENODEV.
 */
int identity_open(struct identity *identity, struct provider_registry *registry,
		  struct error *e);

/** identity_due() - whether the certificate is to be renewed */
bool identity_due(const struct identity *identity, int64_t now);

/* The mode's file; a mode that cannot be read is MODE_INCAPABLE, and said in the log. */
enum host_mode identity_load_mode(const char *state_dir);
int identity_save_mode(const char *state_dir, enum host_mode mode, struct error *e);

#endif /* HOST_IDENTITY_H */
