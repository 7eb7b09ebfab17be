// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * After keys were used, and after each way in which their use fails, no byte of
 * them is left in this process: all its writable memory is searched.
 */
#include "memsearch.h"
#include "swtpm.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/cleanse.h"
#include "common/fileio.h"
#include "crypto/backup.h"
#include "crypto/kdf.h"
#include "crypto/wrap.h"
#include "kmip/client.h"
#include "provider/provider.h"

/* Letters only, as a password has them. */
static struct needle random_password(void)
{
	struct needle needle = random_needle(40);
	size_t i;

	for (i = 0; i < needle.size; i++)
		needle.bytes[i] = (uint8_t) ('a' + (needle.bytes[i] ^ MASK) % 26) ^ MASK;
	return needle;
}

/* As base64, in which form a backup and an unsealed file hold a KDK. */
static struct needle as_base64(const struct needle *needle)
{
	_cleanup_secret_ struct secret s = recall(needle), text = SECRET_NULL;

	assert_int_equal(secret_new(BASE64_SIZE(s.size), &text), 0);
	base64_encode(s.data, s.size, (char *) text.data);
	secret_shrink(&text, text.size - 1);
	return remember(&text);
}

static void the_search_finds(void **state)
{
	struct needle needle = random_needle(32);
	struct secret s;
	uint8_t *copy;

	(void) state;
	assert_gone(&needle, "a needle");
	s = recall(&needle);
	assert_int_equal(search(&needle), 4);
	copy = malloc(100);
	memcpy(copy + 50, s.data + 8, 8);
	assert_int_equal(search(&needle), 5);
	erase(copy, 100);
	assert_int_equal(search(&needle), 4);
	free(copy);
	secret_done(&s);
	assert_gone(&needle, "a secret that is done");
}

static void freed_memory_is_erased(void **state)
{
	static const size_t sizes[] = { 32, 200, 5000, 300000 };
	struct needle needle = random_needle(32);
	_cleanup_secret_ struct secret s = recall(&needle);
	size_t alive = search(&needle), i;

	(void) state;
	assert_true(cleanse_active());
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t *p = malloc(sizes[i]), *q;

		memcpy(p, s.data, s.size);
		memcpy(p + sizes[i] - 32, s.data, s.size);
		q = realloc(p, 3 * sizes[i]);
		assert_memory_equal(q, s.data, s.size);
		memcpy(q + 3 * sizes[i] - 32, s.data, s.size);
		q = realloc(q, 40);
		assert_memory_equal(q, s.data, s.size);
		free(q);
		assert_int_equal(search(&needle), alive);
	}
}

/* jansson copies a string, and frees the copy by the process's free(). */
static void libraries_free_erased_memory(void **state)
{
	struct needle needle = random_password();
	_cleanup_secret_ struct secret s = recall(&needle);
	size_t alive = search(&needle);
	json_t *json;

	(void) state;
	json = json_stringn((const char *) s.data, s.size);
	assert_int_equal(search(&needle), 2 * alive);
	json_decref(json);
	assert_int_equal(search(&needle), alive);
}

/* As a library does that forgets its stack. */
static __attribute__((noinline)) void leave_on_the_stack(const struct needle *needle)
{
	uint8_t local[24 * 1024];
	size_t i;

	for (i = 0; i < needle->size; i++)
		local[i + 2048] = needle->bytes[i] ^ MASK;
	__asm__ volatile("" : : "r" (local) : "memory");
}

static void the_stack_is_erased(void **state)
{
	struct needle needle = random_needle(32);

	(void) state;
	leave_on_the_stack(&needle);
	assert_int_equal(search(&needle), 4);
	erase_stack();
	assert_gone(&needle, "what was on the stack");
}

