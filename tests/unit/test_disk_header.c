/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUKS2 headers on plain files: made, read, mended, rewrapped, and read by stock cryptsetup. */
#include <spawn.h>
#include <sys/wait.h>

#include "disk_fixture.h"

extern char **environ;

static void test_create_and_open(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;
	uint64_t size;

	fixture_create(f, &p);
	h = fixture_open(f, NULL, 0);
	assert_string_equal(h->segment.cipher, "aes-xts-plain64");
	assert_int_equal(h->segment.sector_size, 4096);
	assert_int_equal(h->segment.offset, 16 * MIB);
	assert_int_equal(h->segment.iv_tweak, 0);
	assert_int_equal(h->key_bits, 512);
	assert_string_equal(h->token.vm, "vm-1");
	assert_string_equal(h->token.disk, "root");
	assert_int_equal(h->token.n_wraps, 1);
	assert_false(h->damaged);
	assert_false(h->repaired);
	assert_int_equal(header_data_size(h, &size, &e), 0);
	assert_int_equal(size, DISK_SIZE - 16 * MIB);
}

static void test_every_sector_size_and_key(void **state)
{
	struct fixture *f = *state;
	static const uint32_t sizes[] = { 512, 1024, 2048, 4096, 0 };
	struct error e = ERROR_NULL;

	for (int bits = 256; bits <= 512; bits += 256)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct header_params p = fixture_params(f);
			_cleanup_header_ struct disk_header *h = NULL;

			secret_done(&f->dek);
			assert_int_equal(dek_generate(bits, &f->dek, &e), 0);
			p.sector_size = sizes[i];
			p.force = true;
			fixture_create(f, &p);
			h = fixture_open(f, NULL, 0);
			assert_int_equal(h->segment.sector_size, sizes[i] ? sizes[i] : 4096);
			assert_int_equal(h->key_bits, bits);
		}
}

static void expect_create(const struct fixture *f, const struct header_params *p, int code,
			  const char *text)
{
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;

	assert_int_equal(header_create(p, &f->dek, &f->locator, &f->kek, &h, &e), code);
	assert_null(h);
	assert_int_equal(e.code, code);
	assert_int_equal(header_create(p, &f->dek, &f->locator, &f->kek, &h, NULL), code);
	assert_null(h);
	if (!strstr(e.text, text))
		print_error("%s\n", e.text);
	assert_non_null(strstr(e.text, text));
}

static void test_create_refuses(void **state)
{
	struct fixture *f = *state;
	char longer[LABEL_MAX + 2];
	struct header_params p = fixture_params(f);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';

	p.sector_size = 3000;
	expect_create(f, &p, -EINVAL, "sector size of 3000");
	p = fixture_params(f);
	p.vm = longer;
	expect_create(f, &p, -EINVAL, "name of the VM");
	p = fixture_params(f);
	p.disk = "";
	expect_create(f, &p, -EINVAL, "label of the disk");
	p = fixture_params(f);
	p.vm = "\xff\xfe";
	expect_create(f, &p, -EINVAL, "UTF-8");
	p = fixture_params(f);
	p.device = "/nonexistent/disk";
	expect_create(f, &p, -ENOENT, "/nonexistent/disk");
	p.device = f->dir;
	expect_create(f, &p, -ENOTBLK, "neither a block device nor a plain file");
	p = fixture_params(f);
	p.header = f->disk;
	expect_create(f, &p, -EINVAL, "on the device itself");
	fixture_disk(f->disk, 16 * MIB);
	p = fixture_params(f);
	expect_create(f, &p, -ENOSPC, "too small");
	fixture_disk(f->disk, DISK_SIZE + 512);
	expect_create(f, &p, -EINVAL, "no multiple of the sector size");
}

static void test_create_leaves_what_it_refuses(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	static const char swap[] = "SWAPSPACE2";
	char back[10];

	/* The mark of swap space, at the end of the first page. */
	fixture_write(f->disk, "\1\0\0\0\377\3\0\0", 8, 1024);
	fixture_write(f->disk, swap, 10, 4086);
	expect_create(f, &p, -EEXIST, "swap");
	fixture_read(f->disk, back, 10, 4086);
	assert_memory_equal(back, swap, 10);

	p.force = true;
	fixture_create(f, &p);
	p.force = false;
	expect_create(f, &p, -EEXIST, "crypto_LUKS");
	header_free(fixture_open(f, NULL, 0));
}

static void test_weak_key(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);

	memcpy(f->dek.data + 32, f->dek.data, 32);
	expect_create(f, &p, -EINVAL, "two equal halves");
}

