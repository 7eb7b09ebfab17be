// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The set of servers as far as no server is needed, and the ten reasons. Called
 * with the name of a folder, and of a time-out in ms, the program does what its standard
 * input says with servers of 127.0.0.1, for test_kmip_servers.py.
 */
#include "unit.h"

#include <pthread.h>

#include "common/fileio.h"
#include "common/encode.h"
#include "crypto/kdf.h"
#include "kmip/servers.h"

#define TIMEOUT 5000
#define LONG 300000

/* What "within MS" has set: of each order from then on */
static unsigned int order_ms = LONG;

static void reasons_and_back(void **state)
{
	static const char *const names[] = {
		"KeyStateMissingInCache", "KeyStateClusterInvalid", "KeyStateClusterUnreachable",
		"KeyStateMissingInKMS", "KeyStateNotActiveOrEnabled", "KeyStateManagedByTrustAuthority",
		"KeyStateManagedByNKP", "NoPermissionToAccessKeyProvider", "WrappingKeyMissingInKMS",
		"WrappingKeyNotActiveOrEnabled",
	};
	enum keystate found;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(keystate_name((enum keystate) (i + 1)), names[i]);
		assert_int_equal(keystate_named(names[i], &found), 0);
		assert_int_equal(found, i + 1);
		assert_true(strlen(keystate_text(found)) > 0);
	}
	assert_string_equal(keystate_name((enum keystate) 11), "");
	assert_int_equal(keystate_named("", &found), -EINVAL);
	assert_int_equal(keystate_named("keystatemissinginkms", &found), -EINVAL);
}

static void reasons_of_failures(void **state)
{
	static const struct { int code; enum keystate plain, wrapping; } cases[] = {
		{ 0, KEYSTATE_AVAILABLE, KEYSTATE_AVAILABLE },
		{ -ENOKEY, KEYSTATE_MISSING, KEYSTATE_WRAPPING_MISSING },
		{ -EKEYREJECTED, KEYSTATE_NOT_ACTIVE, KEYSTATE_WRAPPING_NOT_ACTIVE },
		{ -EACCES, KEYSTATE_NO_PERMISSION, KEYSTATE_NO_PERMISSION },
		{ -ENOENT, KEYSTATE_PROVIDER_INVALID, KEYSTATE_PROVIDER_INVALID },
		{ -ETIMEDOUT, KEYSTATE_PROVIDER_UNREACHABLE, KEYSTATE_PROVIDER_UNREACHABLE },
		{ -EBADE, KEYSTATE_PROVIDER_UNREACHABLE, KEYSTATE_PROVIDER_UNREACHABLE },
		{ -EPROTO, KEYSTATE_PROVIDER_UNREACHABLE, KEYSTATE_PROVIDER_UNREACHABLE },
	};
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(keystate_of_error(cases[i].code, false), cases[i].plain);
		assert_int_equal(keystate_of_error(cases[i].code, true), cases[i].wrapping);
	}
	assert_int_equal(keystate_of_kmip(KMIP_ACTIVE, false), KEYSTATE_AVAILABLE);
	assert_int_equal(keystate_of_kmip(KMIP_PRE_ACTIVE, false), KEYSTATE_NOT_ACTIVE);
	assert_int_equal(keystate_of_kmip(KMIP_COMPROMISED, false), KEYSTATE_NOT_ACTIVE);
	assert_int_equal(keystate_of_kmip(KMIP_DESTROYED, false), KEYSTATE_MISSING);
	assert_int_equal(keystate_of_kmip(KMIP_DEACTIVATED, true), KEYSTATE_WRAPPING_NOT_ACTIVE);
	assert_int_equal(keystate_of_kmip(99, false), KEYSTATE_NOT_ACTIVE);
}

static void set_without_servers(void **state)
{
	const struct kmip_server_settings first = { .name = "a", .tls = { .host = "127.0.0.1", .port = 1 } };
	const struct kmip_server_settings none = { .name = "" };
	struct kmip_servers *set = NULL;
	struct error e = ERROR_NULL;
	char id[KMIP_ID_SIZE], name[3];
	struct kmip_server_settings more = first;
	unsigned int i;

	(void) state;
	assert_int_equal(kmip_servers_new(TIMEOUT, &set, &e), 0);
	assert_int_equal(kmip_servers_create(set, kmip_deadline(LONG), id, &e), -ENOENT);
	assert_int_equal(kmip_servers_put(set, &first, &e), 0);
	assert_int_equal(kmip_servers_put(set, &first, &e), -EEXIST);
	assert_int_equal(kmip_servers_put(set, &none, &e), -EINVAL);
	assert_int_equal(kmip_servers_create(set, kmip_deadline(LONG), id, &e), -EINVAL);
	assert_int_equal(kmip_servers_remove(set, "a", &e), 0);
	assert_int_equal(kmip_servers_remove(set, "a", &e), -EINVAL);
	more.name = name;
	for (i = 0; i < KMIP_SERVERS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(kmip_servers_put(set, &more, &e), 0);
	}
	assert_int_equal(kmip_servers_put(set, &first, &e), -ENOSPC);
	kmip_servers_free(set);
}