static void deks_and_wraps(void **state)
{
	struct wrap_context context = {
		.cipher = "aes-xts-plain64", .created = "2026-01-31T23:59:59Z", .disk = "d", .vm = "v",
		.key_bits = 512, .sector_size = 4096,
		.locator = { .provider_name = "p", .key_id = "k" },
	};
	struct secret dek = SECRET_NULL, kek = SECRET_NULL, out = SECRET_NULL;
	struct needle dek_needle, kek_needle;
	struct error e = ERROR_NULL;
	struct wrap wrap;

	(void) state;
	assert_int_equal(dek_generate(512, &dek, &e), 0);
	assert_int_equal(secret_random(KEK_SIZE, &kek), 0);
	dek_needle = remember(&dek);
	kek_needle = remember(&kek);
	assert_int_equal(dek_uuid(&dek, context.dek), 0);
	assert_int_equal(wrap_seal(&kek, &context, &dek, &wrap, &e), 0);
	assert_int_equal(wrap_open(&kek, &context, &wrap, &out, &e), 0);
	secret_done(&out);
	context.sector_size = 512;
	assert_int_equal(wrap_open(&kek, &context, &wrap, &out, &e), -EBADMSG);
	context.dek[0] ^= 1;
	assert_int_equal(wrap_seal(&kek, &context, &dek, &wrap, &e), -EKEYREJECTED);
	secret_done(&dek);
	secret_done(&kek);
	assert_gone(&dek_needle, "DEK");
	assert_gone(&kek_needle, "KEK");
}

static void derived_keys(void **state)
{
	struct needle kdk_needle = random_needle(KDK_SIZE), kek_needle;
	struct secret kdk = recall(&kdk_needle), kek = SECRET_NULL;
	uint8_t id[UUID_SIZE] = { 1 };
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kdf_native_kek(&kdk, id, id, &kek, &e), 0);
	kek_needle = remember(&kek);
	secret_done(&kdk);
	secret_done(&kek);
	assert_gone(&kdk_needle, "KDK");
	assert_gone(&kek_needle, "KEK");
}

static void assert_backup_gone(const struct needle *kdk, const struct needle *password)
{
	struct needle text = as_base64(kdk);

	assert_gone(kdk, "KDK");
	assert_gone(&text, "KDK as base64");
	assert_gone(password, "password");
}

static void backups(void **state)
{
	struct needle kdk = random_needle(KDK_SIZE), word = random_password();
	struct backup_content content = { .name = "a" }, got = { .kdk = SECRET_NULL };
	struct secret password = recall(&word), wrong = unit_password("wrong");
	struct error e = ERROR_NULL;
	uint8_t *der = NULL;
	size_t size;

	(void) state;
	content.kdk = recall(&kdk);
	assert_int_equal(backup_write(&content, &password, &der, &size, &e), 0);
	secret_done(&content.kdk);
	secret_done(&password);
	assert_backup_gone(&kdk, &word);

	password = recall(&word);
	assert_int_equal(backup_read(der, size, &password, &got, &e), 0);
	backup_content_done(&got);
	assert_int_equal(backup_read(der, size, &wrong, &got, &e), -EKEYREJECTED);
	assert_int_equal(backup_read(der, size - 1, &password, &got, &e), -EBADMSG);
	der[size - 1] ^= 1;
	assert_int_equal(backup_read(der, size, &password, &got, &e), -EKEYREJECTED);
	secret_done(&password);
	secret_done(&wrong);
	assert_backup_gone(&kdk, &word);

	/* A name that cannot be read back: decrypted, then refused. */
	snprintf(content.name, sizeof(content.name), "../a");
	content.kdk = recall(&kdk);
	password = recall(&word);
	free(der);
	assert_int_equal(backup_write(&content, &password, &der, &size, &e), 0);
	assert_int_equal(backup_read(der, size, &password, &got, &e), -EBADMSG);
	secret_done(&content.kdk);
	secret_done(&password);
	free(der);
	assert_backup_gone(&kdk, &word);
}

static void passwords_from_files(void **state)
{
	struct needle word = random_password();
	struct secret password = recall(&word), got = SECRET_NULL;
	struct error e = ERROR_NULL;
	int fds[2];

	(void) state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], password.data, password.size), password.size);
	close(fds[1]);
	secret_done(&password);
	assert_int_equal(file_read_password(fds[0], "pipe", &got, &e), 0);
	assert_int_equal(got.size, 40);
	close(fds[0]);
	secret_done(&got);
	assert_gone(&word, "password");
}

/**
 * struct played - what a key server answers to Get, once
 * @wrapping: what it wraps the key with, under the name "w"; NULL: with nothing
 * @id: of the key it says this is
 * @algorithm: that it says this is
 * @most: bytes that it sends before it hangs up
 */
struct played {
	const struct needle *key;
	const struct needle *wrapping;
	const char *id;
	uint32_t algorithm;
	size_t most;
};

