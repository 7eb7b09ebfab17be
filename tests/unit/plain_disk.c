// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a disk's DEK and KEK leave in memory: headers made, read, opened and
 * refused by libcryptsetup, and DEKs sealed for the kernel.
 */
#include "memsearch.h"

#include <errno.h>
#include <fcntl.h>

#include "crypto/dek.h"
#include "crypto/wrap.h"
#include "disk/header.h"
#include "disk/seal.h"

#define DISK_SIZE (64 << 20)

static char dir[64];
static const char *device;

static const struct key_locator locator = {
	.provider = { 1, 2, 3 }, .provider_name = "p", .key_id = "k",
};

/* The KEK stays masked between its uses. */
static struct needle kek_needle, dek_needle;

static int give_kek(const struct key_locator *wanted, void *userdata, struct secret *ret_kek,
		    struct error *e)
{
	(void) wanted;
	(void) e;
	*ret_kek = recall(&kek_needle);
	if (userdata)
		ret_kek->data[0] ^= 1;
	return 0;
}

static void make_disk(bool force)
{
	const struct header_params params = {
		.device = device, .vm = "v", .disk = "d", .force = force,
	};
	_cleanup_secret_ struct secret dek = SECRET_NULL, kek = SECRET_NULL;
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;

	assert_int_equal(dek_generate(512, &dek, &e), 0);
	assert_int_equal(secret_random(KEK_SIZE, &kek), 0);
	dek_needle = remember(&dek);
	kek_needle = remember(&kek);
	if (header_create(&params, &dek, &locator, &kek, &h, &e) < 0)
		fail_msg("%s", e.text);
}

static int unlock(void *wrong)
{
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct error e = ERROR_NULL;

	assert_int_equal(header_open(device, NULL, 0, &h, &e), 0);
	return header_unlock(h, give_kek, wrong, &dek, &e);
}

static void headers_made(void **state)
{
	const struct header_params params = { .device = device, .vm = "v", .disk = "d" };
	_cleanup_header_ struct disk_header *h = NULL;
	struct secret dek, kek;
	struct error e = ERROR_NULL;

	(void) state;
	make_disk(false);
	assert_gone(&dek_needle, "DEK");
	assert_gone(&kek_needle, "KEK");

	/* There is a header already: refused. */
	dek = recall(&dek_needle);
	kek = recall(&kek_needle);
	assert_int_equal(header_create(&params, &dek, &locator, &kek, &h, &e), -EEXIST);
	secret_done(&dek);
	secret_done(&kek);
	assert_gone(&dek_needle, "DEK");
	assert_gone(&kek_needle, "KEK");
}

static void headers_opened(void **state)
{
	(void) state;
	make_disk(true);
	assert_int_equal(unlock(NULL), 0);
	assert_gone(&dek_needle, "DEK");
	assert_gone(&kek_needle, "KEK");
	assert_int_equal(unlock(/* wrong= */ (void *) &kek_needle), -EBADMSG);
	assert_gone(&dek_needle, "DEK");
	assert_gone(&kek_needle, "KEK");
}

static void headers_rewrapped(void **state)
{
	const struct key_locator second = { .provider = { 4 }, .provider_name = "q", .key_id = "l" };
	struct secret dek = SECRET_NULL, kek = SECRET_NULL;
	struct disk_header *h = NULL;
	struct needle other;
	struct error e = ERROR_NULL;

	(void) state;
	make_disk(true);
	assert_int_equal(secret_random(KEK_SIZE, &kek), 0);
	other = remember(&kek);
	assert_int_equal(header_open(device, NULL, 0, &h, &e), 0);
	assert_int_equal(header_unlock(h, give_kek, NULL, &dek, &e), 0);
	assert_int_equal(header_rewrap(h, &dek, &second, &kek, &e), 0);
	header_free(h);
	secret_done(&dek);
	secret_done(&kek);
	assert_gone(&dek_needle, "DEK");
	assert_gone(&kek_needle, "KEK");
	assert_gone(&other, "new KEK");
}

static void deks_sealed(void **state)
{
	static const uint8_t base[VMCRYPT_PUBLIC_KEY_LEN] = { 9 }, low[VMCRYPT_PUBLIC_KEY_LEN];
	struct needle needle = random_needle(64), ephemeral_needle = random_needle(32);
	struct secret dek = recall(&needle), ephemeral = recall(&ephemeral_needle);
	const uint8_t uuid[UUID_SIZE] = { 1 };
	struct sealed_key sealed;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(seal_key(base, uuid, &dek, &sealed, &e), 0);
	assert_int_equal(seal_key_with(&ephemeral, base, uuid, &dek, &sealed, &e), 0);
	assert_int_equal(seal_key_with(&ephemeral, low, uuid, &dek, &sealed, &e), -EBADMSG);
	secret_done(&dek);
	secret_done(&ephemeral);
	assert_gone(&needle, "DEK");
	assert_gone(&ephemeral_needle, "ephemeral key");
}

static int setup(void **state)
{
	static char path[128];
	int fd;

	unit_make_dir(dir);
	snprintf(path, sizeof(path), "%s/disk", dir);
	device = path;
	fd = open(device, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0)
		return -1;
	close(fd);
	return memsearch_setup() < 0 ? -1 : unit_setup(state);
}

static int teardown(void **state)
{
	(void) state;
	unit_remove_dir(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_made),
		cmocka_unit_test(headers_opened),
		cmocka_unit_test(headers_rewrapped),
		cmocka_unit_test(deks_sealed),
	};

	return cmocka_run_group_tests_name("disk memory", tests, setup, teardown);
}
