/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzing of what reads a disk's header: make fuzz-header. The first byte of an input chooses what the
 * rest is: 't' a token, 'j' the text of a LUKS2 header, whose binary part and checksums are made right
 * here, anything else the raw first bytes of a disk.
 */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/log.h"
#include "common/secret.h"
#include "disk/header.h"
#include "disk/token.h"

#define COPY_SIZE	16384
#define BINARY		4096
#define CSUM_AT		448
#define DISK_SIZE	(20 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	log_set_level(LOG_EMERG);
	return secret_init() == 0 ? 0 : -1;
}

/* LUKS2 On-Disk Format Specification, 2.1 */
static void make_copy(uint8_t *copy, int which, const uint8_t *text, size_t size)
{
	const uint64_t copy_size = htobe64(COPY_SIZE), seqid = htobe64(3);
	const uint64_t offset = htobe64((uint64_t) which * COPY_SIZE);

	memset(copy, 0, COPY_SIZE);
	memcpy(copy, which ? "SKUL\xba\xbe\0\2" : "LUKS\xba\xbe\0\2", 8);
	memcpy(copy + 8, &copy_size, 8);
	memcpy(copy + 16, &seqid, 8);
	memcpy(copy + 72, "sha256", 6);
	memcpy(copy + 168, "5f1349c7-e8e3-4f3b-be9c-e5de5193cfbf", 36);
	memcpy(copy + 256, &offset, 8);
	memcpy(copy + BINARY, text, size < COPY_SIZE - BINARY ? size : COPY_SIZE - BINARY);
	if (EVP_Digest(copy, COPY_SIZE, copy + CSUM_AT, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

static int lookup(const struct key_locator *locator, void *userdata, struct secret *ret,
		  struct error *e)
{
	(void) locator;
	(void) userdata;
	(void) e;
	return secret_new(KEK_SIZE, ret);
}

static void open_disk(const uint8_t *bytes, size_t size)
{
	struct disk_header *h = NULL;
	struct secret dek = SECRET_NULL;
	struct error e = ERROR_NULL;
	char path[32];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0 || pwrite(fd, bytes, size, 0) != (ssize_t) size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (header_open(path, NULL, HEADER_REPAIR, &h, &e) < 0) {
		if (e.code >= 0 || !e.text[0])
			abort();
	} else if (header_unlock(h, lookup, NULL, &dek, &e) == 0) {
		/* Nobody wraps under a key of zeros. */
		abort();
	}
	secret_done(&dek);
	header_free(h);
	close(fd);
}

static void parse_token(const uint8_t *text, size_t size)
{
	struct error e = ERROR_NULL;
	struct token t, again;
	char *built = NULL;

	if (token_parse((const char *) text, size, &t, &e) < 0)
		return;
	/* What was taken can be written, and means the same. */
	if (token_build(&t, &built, &e) < 0 ||
	    token_parse(built, strlen(built), &again, &e) < 0 || t.n_wraps != again.n_wraps ||
	    strcmp(t.vm, again.vm) != 0)
		abort();
	free(built);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copies[2 * COPY_SIZE];

	if (size == 0)
		return 0;
	if (data[0] == 't') {
		parse_token(data + 1, size - 1);
	} else if (data[0] == 'j') {
		make_copy(copies, 0, data + 1, size - 1);
		make_copy(copies + COPY_SIZE, 1, data + 1, size - 1);
		open_disk(copies, sizeof(copies));
	} else {
		open_disk(data + 1, size - 1 < DISK_SIZE ? size - 1 : DISK_SIZE);
	}
	return 0;
}