static struct secret wrapped_by(const struct secret *kek, const struct secret *key)
{
	struct secret out = SECRET_NULL;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int n = 0;

	assert_int_equal(secret_new(key->size + 8, &out), 0);
	EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_256_wrap(), NULL, kek->data, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(context, out.data, &n, key->data, (int) key->size), 1);
	assert_int_equal((size_t) n, out.size);
	EVP_CIPHER_CTX_free(context);
	return out;
}

static void put_wrapping_data(struct ttlv_writer *w)
{
	ttlv_begin(w, KMIP_TAG_KEY_WRAPPING_DATA);
	ttlv_put_enumeration(w, KMIP_TAG_WRAPPING_METHOD, KMIP_WRAP_ENCRYPT);
	ttlv_begin(w, KMIP_TAG_ENCRYPTION_KEY_INFORMATION);
	ttlv_put_text(w, KMIP_TAG_UNIQUE_IDENTIFIER, "w");
	ttlv_begin(w, KMIP_TAG_PARAMETERS);
	ttlv_put_enumeration(w, KMIP_TAG_BLOCK_CIPHER_MODE, KMIP_NIST_KEY_WRAP);
	ttlv_end(w);
	ttlv_end(w);
	ttlv_put_enumeration(w, KMIP_TAG_ENCODING_OPTION, KMIP_NO_ENCODING);
	ttlv_end(w);
}

static void put_played_key(struct ttlv_writer *w, const struct played *p, const struct secret *key)
{
	ttlv_begin(w, KMIP_TAG_SYMMETRIC_KEY);
	ttlv_begin(w, KMIP_TAG_KEY_BLOCK);
	ttlv_put_enumeration(w, KMIP_TAG_KEY_FORMAT_TYPE, KMIP_RAW);
	ttlv_begin(w, KMIP_TAG_KEY_VALUE);
	ttlv_put_bytes(w, KMIP_TAG_KEY_MATERIAL, key->data, key->size);
	ttlv_end(w);
	ttlv_put_enumeration(w, KMIP_TAG_ALGORITHM, p->algorithm);
	ttlv_put_integer(w, KMIP_TAG_LENGTH, 256);
	if (p->wrapping)
		put_wrapping_data(w);
	ttlv_end(w);
	ttlv_end(w);
}

static struct secret played_answer(const struct played *p, const struct secret *key)
{
	struct ttlv_writer w = TTLV_WRITER_NULL;
	struct secret message = SECRET_NULL;

	ttlv_begin(&w, KMIP_TAG_RESPONSE_MESSAGE);
	ttlv_begin(&w, KMIP_TAG_RESPONSE_HEADER);
	ttlv_begin(&w, KMIP_TAG_PROTOCOL_VERSION);
	ttlv_put_integer(&w, KMIP_TAG_VERSION_MAJOR, 1);
	ttlv_put_integer(&w, KMIP_TAG_VERSION_MINOR, 4);
	ttlv_end(&w);
	ttlv_put_integer(&w, KMIP_TAG_BATCH_COUNT, 1);
	ttlv_end(&w);
	ttlv_begin(&w, KMIP_TAG_BATCH_ITEM);
	ttlv_put_enumeration(&w, KMIP_TAG_OPERATION, KMIP_GET);
	ttlv_put_enumeration(&w, KMIP_TAG_RESULT_STATUS, KMIP_SUCCESS);
	ttlv_begin(&w, KMIP_TAG_RESPONSE_PAYLOAD);
	ttlv_put_enumeration(&w, KMIP_TAG_OBJECT_TYPE, KMIP_SYMMETRIC_KEY);
	ttlv_put_text(&w, KMIP_TAG_UNIQUE_IDENTIFIER, p->id);
	put_played_key(&w, p, key);
	ttlv_end(&w);
	ttlv_end(&w);
	ttlv_end(&w);
	assert_int_equal(ttlv_finish(&w, &message, NULL), 0);
	return message;
}

static void play(const struct played *p, int fd)
{
	struct secret key = recall(p->key), wrapping, message;
	uint8_t question[512];

	if (p->wrapping) {
		wrapping = recall(p->wrapping);
		key = wrapped_by(&wrapping, &key);
	}
	message = played_answer(p, &key);
	assert_true(recv(fd, question, sizeof(question), 0) > 0);
	assert_true(send(fd, message.data, message.size < p->most ? message.size : p->most, MSG_NOSIGNAL) > 0);
}