/* What the folder has: ca.pem, client.pem, client.der */
struct folder {
	char *ca;
	char *certificate;
	struct secret key;
};

/* KEY and its check value in base 16; "-": none */
static const struct kmip_wanted *wanted_of(const char *key, const char *check, struct kmip_wanted *ret)
{
	static uint8_t value[KEY_CHECK_SIZE];

	*ret = (struct kmip_wanted) { .id = key };
	if (hex_decode(check, value, sizeof(value)) == 0)
		ret->check = value;
	return key[0] == '-' ? NULL : ret;
}

/* NAME PORT KEY VENDOR CHECK; "-": none */
static int add(struct kmip_servers *set, const struct folder *f, char *const words[], bool ask,
	       struct error *e)
{
	const struct kmip_server_settings settings = {
		.name = words[1],
		.tls = { .host = "127.0.0.1", .port = (uint16_t) strtoul(words[2], NULL, 10), .ca = f->ca,
			 .certificate = f->certificate, .key = &f->key, .legacy = true },
		.vendor = words[4][0] == '-' ? NULL : words[4],
	};
	struct kmip_server_found found;
	struct kmip_wanted probe;
	int r;

	if (!ask)
		return kmip_servers_put(set, &settings, e);
	r = kmip_servers_add(set, &settings, wanted_of(words[3], words[5], &probe), &found, e);
	if (r == 0)
		printf("vendor %s %d.%d\n", found.vendor, found.version.major, found.version.minor);
	return r;
}

static int fetch(struct kmip_servers *set, const char *id, const char *wrapping_id, struct error *e)
{
	const struct kmip_wanted wanted = { .id = id, .wrapping_id = wrapping_id[0] == '-' ? NULL : wrapping_id };
	_cleanup_secret_ struct secret key = SECRET_NULL;
	uint8_t check[KEY_CHECK_SIZE];
	char text[2 * KEY_CHECK_SIZE + 1];
	bool wrapping = false;
	int r = kmip_servers_fetch(set, kmip_deadline(order_ms), &wanted, &key, &wrapping, e);

	if (r < 0 && wrapping)
		printf("about the wrapping key\n");
	if (r < 0)
		return r;
	assert_int_equal(kdf_key_check(&key, check, e), 0);
	hex_encode(check, sizeof(check), text);
	printf("key %zu %s\n", key.size, text);
	return 0;
}

struct one_of_many {
	struct kmip_servers *set;
	const char *id;
	pthread_t thread;
	int result;
};

static void *fetch_beside(void *argument)
{
	struct one_of_many *one = argument;
	const struct kmip_wanted wanted = { .id = one->id };
	_cleanup_secret_ struct secret key = SECRET_NULL;
	bool wrapping;

	one->result = kmip_servers_fetch(one->set, kmip_deadline(LONG), &wanted, &key, &wrapping, NULL);
	return NULL;
}

/* The same key by several threads at once. */
static int crowd(struct kmip_servers *set, const char *id, const char *how_many)
{
	struct one_of_many all[KMIP_SERVER_IDLE_MAX];
	size_t i, n = strtoul(how_many, NULL, 10);
	int r = 0;

	for (i = 0; i < n && i < ARRAY_SIZE(all); i++) {
		all[i] = (struct one_of_many) { .set = set, .id = id };
		if (pthread_create(&all[i].thread, NULL, fetch_beside, &all[i]) != 0)
			abort();
	}
	while (i-- > 0) {
		pthread_join(all[i].thread, NULL);
		r = all[i].result < 0 ? all[i].result : r;
	}
	return r;
}

static int make(struct kmip_servers *set, struct error *e)
{
	char id[KMIP_ID_SIZE];
	int r = kmip_servers_create(set, kmip_deadline(order_ms), id, e);

	if (r == 0)
		printf("id %s\n", id);
	return r;
}

static int tell_state(struct kmip_servers *set, const char *id, struct error *e)
{
	uint32_t found = 0;
	int r = kmip_servers_state(set, id, &found, e);

	if (r == 0)
		printf("state %u\n", found);
	return r;
}

static int revoke_work(struct kmip_client *client, void *id, struct error *e)
{
	return kmip_revoke_key(client, id, e);
}

