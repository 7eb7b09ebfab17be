// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All parsers of outside data behind one entry point for libFuzzer: the first
 * byte chooses the parser. What it must never do is crash, leak, hang, or say
 * that it failed without saying why.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/show.h"
#include "cli/wire.h"
#include "common/cleanup.h"
#include "common/conf.h"
#include "common/encode.h"
#include "common/jointoken.h"
#include "common/json.h"
#include "crypto/backup.h"
#include "crypto/wrap.h"
#include "disk/token.h"
#include "host/disktab.h"
#include "host/op.h"
#include "kmip/client.h"
#include "provider/tpm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A refusal without words is a failure of the parser. */
static int spoken(int r, const struct error *e)
{
	if ((r < 0) != error_is_set(e) || (r < 0 && !e->text[0]))
		abort();
	return r;
}

static void fuzz_json(const char *text, size_t size)
{
	_cleanup_json_ json_t *json = NULL, *again = NULL;
	_cleanup_free_ char *out = NULL;
	struct error e = ERROR_NULL;
	size_t n;

	if (spoken(json_parse(text, size, 65536, "text", &json, &e), &e) < 0)
		return;
	/* What was taken once is taken again in the form that we write. */
	if (json_format(json, &out, &n, &e) < 0 ||
	    json_parse(out, n, SIZE_MAX, "text", &again, &e) < 0 || !json_equal(json, again))
		abort();
}

static void fuzz_wrap(const char *text, size_t size)
{
	_cleanup_json_ json_t *json = NULL;
	struct error e = ERROR_NULL;
	struct tpm_sealed sealed;
	struct wrap wrap;

	if (json_parse(text, size, 65536, "text", &json, NULL) < 0)
		return;
	spoken(wrap_from_json(json, &wrap, &e), &e);
	e = ERROR_NULL;
	spoken(tpm_sealed_from_json(json, "text", &sealed, &e), &e);
}

static void fuzz_token(const char *text, size_t size)
{
	struct error e = ERROR_NULL;
	struct token token;

	spoken(token_parse(text, size, &token, &e), &e);
}

/* The password never opens it, so the time goes into the structure. */
static void fuzz_backup(const char *text, size_t size)
{
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	_cleanup_secret_ struct secret password = SECRET_NULL;
	struct error e = ERROR_NULL;

	if (secret_copy("x", 1, &password) == 0)
		spoken(backup_read((const uint8_t *) text, size, &password, &content, &e), &e);
}

static void fuzz_jointoken(const char *text, size_t size)
{
	_cleanup_jointoken_ struct jointoken token = JOINTOKEN_NULL;
	_cleanup_secret_ struct secret again = SECRET_NULL;
	struct error e = ERROR_NULL;

	if (spoken(jointoken_parse(text, size, &token, &e), &e) < 0)
		return;
	/* One token has one text. */
	if (jointoken_format(&token, &again, &e) < 0 || again.size > size ||
	    memcmp(again.data, text, again.size) != 0)
		abort();
}

static void fuzz_text(const char *text, size_t size)
{
	_cleanup_free_ char *copy = strndup(text, size);
	uint8_t bytes[64], uuid[UUID_SIZE];
	int64_t t;
	size_t n;

	if (!copy)
		return;
	base64_decode(text, size, bytes, sizeof(bytes), &n);
	hex_decode(copy, bytes, sizeof(bytes));
	uuid_parse_text(copy, uuid);
	time_parse(copy, &t);
	provider_name_valid(copy);
	key_id_valid(copy);
}

static void fuzz_request(const char *text, size_t size)
{
	struct request request = { .id = -1 };
	struct error e = ERROR_NULL;

	if (spoken(request_parse(text, size, &request, &e), &e) == 0)
		json_decref(request.args);
}

static void fuzz_disktab(const char *text, size_t size)
{
	struct error e = ERROR_NULL;
	struct disktab tab;

	if (spoken(disktab_parse(text, size, "disks", &tab, &e), &e) == 0)
		disktab_done(&tab);
}

static void fuzz_conf(const char *text, size_t size)
{
	_cleanup_close_ int fd = memfd_create("conf", MFD_CLOEXEC);
	char *string = NULL, *file = NULL, path[64];
	struct error e = ERROR_NULL;
	unsigned int number = 0;
	bool flag = false;
	const struct conf_item items[] = {
		{ "A", "String", conf_string, &string, "a text" },
		{ "A", "Path", conf_path, &file, "a path" },
		{ "B", "Number", conf_uint, &number, "a number" },
		{ "B", "Flag", conf_bool, &flag, "yes or no" },
		{ NULL, NULL, NULL, NULL, NULL },
	};

	if (fd < 0 || write(fd, text, size) != (ssize_t) size)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	spoken(conf_load(path, items, false, &e), &e);
	free(string);
	free(file);
}

/* What vmcryptctl makes of an agent's line: parsed, and shown by every command. */
static void fuzz_answer(const char *text, size_t size)
{
	_cleanup_message_ struct wire_message m = { .body = NULL };
	_cleanup_fclose_ FILE *null = fopen("/dev/null", "we");
	struct error e = ERROR_NULL;
	size_t i;

	if (spoken(wire_parse(text, size, 1, &m, &e), &e) < 0)
		return;
	if (!null || (m.type == WIRE_FAILED && (wire_status(&m) < 1 || wire_status(&m) > 4)))
		abort();
	for (i = 0; i < cli_n_commands; i++)
		cli_commands[i].show(null, m.body);
	show_event(null, m.body);
}