/* The server is a process of its own: what is found later is the client's. */
static int fetch_from(const struct played *p, const struct kmip_wrapping *how,
		      const struct secret *wrapping, struct secret *ret, struct error *e)
{
	struct kmip_client client = { .version = { 1, 4 }, .timeout = 60000 };
	int fds[2], r, status = -1;
	pid_t pid;

	*e = ERROR_NULL;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		play(p, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	client.stream = kmip_stream_fd(&fds[0]);
	r = kmip_fetch_key(&client, "k", how, wrapping, ret, e);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return r;
}

static void keys_of_a_key_server(void **state)
{
	struct needle needle = random_needle(32);
	const struct played good = { .key = &needle, .id = "k", .algorithm = KMIP_AES, .most = 1000 };
	struct played p = good;
	struct secret key = SECRET_NULL;
	struct error e;

	(void) state;
	assert_int_equal(fetch_from(&p, NULL, NULL, &key, &e), 0);
	assert_int_equal(search(&needle), key.size / WINDOW);
	secret_done(&key);
	assert_gone(&needle, "key");

	p.most = 250;	/* the key, and a little more */
	assert_int_equal(fetch_from(&p, NULL, NULL, &key, &e), -ECONNRESET);
	assert_gone(&needle, "key of half an answer");
	p = good;
	p.id = "other";
	assert_int_equal(fetch_from(&p, NULL, NULL, &key, &e), -EBADMSG);
	assert_gone(&needle, "key under another name");
	p = good;
	p.algorithm = KMIP_AES + 1;
	assert_int_equal(fetch_from(&p, NULL, NULL, &key, &e), -ENOKEY);
	assert_gone(&needle, "key of another kind");
}

static void wrapped_keys_of_a_key_server(void **state)
{
	const struct kmip_wrapping how = { .key_id = "w", .mode = KMIP_NIST_KEY_WRAP, .encoding = KMIP_NO_ENCODING };
	struct needle needle = random_needle(32), wrapping_needle = random_needle(32);
	struct played p = {
		.key = &needle, .wrapping = &wrapping_needle, .id = "k", .algorithm = KMIP_AES, .most = 1000,
	};
	struct secret wrapping = recall(&wrapping_needle), key = SECRET_NULL;
	struct error e;

	(void) state;
	assert_int_equal(fetch_from(&p, &how, &wrapping, &key, &e), 0);
	assert_int_equal(search(&needle), key.size / WINDOW);
	secret_done(&key);
	/* Opened, and then it is none. */
	p.algorithm = KMIP_AES + 1;
	assert_int_equal(fetch_from(&p, &how, &wrapping, &key, &e), -ENOKEY);
	assert_gone(&needle, "key that was wrapped");
	p.algorithm = KMIP_AES;
	wrapping.data[0] ^= 1;
	assert_int_equal(fetch_from(&p, &how, &wrapping, &key, &e), -EBADMSG);
	unit_speaks(&e, "does not open with wrapping key w");
	secret_done(&wrapping);
	assert_gone(&needle, "key that does not open");
	assert_gone(&wrapping_needle, "wrapping key");
}

/* A backup in a file, for a provider to be restored from. */
static int make_backup_file(const char *path, const struct needle *kdk, const struct needle *word)
{
	_cleanup_secret_ struct secret password = recall(word);
	_cleanup_backup_ struct backup_content content = { .name = "a", .created = 1 };
	_cleanup_free_ uint8_t *der = NULL;
	struct error e = ERROR_NULL;
	size_t size;

	content.kdk = recall(kdk);
	assert_int_equal(uuid_random(content.provider), 0);
	assert_int_equal(backup_write(&content, &password, &der, &size, &e), 0);
	unit_write(path, der, size, 0600);
	return open(path, O_RDONLY);
}

static struct provider_registry *restored(const char *dir, const char *tcti, enum provider_sealing sealing,
					  const struct needle *kdk, const struct needle *word)
{
	const struct provider_settings settings = { .dir = unit_path(dir, "providers"), .tcti = tcti };
	_cleanup_close_ int fd = make_backup_file(unit_path(dir, "a.p12"), kdk, word);
	_cleanup_secret_ struct secret password = recall(word);
	struct provider_registry *registry = NULL;
	struct error e = ERROR_NULL;

	assert_int_equal(provider_registry_open(&settings, &registry, &e), 0);
	if (provider_restore(registry, fd, &password, sealing, false, NULL, &e) < 0)
		fail_msg("%s", e.text);
	return registry;
}

static struct needle use_key(struct provider_registry *registry, struct key_locator *ret)
{
	struct secret kek = SECRET_NULL, again = SECRET_NULL;
	struct error e = ERROR_NULL;
	struct needle needle;

	assert_int_equal(provider_key_new(registry, NULL, NULL, ret, &kek, &e), 0);
	assert_int_equal(provider_key_get(registry, ret, NULL, &again, &e), 0);
	assert_true(secret_equal(&kek, &again));
	needle = remember(&kek);
	secret_done(&kek);
	secret_done(&again);
	return needle;
}

static void back_up_again(struct provider_registry *registry, const char *path, const struct needle *word)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	_cleanup_secret_ struct secret password = recall(word);
	struct error e = ERROR_NULL;

	assert_int_equal(provider_backup(registry, "a", &password, fd, &e), 0);
}

