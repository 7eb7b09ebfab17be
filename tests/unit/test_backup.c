// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pkcs12.h>
#include <sys/wait.h>

#include "common/fileio.h"
#include "crypto/backup.h"
#include "crypto/kdf.h"

#define PASSWORD "correct horse \xc3\xa4"

static char dir[64];
static uint8_t *backup;
static size_t backup_size;

static struct backup_content make_content(void)
{
	struct backup_content content = { .name = "site-a", .created = 951827696 };

	assert_int_equal(uuid_parse_text("01234567-89ab-4def-8123-456789abcdef", content.provider), 0);
	content.kdk = unit_counting(KDK_SIZE);
	return content;
}

/* One backup for all tests: it takes its time to make. */
static int setup(void **state)
{
	struct error e = ERROR_NULL;
	struct backup_content content;
	struct secret password;
	int r;

	unit_setup(state);
	unit_make_dir(dir);
	content = make_content();
	password = unit_password(PASSWORD);
	r = backup_write(&content, &password, &backup, &backup_size, &e);
	secret_done(&password);
	backup_content_done(&content);
	return r;
}

static int teardown(void **state)
{
	(void) state;
	free(backup);
	unit_remove_dir(dir);
	return 0;
}

static int read_with(const uint8_t *data, size_t size, const char *word, struct error *e)
{
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	_cleanup_secret_ struct secret password = unit_password(word);
	int r;

	*e = ERROR_NULL;
	r = backup_read(data, size, &password, &content, e);
	if (r < 0)
		assert_null(content.kdk.data);
	assert_int_equal(error_is_set(e), r < 0);
	return r;
}

static void opens_again(void **state)
{
	_cleanup_backup_ struct backup_content want = make_content(), got = { .kdk = SECRET_NULL };
	_cleanup_secret_ struct secret password = unit_password(PASSWORD);
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(backup_read(backup, backup_size, &password, &got, &e), 0);
	assert_memory_equal(got.provider, want.provider, UUID_SIZE);
	assert_string_equal(got.name, want.name);
	assert_int_equal(got.created, want.created);
	assert_true(secret_equal(&got.kdk, &want.kdk));
}

static void wrong_password(void **state)
{
	struct error e;

	(void) state;
	assert_int_equal(read_with(backup, backup_size, "correct horse", &e), -EKEYREJECTED);
	unit_speaks(&e, "wrong password");
}

static void password_bounds(void **state)
{
	_cleanup_backup_ struct backup_content content = make_content();
	struct secret none = SECRET_NULL, longest;
	struct error e = ERROR_NULL;
	uint8_t *der = NULL;
	size_t size;

	(void) state;
	assert_int_equal(backup_write(&content, &none, &der, &size, &e), -EINVAL);
	assert_int_equal(secret_new(PASSWORD_MAX + 1, &longest), 0);
	memset(longest.data, 'x', longest.size);
	assert_int_equal(backup_write(&content, &longest, &der, &size, &e), -EINVAL);
	assert_int_equal(backup_read(backup, backup_size, &longest, &content, &e), -EINVAL);
	secret_done(&longest);
	assert_null(der);
}

static void each_truncation_is_refused(void **state)
{
	struct error e;
	size_t n;

	(void) state;
	for (n = 0; n < backup_size; n++) {
		assert_int_equal(read_with(backup, n, PASSWORD, &e), -EBADMSG);
		unit_speaks(&e, "cut short");
	}
}

static void no_altered_byte_passes(void **state)
{
	_cleanup_free_ uint8_t *copy = malloc(backup_size);
	struct error e;
	size_t i;

	(void) state;
	memcpy(copy, backup, backup_size);
	/* Not each one: an alteration that only the MAC shows costs its iterations. */
	for (i = 0; i < backup_size; i += i < 64 ? 5 : 13) {
		int r;

		copy[i] ^= 0x01;
		r = read_with(copy, backup_size, PASSWORD, &e);
		if (r != -EBADMSG && r != -EKEYREJECTED)
			fail_msg("byte %zu: %d", i, r);
		copy[i] ^= 0x01;
	}
	assert_int_equal(read_with(copy, backup_size, PASSWORD, &e), 0);
}

static void other_files_are_refused(void **state)
{
	_cleanup_free_ uint8_t *big = calloc(1, BACKUP_SIZE_MAX + 1), *twice = malloc(2 * backup_size);
	struct error e;

	(void) state;
	assert_int_equal(read_with(big, BACKUP_SIZE_MAX + 1, PASSWORD, &e), -EFBIG);
	assert_int_equal(read_with(big, BACKUP_SIZE_MAX, PASSWORD, &e), -EBADMSG);
	assert_int_equal(read_with((const uint8_t *) "hello", 5, PASSWORD, &e), -EBADMSG);
	memcpy(twice, backup, backup_size);
	memcpy(twice + backup_size, backup, backup_size);
	assert_int_equal(read_with(twice, 2 * backup_size, PASSWORD, &e), -EBADMSG);
}

/* A PKCS#12 file that OpenSSL makes, with its choices, around @text. */
static int read_made(int cipher, int iterations, int mac_iterations, const EVP_MD *mac,
		     const char *text, struct error *e)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = sk_PKCS12_SAFEBAG_new_null();
	STACK_OF(PKCS7) *safes = sk_PKCS7_new_null();
	uint8_t *der = NULL;
	PKCS12 *p12;
	int size, r;

	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create_secret(NID_pkcs7_data, V_ASN1_OCTET_STRING,
								  (const uint8_t *) text,
								  (int) strlen(text)));
	sk_PKCS7_push(safes, PKCS12_pack_p7encdata(cipher, PASSWORD, -1, NULL, 0, iterations, bags));
	p12 = PKCS12_add_safes(safes, 0);
	if (mac)
		assert_int_equal(PKCS12_set_mac(p12, PASSWORD, -1, NULL, 0, mac_iterations, mac), 1);
	size = i2d_PKCS12(p12, &der);
	assert_true(size > 0);
	r = read_with(der, (size_t) size, PASSWORD, e);
	OPENSSL_free(der);
	PKCS12_free(p12);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	return r;
}