static void test_detached(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL, *none = NULL;
	struct error e = ERROR_NULL;
	static const char zeros[4096];
	char first[4096];
	struct stat st;
	uint64_t size;

	fixture_disk(f->disk, 1 * MIB);
	p.header = f->header;
	fixture_create(f, &p);
	assert_int_equal(stat(f->header, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	h = fixture_open(f, f->header, 0);
	assert_int_equal(h->segment.offset, 0);
	assert_int_equal(header_data_size(h, &size, &e), 0);
	assert_int_equal(size, 1 * MIB);
	fixture_read(f->disk, first, sizeof(first), 0);
	assert_memory_equal(first, zeros, sizeof(first));

	expect_create(f, &p, -EEXIST, "is there already");
	assert_int_equal(header_open(f->disk, NULL, 0, &none, &e), -ENOMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_NO_HEADER);
}

static void test_failed_create_takes_its_file_away(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	struct stat st;

	p.header = f->header;
	p.vm = "bad\nname";
	expect_create(f, &p, -EINVAL, "control character");
	assert_int_equal(stat(f->header, &st), -1);
}

static void compare_copies(const struct fixture *f, const uint8_t *before)
{
	uint8_t after[2 * COPY_SIZE];

	fixture_read(f->disk, after, sizeof(after), 0);
	assert_memory_equal(after, before, sizeof(after));
}

/* One copy destroyed in each of these ways: read as it is, then mended. */
static void test_repair(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	static const struct { off_t at; size_t size; } damages[] = {
		{ 0, 4096 }, { 0, COPY_SIZE }, { 8, 1 }, { 9, 8 }, { 4096, 1 }, { 5000, 100 },
		{ COPY_SIZE - 1, 1 }, { COPY_SIZE, 4096 }, { COPY_SIZE, COPY_SIZE },
		{ COPY_SIZE + 14, 1 }, { COPY_SIZE + 4200, 3 }, { 2 * COPY_SIZE - 1, 1 },
	};
	uint8_t good[2 * COPY_SIZE], bad[2 * COPY_SIZE];

	fixture_create(f, &p);
	fixture_read(f->disk, good, sizeof(good), 0);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct disk_header *h;

		memcpy(bad, good, sizeof(bad));
		for (size_t n = 0; n < damages[i].size; n++)
			bad[damages[i].at + (off_t) n] ^= 0x5a;
		fixture_write(f->disk, bad, sizeof(bad), 0);

		h = fixture_open(f, NULL, 0);
		assert_true(h->damaged);
		assert_false(h->repaired);
		header_free(h);
		compare_copies(f, bad);		/* reading wrote nothing */

		h = fixture_open(f, NULL, HEADER_REPAIR);
		assert_false(h->damaged);
		assert_true(h->repaired);
		header_free(h);
		h = fixture_open(f, NULL, 0);
		assert_false(h->damaged);
		header_free(h);
		fixture_write(f->disk, good, sizeof(good), 0);
	}
}

static void test_both_copies_gone(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	fixture_write(f->disk, "????", 4, 4096);
	fixture_write(f->disk, "????", 4, COPY_SIZE + 4096);
	assert_int_equal(header_open(f->disk, NULL, HEADER_REPAIR, &h, &e), -EBADMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
	assert_non_null(strstr(e.text, "both copies"));

	fixture_disk(f->disk, DISK_SIZE);
	assert_int_equal(header_open(f->disk, NULL, HEADER_REPAIR, &h, &e), -ENOMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_NO_HEADER);
	assert_int_equal(header_open("/nonexistent", NULL, 0, &h, &e), -ENOENT);
	assert_int_equal(e.reason, VMCRYPT_REASON_NO_HEADER);
	fixture_disk(f->disk, 100);
	assert_int_equal(header_open(f->disk, NULL, 0, &h, &e), -ENOMSG);
}

static void test_truncated(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	static const off_t sizes[] = { 0, 1, 511, 4096, 4097, 16384, 20000, 32768, 1 * MIB };

	fixture_create(f, &p);
	for (size_t i = ARRAY_SIZE(sizes); i-- > 0;) {
		_cleanup_header_ struct disk_header *h = NULL;
		struct error e = ERROR_NULL;

		assert_int_equal(truncate(f->disk, sizes[i]), 0);
		assert_true(header_open(f->disk, NULL, HEADER_REPAIR, &h, &e) < 0);
		assert_true(e.reason != 0);
	}
}

static int lookup_nothing(const struct key_locator *locator, void *userdata, struct secret *ret,
			  struct error *e)
{
	(void) userdata;
	(void) ret;
	return error_fail(e, ENOKEY, "The provider %s is locked", locator->provider_name);
}

static int lookup_other(const struct key_locator *locator, void *userdata, struct secret *ret,
			struct error *e)
{
	struct fixture *f = userdata;

	(void) locator;
	(void) e;
	return secret_copy(f->kek2.data, f->kek2.size, ret);
}

static void test_no_key(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	assert_int_equal(header_open(f->disk, NULL, 0, &h, &e), 0);
	assert_int_equal(header_unlock(h, lookup_nothing, NULL, &dek, &e), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	assert_int_equal(e.reason, VMCRYPT_REASON_UNAVAILABLE);
	assert_false(h->authentic);
	assert_null(dek.data);

	assert_int_equal(header_unlock(h, lookup_other, f, &dek, &e), -EBADMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
	assert_false(h->authentic);
	assert_null(dek.data);
}

static void test_rewrap(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	struct disk_header *h;
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	h = fixture_open(f, NULL, 0);
	assert_int_equal(header_remove_wrap(h, &f->locator, &e), -EPERM);
	assert_int_equal(header_add_wrap(h, &f->dek, &f->locator, &f->kek, &e), -EEXIST);
	assert_int_equal(header_remove_wrap(h, &f->locator2, &e), -ENOENT);
	assert_int_equal(header_add_wrap(h, &f->dek, &f->locator2, &f->kek2, &e), 0);
	assert_int_equal(h->token.n_wraps, 2);
	header_free(h);

	h = fixture_open(f, NULL, 0);
	assert_int_equal(h->token.n_wraps, 2);
	assert_int_equal(header_remove_wrap(h, &f->locator, &e), 0);
	header_free(h);

	h = fixture_open(f, NULL, 0);
	assert_int_equal(h->token.n_wraps, 1);
	assert_string_equal(h->token.wraps[0].locator.key_id, f->locator2.key_id);
	assert_int_equal(header_rewrap(h, &f->dek, &f->locator, &f->kek, &e), 0);
	header_free(h);

	h = fixture_open(f, NULL, 0);
	assert_int_equal(h->token.n_wraps, 1);
	assert_string_equal(h->token.wraps[0].locator.key_id, f->locator.key_id);
	assert_false(h->damaged);
	header_free(h);
}

/* Through two JSON libraries and back. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {
		"v", "with space", "quote \" backslash \\ slash /", "\xc3\xbc \xe6\xbc\xa2 \xf0\x9f\x94\x92",
		"{\"type\":\"vmcrypt\"}", "\x7f",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct header_params p = fixture_params(f);
		struct disk_header *h;

		p.vm = p.disk = names[i];
		p.force = true;
		fixture_create(f, &p);
		h = fixture_open(f, NULL, 0);
		assert_string_equal(h->token.vm, names[i]);
		assert_string_equal(h->token.disk, names[i]);
		header_free(h);
	}
}

static void test_huge_disk(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	const off_t size = (off_t) 15 << 40;		/* more than 2^32 sectors */
	struct disk_header *h;
	struct error e = ERROR_NULL;
	uint64_t data;

	assert_int_equal(truncate(f->disk, size), 0);
	fixture_create(f, &p);
	h = fixture_open(f, NULL, 0);
	assert_int_equal(header_data_size(h, &data, &e), 0);
	assert_true(data == (uint64_t) size - 16 * MIB);
	header_free(h);
}

static void test_change_needs_unlocked(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	assert_int_equal(header_open(f->disk, NULL, 0, &h, &e), 0);
	assert_int_equal(header_add_wrap(h, &f->dek, &f->locator2, &f->kek2, &e), -EACCES);
	assert_int_equal(header_rewrap(h, &f->dek, &f->locator2, &f->kek2, &e), -EACCES);
	assert_int_equal(header_remove_wrap(h, &f->locator, &e), -EACCES);
}

static void test_wrong_dek(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret other = SECRET_NULL;
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	h = fixture_open(f, NULL, 0);
	assert_int_equal(dek_generate(512, &other, &e), 0);
	assert_int_equal(header_add_wrap(h, &other, &f->locator2, &f->kek2, &e), -EKEYREJECTED);
}

static void test_stale(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL, *other = NULL;
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	h = fixture_open(f, NULL, 0);
	other = fixture_open(f, NULL, 0);
	assert_int_equal(header_add_wrap(other, &f->dek, &f->locator2, &f->kek2, &e), 0);
	assert_int_equal(header_rewrap(h, &f->dek, &f->locator2, &f->kek2, &e), -ESTALE);
	assert_non_null(strstr(e.text, "try again"));
}

static void test_most_wraps(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	struct key_locator l = f->locator2;
	_cleanup_header_ struct disk_header *h = NULL;
	char vm[LABEL_MAX + 1], disk[LABEL_MAX + 1];
	struct error e = ERROR_NULL;
	int r = 0;

	/* The longest names there are: all of it has to have room. */
	memset(vm, 'v', sizeof(vm) - 1);
	memset(disk, 'd', sizeof(disk) - 1);
	vm[LABEL_MAX] = disk[LABEL_MAX] = '\0';
	p.vm = vm;
	p.disk = disk;
	fixture_create(f, &p);
	h = fixture_open(f, NULL, 0);
	memset(l.provider_name, 'p', PROVIDER_NAME_MAX);
	memset(l.key_id, 'k', KEY_ID_MAX);
	for (int i = 1; i < TOKEN_WRAPS_MAX && r == 0; i++) {
		l.key_id[0] = (char) ('a' + i);
		r = header_add_wrap(h, &f->dek, &l, &f->kek2, &e);
	}
	assert_int_equal(r, 0);
	l.key_id[0] = 'z';
	assert_int_equal(header_add_wrap(h, &f->dek, &l, &f->kek2, &e), -ENOSPC);
	header_free(TAKE_PTR(h));
	h = fixture_open(f, NULL, 0);
	assert_int_equal(h->token.n_wraps, TOKEN_WRAPS_MAX);
}

static void test_update_of_a_damaged_header(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	struct error e = ERROR_NULL;

	for (int copy = 0; copy < 2; copy++) {
		struct disk_header *h;

		p.force = true;
		fixture_create(f, &p);
		fixture_write(f->disk, "damage", 6, copy * COPY_SIZE + 4100);
		h = fixture_open(f, NULL, 0);
		assert_true(h->damaged);
		assert_int_equal(header_add_wrap(h, &f->dek, &f->locator2, &f->kek2, &e), 0);
		header_free(h);
		h = fixture_open(f, NULL, 0);
		assert_false(h->damaged);
		assert_int_equal(h->token.n_wraps, 2);
		header_free(h);
	}
}

/* Runs a program with its output in a file. */
static int run(const char *const *argv, const char *out)
{
	posix_spawn_file_actions_t to_file;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&to_file);
	posix_spawn_file_actions_addopen(&to_file, STDOUT_FILENO, out,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(posix_spawnp(&pid, argv[0], &to_file, NULL, (char *const *) argv, environ),
			 0);
	posix_spawn_file_actions_destroy(&to_file);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_stock_cryptsetup(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_free_ char *text = NULL;
	char key[96], pass[96], out[96];
	struct error e = ERROR_NULL;
	const char *const dump[] = { "cryptsetup", "luksDump", f->disk, NULL };
	const char *const add[] = {
		"cryptsetup", "luksAddKey", "--batch-mode", "--key-size", "512",
		"--volume-key-file", key, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
		f->disk, pass, NULL
	};
	const char *const test[] = {
		"cryptsetup", "open", "--test-passphrase", "--key-file", pass, f->disk, NULL
	};

	fixture_create(f, &p);
	snprintf(key, sizeof(key), "%s/key", f->dir);
	snprintf(pass, sizeof(pass), "%s/pass", f->dir);
	snprintf(out, sizeof(out), "%s/out", f->dir);
	fixture_disk(key, 0);
	fixture_disk(pass, 0);
	fixture_write(key, f->dek.data, f->dek.size, 0);
	fixture_write(pass, "rescue", 6, 0);

	assert_int_equal(run(dump, out), 0);
	assert_int_equal(file_read_bounded(out, 65536, &text, NULL, &e), 0);
	assert_non_null(strstr(text, "0: vmcrypt"));
	assert_non_null(strstr(text, "cipher: aes-xts-plain64"));
	assert_int_equal(run(add, out), 0);
	assert_int_equal(run(test, out), 0);
	unlink(out);
	unlink(key);
	unlink(pass);
	/* A passphrase that an administrator added does not lock vmcrypt out. */
	header_free(fixture_open(f, NULL, 0));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_and_open),
		TEST(test_every_sector_size_and_key),
		TEST(test_create_refuses),
		TEST(test_create_leaves_what_it_refuses),
		TEST(test_weak_key),
		TEST(test_detached),
		TEST(test_failed_create_takes_its_file_away),
		TEST(test_repair),
		TEST(test_both_copies_gone),
		TEST(test_truncated),
		TEST(test_no_key),
		TEST(test_rewrap),
		TEST(test_names),
		TEST(test_huge_disk),
		TEST(test_change_needs_unlocked),
		TEST(test_wrong_dek),
		TEST(test_stale),
		TEST(test_most_wraps),
		TEST(test_update_of_a_damaged_header),
		TEST(test_stock_cryptsetup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