static int destroy_work(struct kmip_client *client, void *id, struct error *e)
{
	return kmip_destroy_key(client, id, e);
}

static int bare_work(struct kmip_client *client, void *id, struct error *e)
{
	return kmip_create_key(client, id, e);
}

static int make_bare(struct kmip_servers *set, struct error *e)
{
	char id[KMIP_ID_SIZE];
	int r = kmip_servers_call(set, kmip_deadline(order_ms), bare_work, id, e);

	if (r == 0)
		printf("id %s\n", id);
	return r;
}

static int probe(struct kmip_servers *set, const char *key, const char *check, struct error *e)
{
	struct kmip_server_status all[KMIP_SERVERS_MAX];
	struct kmip_wanted wanted;
	size_t i, n = 0;
	int r = kmip_servers_probe(set, wanted_of(key, check, &wanted), all, &n, e);

	for (i = 0; i < n; i++)
		printf("%s %d.%d %d %s\n", all[i].name, all[i].version.major, all[i].version.minor, all[i].code,
		       keystate_name(all[i].why));
	return r;
}

static int obey(struct kmip_servers *set, const struct folder *f, char *const words[], struct error *e)
{
	static const struct kmip_label labels[] = {
		{ "x-Product", "vmcrypt" }, { "x-Vendor", "vmcrypt" }, { "x-Product_Version", "1" },
	};

	if (strcmp(words[0], "add") == 0 || strcmp(words[0], "put") == 0)
		return add(set, f, words, words[0][0] == 'a', e);
	if (strcmp(words[0], "within") == 0) {
		order_ms = (unsigned int) strtoul(words[1], NULL, 10);
		return 0;
	}
	if (strcmp(words[0], "remove") == 0)
		return kmip_servers_remove(set, words[1], e);
	if (strcmp(words[0], "create") == 0)
		return make(set, e);
	if (strcmp(words[0], "bare") == 0)
		return make_bare(set, e);
	if (strcmp(words[0], "fetch") == 0)
		return fetch(set, words[1], words[2], e);
	if (strcmp(words[0], "crowd") == 0)
		return crowd(set, words[1], words[2]);
	if (strcmp(words[0], "state") == 0)
		return tell_state(set, words[1], e);
	if (strcmp(words[0], "revoke") == 0)
		return kmip_servers_call(set, kmip_deadline(order_ms), revoke_work, words[1], e);
	if (strcmp(words[0], "destroy") == 0)
		return kmip_servers_call(set, kmip_deadline(order_ms), destroy_work, words[1], e);
	if (strcmp(words[0], "tag") == 0)
		return kmip_servers_tag(set, kmip_deadline(order_ms), words[1], labels, ARRAY_SIZE(labels), e);
	return probe(set, words[1], words[2], e);
}

static int load(const char *dir, struct folder *f, struct error *e)
{
	int r = file_read_bounded(unit_path(dir, "ca.pem"), 65536, &f->ca, NULL, e);

	if (r == 0)
		r = file_read_bounded(unit_path(dir, "client.pem"), 65536, &f->certificate, NULL, e);
	if (r == 0)
		r = file_read_secret_path(unit_path(dir, "client.der"), 65536, &f->key, e);
	return r;
}

/* A line in: up to six words. Lines out: what was found, then "= CODE REASON". */
static int commands(const char *dir, unsigned int timeout)
{
	struct folder f = { .key = SECRET_NULL };
	struct kmip_servers *set = NULL;
	struct error e = ERROR_NULL;
	char line[512], none[] = "-", *words[6], *save = NULL;
	size_t i;
	int r;

	if (secret_init() < 0 || load(dir, &f, &e) < 0 || kmip_servers_new(timeout, &set, &e) < 0)
		return EXIT_FAILURE;
	while (fgets(line, sizeof(line), stdin)) {
		for (i = 0; i < ARRAY_SIZE(words); i++) {
			words[i] = strtok_r(i ? NULL : line, " \n", &save);
			if (!words[i])
				words[i] = none;
		}
		e = ERROR_NULL;
		r = obey(set, &f, words, &e);
		printf("= %d %s\n", r, keystate_name(keystate_of_error(r, false)));
		fprintf(stderr, "%s\n", e.text);
		fflush(stdout);
	}
	kmip_servers_free(set);
	free(f.ca);
	free(f.certificate);
	secret_done(&f.key);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_and_back),
		cmocka_unit_test(reasons_of_failures),
		cmocka_unit_test(set_without_servers),
	};

	if (argc > 1)
		return commands(argv[1], argc > 2 ? (unsigned int) strtoul(argv[2], NULL, 10) : TIMEOUT);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