static void unsealed_provider(void **state)
{
	struct needle kdk = random_needle(KDK_SIZE), word = random_password(), kek;
	struct provider_registry *registry;
	struct key_locator locator;
	struct error e = ERROR_NULL;
	char dir[64];

	(void) state;
	unit_make_dir(dir);
	registry = restored(dir, "swtpm:path=/nonexistent", SEALING_NONE, &kdk, &word);
	assert_backup_gone(&kdk, &word);
	kek = use_key(registry, &locator);
	back_up_again(registry, unit_path(dir, "b.p12"), &word);
	assert_int_equal(provider_check(registry, NULL, &e), 0);
	/* With the registry still open: nothing of it stays in memory. */
	assert_backup_gone(&kdk, &word);
	assert_gone(&kek, "KEK");
	assert_int_equal(provider_delete(registry, "a", &e), 0);
	provider_registry_free(registry);
	assert_backup_gone(&kdk, &word);
	unit_remove_dir(dir);
}

static void provider_in_a_tpm(void **state)
{
	struct needle kdk = random_needle(KDK_SIZE), word = random_password(), kek;
	struct provider_registry *registry;
	struct swtpm tpm = { .pid = 0 };
	struct secret failed = SECRET_NULL;
	struct key_locator locator;
	struct error e = ERROR_NULL;
	char dir[64];

	(void) state;
	unit_make_dir(dir);
	swtpm_new(&tpm);
	registry = restored(dir, tpm.tcti, SEALING_TPM, &kdk, &word);
	assert_backup_gone(&kdk, &word);
	kek = use_key(registry, &locator);
	assert_gone(&kek, "KEK");
	/* The one cached copy, in the secure heap. */
	assert_int_equal(search(&kdk), KDK_SIZE / WINDOW);
	assert_int_equal(provider_check(registry, NULL, &e), 0);
	assert_int_equal(search(&kdk), KDK_SIZE / WINDOW);
	provider_registry_forget(registry);
	assert_backup_gone(&kdk, &word);

	swtpm_off(&tpm);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &failed, &e), -ENOKEY);
	assert_backup_gone(&kdk, &word);
	swtpm_on(&tpm);
	kek = use_key(registry, &locator);
	provider_registry_free(registry);
	assert_backup_gone(&kdk, &word);
	assert_gone(&kek, "KEK");
	swtpm_done(&tpm);
	unit_remove_dir(dir);
}

static int setup(void **state)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	assert_int_equal(memsearch_setup(), 0);
	return unit_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_search_finds),
		cmocka_unit_test(freed_memory_is_erased),
		cmocka_unit_test(libraries_free_erased_memory),
		cmocka_unit_test(the_stack_is_erased),
		cmocka_unit_test(deks_and_wraps),
		cmocka_unit_test(derived_keys),
		cmocka_unit_test(backups),
		cmocka_unit_test(passwords_from_files),
		cmocka_unit_test(keys_of_a_key_server),
		cmocka_unit_test(wrapped_keys_of_a_key_server),
		cmocka_unit_test(unsealed_provider),
		cmocka_unit_test(provider_in_a_tpm),
	};

	return cmocka_run_group_tests_name("memory", tests, setup, NULL);
}