static void weak_or_endless_files_are_refused(void **state)
{
	static const char text[] = "{}";
	const int good = BACKUP_ITERATIONS;
	struct error e;

	(void) state;
	assert_int_equal(read_made(NID_aes_256_cbc, 1, good, EVP_sha256(), text, &e), -EBADMSG);
	unit_speaks(&e, "600000");
	assert_int_equal(read_made(NID_aes_256_cbc, good, 1, EVP_sha256(), text, &e), -EBADMSG);
	unit_speaks(&e, "600000");
	assert_int_equal(read_made(NID_aes_256_cbc, good, good, EVP_sha1(), text, &e), -EBADMSG);
	assert_int_equal(read_made(NID_aes_256_cbc, good, 0, NULL, text, &e), -EBADMSG);
	assert_int_equal(read_made(NID_aes_128_cbc, good, good, EVP_sha256(), text, &e), -EBADMSG);
	unit_speaks(&e, "AES-256");
	assert_int_equal(read_made(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 1, good, EVP_sha256(), text, &e),
			 -EBADMSG);
	/* Right in all that, but the content is not ours. */
	assert_int_equal(read_made(NID_aes_256_cbc, good, good, EVP_sha256(), text, &e), -EBADMSG);
	unit_speaks(&e, "missing");
}

static void content_is_checked(void **state)
{
	static const char *const bad[] = {
		"{\"provider\":\"01234567-89ab-4def-8123-456789abcdef\",\"name\":\"site-a\","
		"\"kdk\":\"AAAA\",\"created\":\"2026-01-31T23:59:59Z\"}",
		"{\"provider\":\"01234567-89ab-4def-8123-456789abcdef\",\"name\":\"../x\","
		"\"kdk\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"created\":\"2026-01-31T23:59:59Z\"}",
		"{\"provider\":\"01234567-89ab-4def-8123-456789abcdef\",\"name\":\"a\",\"name\":\"a\","
		"\"kdk\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"created\":\"2026-01-31T23:59:59Z\"}",
	};
	static const char good[] =
		"{\"provider\":\"01234567-89ab-4def-8123-456789abcdef\",\"name\":\"site-a\","
		"\"kdk\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"created\":\"2026-01-31T23:59:59Z\"}";
	struct error e;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(read_made(NID_aes_256_cbc, BACKUP_ITERATIONS, BACKUP_ITERATIONS,
					   EVP_sha256(), bad[i], &e), -EBADMSG);
	assert_int_equal(read_made(NID_aes_256_cbc, BACKUP_ITERATIONS, BACKUP_ITERATIONS, EVP_sha256(),
				   good, &e), 0);
}

/* Output and errors of a program, and its exit status. */
static int run(char *const argv[], char *output, size_t size)
{
	size_t used = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], output + used, size - 1 - used)) > 0)
		used += (size_t) n;
	output[used] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

/* openssl pkcs12 prints an OCTET STRING as "AA BB …". */
static bool prints_bytes(const char *output, const char *bytes)
{
	_cleanup_free_ char *want = calloc(1, 3 * strlen(bytes) + 1);
	_cleanup_free_ char *flat = calloc(1, strlen(output) + 1);
	size_t i, n = 0;

	for (i = 0; bytes[i]; i++)
		snprintf(want + 2 * i, 3, "%02X", (unsigned char) bytes[i]);
	for (i = 0; output[i]; i++)
		if (output[i] != ' ' && output[i] != '\n')
			flat[n++] = output[i];
	return strstr(flat, want);
}

static void the_openssl_program_reads_it(void **state)
{
	const char *file = unit_path(dir, "backup.p12"), *word = unit_path(dir, "word");
	char pass[600], output[8192];
	char *argv[] = { (char *) "openssl", (char *) "pkcs12", (char *) "-in", (char *) file,
			 (char *) "-passin", pass, (char *) "-info", (char *) "-nokeys", NULL };

	(void) state;
	unit_write(file, backup, backup_size, 0600);
	unit_write(word, PASSWORD "\n", strlen(PASSWORD) + 1, 0600);
	snprintf(pass, sizeof(pass), "file:%s", word);
	assert_int_equal(run(argv, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "MAC: sha256, Iteration 600000"));
	assert_non_null(strstr(output, "PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256"));
	assert_non_null(strstr(output, "Secret bag"));
	assert_true(prints_bytes(output, "{\"created\":\"2000-02-29T12:34:56Z\",\"kdk\":"
				 "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\",\"name\":\"site-a\","
				 "\"provider\":\"01234567-89ab-4def-8123-456789abcdef\"}"));
	unit_write(word, "wrong\n", 6, 0600);
	assert_int_not_equal(run(argv, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "invalid password"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_again),
		cmocka_unit_test(wrong_password),
		cmocka_unit_test(password_bounds),
		cmocka_unit_test(each_truncation_is_refused),
		cmocka_unit_test(no_altered_byte_passes),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(weak_or_endless_files_are_refused),
		cmocka_unit_test(content_is_checked),
		cmocka_unit_test(the_openssl_program_reads_it),
	};

	return cmocka_run_group_tests_name("backup", tests, setup, teardown);
}