/* By name and by tag, as the client looks for them. */
static void fuzz_kmip_attributes(const struct kmip_response *response, const struct ttlv_reader *payload)
{
	static const char *const names[] = { "State", "Name", "Cryptographic Usage Mask", "x-Vendor" };
	struct kmip_attribute wanted, found;
	struct error e;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (kmip_attribute_named(names[i], &wanted, NULL) < 0)
			abort();
		e = ERROR_NULL;
		spoken(kmip_find_attribute(payload, &response->version, &wanted, &found, &e), &e);
	}
}

/* What Query tells. */
static void fuzz_kmip_query(const struct ttlv_reader *payload)
{
	struct ttlv_reader operations = *payload;
	char vendor[KMIP_TEXT_SIZE];
	struct error e = ERROR_NULL;
	uint32_t operation;

	spoken(kmip_get_vendor(payload, vendor, &e), &e);
	e = ERROR_NULL;
	while (spoken(kmip_next_operation(&operations, &operation, &e), &e) > 0)
		kmip_operation_name(operation);
}

static void fuzz_kmip_unwrap(const struct kmip_key *key)
{
	static const uint8_t kek_bytes[32] = { 1, 2, 3 };
	_cleanup_secret_ struct secret kek = SECRET_NULL, plain = SECRET_NULL;
	struct error e = ERROR_NULL;

	if (secret_copy(kek_bytes, sizeof(kek_bytes), &kek) == 0)
		spoken(kmip_unwrap(&kek, key, &plain, &e), &e);
}

static void fuzz_kmip_payload(const struct kmip_response *response, struct ttlv_reader payload)
{
	_cleanup_kmip_key_ struct kmip_key key = { .material = SECRET_NULL };
	struct ttlv_reader attributes, references = payload, ids = payload, versions = payload;
	struct kmip_attribute attribute;
	struct kmip_version version;
	struct error e = ERROR_NULL;
	char id[KMIP_ID_SIZE];

	if (spoken(kmip_get_key(&payload, &key, &e), &e) == 0)
		fuzz_kmip_unwrap(&key);
	fuzz_kmip_attributes(response, &payload);
	fuzz_kmip_query(&payload);
	e = ERROR_NULL;
	if (spoken(kmip_attributes(&payload, &response->version, &attributes, &e), &e) == 0)
		while (spoken(kmip_next_attribute(&attributes, &response->version, &attribute, &e), &e) > 0)
			;
	e = ERROR_NULL;
	while (spoken(kmip_next_reference(&references, &response->version, &attribute, &e), &e) > 0)
		;
	e = ERROR_NULL;
	while (spoken(kmip_next_id(&ids, id, &e), &e) > 0)
		;
	e = ERROR_NULL;
	while (spoken(kmip_next_version(&versions, &version, &e), &e) > 0)
		;
}

/* What a key server answers to two operations. */
static void fuzz_kmip(const char *text, size_t size)
{
	const struct kmip_request requests[] = { { .operation = KMIP_GET }, { .operation = KMIP_GET_ATTRIBUTES } };
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct kmip_response response;
	struct error e = ERROR_NULL;
	char id[KMIP_ID_SIZE];
	size_t i, rest;

	if (size >= TTLV_HEADER_SIZE)
		spoken(ttlv_message_size((const uint8_t *) text, KMIP_TAG_RESPONSE_MESSAGE, KMIP_ANSWER_MAX, &rest, &e),
		       &e);
	e = ERROR_NULL;
	if (secret_copy(text, size, &message) < 0 ||
	    spoken(kmip_decode(&message, requests, ARRAY_SIZE(requests), true, &response, &e), &e) < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		e = ERROR_NULL;
		spoken(kmip_succeeded(&response.results[i], requests[i].operation, &e), &e);
		fuzz_kmip_payload(&response, response.results[i].payload);
		e = ERROR_NULL;
		spoken(kmip_get_id(&response, i, id, &e), &e);
	}
}

static bool wrap_for_kmip(const struct secret *kek, const char *text, size_t size, struct secret *ret)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int n = 0, ok;

	if (!context || secret_new((size + 7) / 8 * 8 + 8, ret) < 0) {
		EVP_CIPHER_CTX_free(context);
		return false;
	}
	EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = EVP_EncryptInit_ex(context, EVP_aes_256_wrap_pad(), NULL, kek->data, NULL) == 1 &&
	     EVP_EncryptUpdate(context, ret->data, &n, (const uint8_t *) text, (int) size) == 1;
	EVP_CIPHER_CTX_free(context);
	return ok && (size_t) n == ret->size;
}

/* What a key server wraps, which no fuzzer gets right: an encoded Key Value, after it is opened. */
static void fuzz_kmip_value(const char *text, size_t size)
{
	_cleanup_kmip_key_ struct kmip_key key = {
		.material = SECRET_NULL, .wrapped = true,
		.wrapping = { .mode = KMIP_AES_KEY_WRAP_PADDING, .encoding = KMIP_TTLV_ENCODING },
	};
	_cleanup_secret_ struct secret kek = SECRET_NULL, plain = SECRET_NULL;
	struct error e = ERROR_NULL;

	if (size == 0 || secret_new(32, &kek) < 0 || !wrap_for_kmip(&kek, text, size, &key.material))
		return;
	if (spoken(kmip_unwrap(&kek, &key, &plain, &e), &e) == -EKEYREJECTED)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text, size_t size) = {
		fuzz_json, fuzz_wrap, fuzz_token, fuzz_backup, fuzz_text, fuzz_request, fuzz_disktab,
		fuzz_conf, fuzz_answer, fuzz_kmip, fuzz_jointoken, fuzz_kmip_value,
	};

	if (size == 0 || secret_init() < 0)
		return 0;
	parsers[data[0] % ARRAY_SIZE(parsers)]((const char *) data + 1, size - 1);
	return 0;
}
