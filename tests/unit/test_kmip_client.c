// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The client against a server that plays bytes written down here. Called with
 * the word "flow" the program does the life of a key over its standard input, a
 * socket, for test_kmip_server.py; with "play VERSION FILE" it sends what the file
 * describes, for test_kmip_oasis.py.
 */
#include "oasis.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/socket.h>

#include "kmip/client.h"
#include "kmip/keystate.h"

#define VERSION(minor) "420069010000002042006a0200000004000000010000000042006b0200000004" minor "00000000"
#define RESPONSE(size, minor) "42007b01" size "42007a0100000038" VERSION(minor) "42000d02000000040000000100000000"
#define V0 "00000000"
#define V1 "00000001"
#define V2 "00000002"
#define ACTIVATED RESPONSE("00000080", V2) "42000f010000003842005c05000000040000001200000000" \
		  "42007f05000000040000000000000000" "42007c010000001042009407000000013100000000000000"
#define REFUSED(reason) RESPONSE("00000068", V0) "42000f010000002042007f05000000040000000100000000" \
			"42007e0500000004" reason "00000000"

/* What Get Attributes and Get answer about a key with a name of one letter, in base 16 */
#define STATE(id, state) RESPONSE("000000a8", V2) "42000f010000006042005c05000000040000000b00000000" \
			 "42007f05000000040000000000000000" "42007c0100000038" "4200940700000001" id "00000000000000" \
			 "4200080100000020" "42000a07000000055374617465000000" "42000b0500000004" state "00000000"
#define GOT(id, algorithm) RESPONSE("00000100", V2) "42000f01000000b842005c05000000040000000a00000000" \
			   "42007f05000000040000000000000000" "42007c0100000090" "42005705000000040000000200000000" \
			   "4200940700000001" id "00000000000000" "42008f0100000068" "4200400100000060" \
			   "42004205000000040000000100000000" "4200450100000028" "4200430800000020" \
			   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" \
			   "4200280500000004" algorithm "00000000" "42002a02000000040000010000000000"
#define ONE "31"
#define OTHER "32"

/* Answers each message that comes with the next of what it has, @chunk bytes at a time, then closes. */
struct server {
	int fd;
	const char *answers[4];
	size_t chunk;
	size_t asked;
	uint8_t question[1024];
	pthread_t thread;
};

static bool say(const struct server *s, const char *hex)
{
	uint8_t answer[1024];
	size_t size = strlen(hex) / 2, at, n;

	if (hex_decode(hex, answer, size) < 0)
		return false;
	for (at = 0; at < size; at += n) {
		n = size - at < s->chunk ? size - at : s->chunk;
		if (send(s->fd, answer + at, n, MSG_NOSIGNAL) != (ssize_t) n)
			return false;
	}
	return true;
}

static void *serve(void *argument)
{
	struct server *s = argument;
	ssize_t got;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(s->answers) && s->answers[i]; i++) {
		got = recv(s->fd, s->question + s->asked, sizeof(s->question) - s->asked, 0);
		s->asked += got > 0 ? (size_t) got : 0;
		if (got <= 0 || !say(s, s->answers[i]))
			break;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

/* @s: has its answers */
static void start_server(struct server *s, int *ret_fd)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	s->fd = fds[1];
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	*ret_fd = fds[0];
}

static void start(struct server *s, const char *answer, size_t chunk, int *ret_fd)
{
	assert_true(strlen(answer) / 2 <= 1024);
	*s = (struct server) { .answers = { answer }, .chunk = chunk };
	start_server(s, ret_fd);
}

static void stop(struct server *s, int fd)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	close(s->fd);
	close(fd);
}

static struct kmip_client client_of(int *fd, int32_t minor)
{
	return (struct kmip_client) {
		.stream = kmip_stream_fd(fd), .version = { minor < 0 ? 0 : 1, minor < 0 ? 0 : minor }, .timeout = 20000,
	};
}

static int try_revoke(const char *answer, size_t chunk, bool *ret_broken, struct error *e)
{
	struct kmip_client client;
	struct server server;
	int fd, r;

	start(&server, answer, chunk, &fd);
	client = client_of(&fd, 2);
	r = kmip_revoke_key(&client, "1", e);
	*ret_broken = client.broken;
	stop(&server, fd);
	return r;
}

static void short_reads_are_normal(void **state)
{
	static const char revoked[] = RESPONSE("00000080", V2) "42000f010000003842005c05000000040000001300000000"
		"42007f05000000040000000000000000" "42007c010000001042009407000000013100000000000000";
	struct error e = ERROR_NULL;
	bool broken = true;
	size_t chunk;

	(void) state;
	for (chunk = 1; chunk <= 256; chunk *= 4) {
		assert_int_equal(try_revoke(revoked, chunk, &broken, &e), 0);
		assert_false(broken);
	}
}

static void refusals_break_nothing(void **state)
{
	struct error e = ERROR_NULL;
	bool broken = true;

	(void) state;
	assert_int_equal(try_revoke(REFUSED("00000001"), 7, &broken, &e), -ENOKEY);
	assert_false(broken);
	unit_speaks(&e, "refused Revoke: Item Not Found");
}

static void damage_breaks(void **state)
{
	struct error e = ERROR_NULL;
	bool broken = false;

	(void) state;
	assert_int_equal(try_revoke(ACTIVATED, 256, &broken, &e), -EBADMSG);
	assert_true(broken);
	assert_int_equal(try_revoke("485454502f312e3120343030", 256, &broken, &e), -EBADMSG);
	assert_true(broken);
	unit_speaks(&e, "no KMIP message");
	assert_int_equal(try_revoke("42007b01000000", 256, &broken, &e), -ECONNRESET);
	assert_true(broken);
	assert_int_equal(try_revoke("42007b01fffffff8", 256, &broken, &e), -EMSGSIZE);
	assert_true(broken);
}

static void deadline_and_broken(void **state)
{
	struct kmip_client client;
	struct error e = ERROR_NULL;
	int fds[2];

	(void) state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	client = client_of(&fds[0], 2);
	client.timeout = 50;
	assert_int_equal(kmip_destroy_key(&client, "1", &e), -ETIMEDOUT);
	unit_speaks(&e, "did not answer in time");
	assert_int_equal(kmip_destroy_key(&client, "1", &e), -ENOTCONN);
	close(fds[0]);
	close(fds[1]);
}

/* An answer of the right form to a question about another key */
static void answers_about_another_key_break(void **state)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	struct kmip_client client;
	struct server server;
	struct error e = ERROR_NULL;
	uint32_t found = 0;
	int fd;

	(void) state;
	start(&server, GOT(OTHER, "00000003"), 64, &fd);
	client = client_of(&fd, 2);
	must_fail(kmip_fetch_key(&client, "1", NULL, NULL, &key, &e), -EBADMSG, "Get of key 1: it answers for key 2");
	assert_true(client.broken);
	assert_null(key.data);
	stop(&server, fd);

	start(&server, STATE(OTHER, "00000002"), 64, &fd);
	client = client_of(&fd, 2);
	must_fail(kmip_key_state(&client, "1", &found, &e), -EBADMSG, "it answers for key 2");
	assert_true(client.broken);
	assert_int_equal(found, 0);
	stop(&server, fd);
}

static void only_aes_256_is_a_key(void **state)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	struct kmip_client client;
	struct server server;
	struct error e = ERROR_NULL;
	int fd;

	(void) state;
	start(&server, GOT(ONE, "00000003"), 64, &fd);
	client = client_of(&fd, 2);
	must(kmip_fetch_key(&client, "1", NULL, NULL, &key, &e));
	assert_int_equal(key.size, 32);
	stop(&server, fd);
	secret_done(&key);

	/* HMAC-SHA256, as long as an AES key: it is there and may be active, but it is none */
	start(&server, GOT(ONE, "00000008"), 64, &fd);
	client = client_of(&fd, 2);
	must_fail(kmip_fetch_key(&client, "1", NULL, NULL, &key, &e), -ENOKEY, "is no AES key of 256 bits (algorithm 8");
	assert_int_equal(keystate_of_error(e.code, /* wrapping= */ false), KEYSTATE_MISSING);
	assert_false(client.broken);
	assert_null(key.data);
	stop(&server, fd);
}

/* @after: the key's state when the activation was refused */
static int activate_against(const char *refusal, const char *after, struct error *e)
{
	struct server server = { .answers = { STATE(ONE, "00000001"), refusal, after }, .chunk = 64 };
	struct kmip_client client;
	int fd, r;

	start_server(&server, &fd);
	client = client_of(&fd, 2);
	*e = ERROR_NULL;
	r = kmip_activate_key(&client, "1", e);
	stop(&server, fd);
	return r;
}

/* Two hosts may ask for one key at once: who comes second finds it active. */
static void who_activates_second_is_content(void **state)
{
	struct error e;

	(void) state;
	assert_int_equal(activate_against(REFUSED("0000000c"), STATE(ONE, "00000002"), &e), 0);
	assert_false(error_is_set(&e));
	assert_int_equal(activate_against(REFUSED("00000043"), STATE(ONE, "00000002"), &e), 0);
	assert_int_equal(activate_against(REFUSED("0000000c"), STATE(ONE, "00000001"), &e), -EACCES);
	unit_speaks(&e, "refused Activate: Permission Denied");
}

/* Says @announced bytes, gives @given of them, and then nothing. */
struct promise {
	uint32_t announced;
	size_t given;
	size_t done;
	size_t most;
};

static ssize_t promise_read(void *context, void *data, size_t size, int64_t deadline, struct error *e)
{
	struct promise *p = context;
	const uint8_t header[TTLV_HEADER_SIZE] = {
		0x42, 0x00, 0x7b, 0x01, (uint8_t) (p->announced >> 24), (uint8_t) (p->announced >> 16),
		(uint8_t) (p->announced >> 8), (uint8_t) p->announced,
	};

	(void) deadline;
	p->most = p->most < CRYPTO_secure_used() ? CRYPTO_secure_used() : p->most;
	if (p->done == 0) {
		memcpy(data, header, sizeof(header));
		p->done = sizeof(header);
		return sizeof(header);
	}
	if (p->done >= p->given)
		return error_fail(e, ETIMEDOUT, "nothing more comes");
	size = size < p->given - p->done ? size : p->given - p->done;
	memset(data, 0, size);
	p->done += size;
	return (ssize_t) size;
}

static ssize_t promise_write(void *context, const void *data, size_t size, int64_t deadline, struct error *e)
{
	(void) context, (void) data, (void) deadline, (void) e;
	return (ssize_t) size;
}

/* How much of the secure heap an answer takes that does not come */
static size_t room_for(uint32_t announced, size_t given, int code)
{
	struct promise p = { .announced = announced, .given = given };
	struct kmip_client client = {
		.stream = { promise_read, promise_write, &p }, .version = { 1, 2 }, .timeout = 1000,
	};
	size_t before = CRYPTO_secure_used();
	struct error e = ERROR_NULL;

	assert_int_equal(kmip_revoke_key(&client, "1", &e), code);
	assert_int_equal(CRYPTO_secure_used(), before);
	return p.most - before;
}

static void room_is_for_what_has_come(void **state)
{
	(void) state;
	assert_in_range(room_for(0x7ff0, 8, -ETIMEDOUT), 1, 4096);
	assert_in_range(room_for(0x7ff0, 9000, -ETIMEDOUT), 9000, 4 * 9000);
	assert_in_range(room_for(0x8000, 8, -EMSGSIZE), 0, 4096);
}

static void nothing_begins_after_the_deadline(void **state)
{
	struct server server = { .answers = { STATE(ONE, "00000001"), STATE(ONE, "00000002") }, .chunk = 64 };
	struct kmip_client client;
	struct error e = ERROR_NULL;
	uint32_t found = 0;
	int fd;

	(void) state;
	start_server(&server, &fd);
	client = client_of(&fd, 2);
	client.deadline = kmip_deadline(60000);
	must(kmip_key_state(&client, "1", &found, &e));
	client.deadline = kmip_deadline(0);
	must_fail(kmip_key_state(&client, "1", &found, &e), -ETIMEDOUT, "Get Attributes: what came before has taken all the time");
	assert_false(client.broken);
	/* The connection is as good as before. */
	client.deadline = 0;
	must(kmip_key_state(&client, "1", &found, &e));
	assert_int_equal(found, KMIP_ACTIVE);
	stop(&server, fd);
}

#define CREDENTIAL "42000c0100000040" "4200230100000038" "42002405000000040000000100000000" "4200250100000020" \
		   "4200990700000003766d630000000000" "4200a107000000077365637265742100"

static bool has_credential(const uint8_t *message, size_t size)
{
	uint8_t wanted[72];

	assert_int_equal(hex_decode(CREDENTIAL, wanted, sizeof(wanted)), 0);
	return memmem(message, size, wanted, sizeof(wanted)) != NULL;
}

/* In every message, the one that agrees on the version included */
static void user_and_password_are_sent(void **state)
{
	struct server server = { .answers = { REFUSED("00000005"), STATE(ONE, "00000002") }, .chunk = 64 };
	_cleanup_secret_ struct secret password = unit_password("secret!");
	struct kmip_client client;
	struct error e = ERROR_NULL;
	uint32_t found = 0;
	size_t first;
	int fd;

	(void) state;
	start_server(&server, &fd);
	client = client_of(&fd, -1);
	client.user = "vmc";
	client.password = &password;
	must(kmip_negotiate(&client, &e));
	must(kmip_key_state(&client, "1", &found, &e));
	stop(&server, fd);
	first = TTLV_HEADER_SIZE + ((size_t) server.question[6] << 8 | server.question[7]);
	assert_true(first < server.asked);
	assert_true(has_credential(server.question, first));
	assert_true(has_credential(server.question + first, server.asked - first));
}

static int negotiate(const char *answer, int32_t minor, struct kmip_version *ret, struct error *e)
{
	struct kmip_client client;
	struct server server;
	int fd, r;

	start(&server, answer, 16, &fd);
	client = client_of(&fd, minor);
	r = kmip_negotiate(&client, e);
	*ret = client.version;
	stop(&server, fd);
	/* Asked in 1.1 whatever is pinned: the minor version of the header. */
	assert_true(server.asked > 51);
	assert_int_equal(server.question[51], 1);
	return r;
}

static void agrees_on_a_version(void **state)
{
	static const char discovered[] = RESPONSE("000000c8", V1) "42000f010000008042005c05000000040000001e00000000"
		"42007f05000000040000000000000000" "42007c0100000058" VERSION("00000001") VERSION("00000002")
		"4200690100000000";
	static const char two[] = RESPONSE("000000c0", V1) "42000f010000007842005c05000000040000001e00000000"
		"42007f05000000040000000000000000" "42007c0100000050" VERSION("00000001") VERSION("00000002");
	struct kmip_version version;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(negotiate(two, -1, &version, &e), 0);
	assert_int_equal(version.minor, 2);
	assert_int_equal(negotiate(two, 1, &version, &e), 0);
	assert_int_equal(version.minor, 1);
	assert_int_equal(negotiate(two, 4, &version, &e), -EPROTONOSUPPORT);
	unit_speaks(&e, "KMIP 1.4, to which it is pinned");
	assert_int_equal(negotiate(discovered, -1, &version, &e), -EBADMSG);
	/* A server of 1.0 does not know the question. */
	e = ERROR_NULL;
	assert_int_equal(negotiate(REFUSED("00000005"), -1, &version, &e), 0);
	assert_false(error_is_set(&e));
	assert_int_equal(version.major, 1);
	assert_int_equal(version.minor, 0);
	assert_int_equal(negotiate(REFUSED("00000003"), -1, &version, &e), -EACCES);
}

/* The rest serves test_kmip_server.py. */

/* A wrapping key of ours, for the server to wrap with. */
static int register_wrapping_key(struct kmip_client *client, const struct secret *key,
				 struct kmip_wrapping *ret, struct error *e)
{
	const struct kmip_attribute mask = {
		.tag = KMIP_TAG_USAGE_MASK, .kind = KMIP_KIND_INTEGER, .number = KMIP_USAGE_WRAP | KMIP_USAGE_UNWRAP,
	};
	const struct kmip_request request = {
		.operation = KMIP_REGISTER, .object_type = KMIP_SYMMETRIC_KEY, .attributes = &mask,
		.n_attributes = 1, .key = key, .algorithm = KMIP_AES, .length = 256,
	};
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	struct kmip_wrapping wrapping = { .mode = KMIP_NIST_KEY_WRAP, .encoding = KMIP_NO_ENCODING };
	int r;

	r = kmip_call(client, &request, 1, false, &answer, e);
	if (r == 0)
		r = kmip_succeeded(&answer.response.results[0], KMIP_REGISTER, e);
	if (r == 0)
		r = kmip_get_id(&answer.response, 0, wrapping.key_id, e);
	if (r == 0)
		r = kmip_activate_key(client, wrapping.key_id, e);
	if (r == 0)
		*ret = wrapping;
	return r;
}

static int fetch_both_ways(struct kmip_client *client, const char *id, struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, clear = SECRET_NULL, wrapped = SECRET_NULL;
	struct kmip_wrapping wrapping;
	int r;

	if (secret_random(32, &kek) < 0)
		return error_oom(e);
	r = register_wrapping_key(client, &kek, &wrapping, e);
	if (r == 0)
		r = kmip_fetch_key(client, id, NULL, NULL, &clear, e);
	if (r == 0)
		r = kmip_fetch_key(client, id, &wrapping, &kek, &wrapped, e);
	if (r == 0)
		printf("same %d\n", clear.size == 32 && secret_equal(&clear, &wrapped));
	return r;
}

static void told(const char *what, struct kmip_client *client, const char *id)
{
	struct error e = ERROR_NULL;
	uint32_t state = 0;
	int r = kmip_key_state(client, id, &state, &e);

	printf("%s %d %u\n", what, r, state);
}

static int life(struct kmip_client *client, struct error *e)
{
	char id[KMIP_ID_SIZE];
	struct error ignored = ERROR_NULL;
	int r;

	r = kmip_create_key(client, id, e);
	if (r < 0)
		return r;
	told("created", client, id);
	r = kmip_activate_key(client, id, e);
	if (r == 0)
		r = kmip_activate_key(client, id, e);
	if (r < 0)
		return r;
	told("activated", client, id);
	r = fetch_both_ways(client, id, e);
	if (r < 0)
		return r;
	printf("destroy %d\n", kmip_destroy_key(client, id, &ignored));
	r = kmip_revoke_key(client, id, e);
	if (r < 0)
		return r;
	told("revoked", client, id);
	r = kmip_destroy_key(client, id, e);
	if (r < 0)
		return r;
	told("destroyed", client, id);
	return 0;
}

static int flow(void)
{
	struct error e = ERROR_NULL;
	int fd = STDIN_FILENO, r;
	struct kmip_client client = client_of(&fd, -1);

	if (secret_init() < 0)
		return EXIT_FAILURE;
	r = kmip_negotiate(&client, &e);
	if (r == 0) {
		printf("version %d.%d\n", client.version.major, client.version.minor);
		r = life(&client, &e);
	}
	if (r == 0) {
		client.version = (struct kmip_version) { 2, 0 };
		r = life(&client, &e);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", e.text);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The client of play(), which each() has no way to hand on. */
static struct kmip_client playing;

/* What a case has next, and what came of it. */
static int play_one(const json_t *json)
{
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	const json_t *items = json_object_get(json, "items");
	_cleanup_json_ json_t *results = json_array();
	size_t i, n = json_array_size(items);
	static struct described d;
	struct error e = ERROR_NULL;
	int r;

	if (n > KMIP_BATCH_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++)
		describe(json_array_get(items, i), &d, i);
	r = kmip_call(&playing, d.requests, n, json_is_true(json_object_get(json, "ordered")), &answer, &e);
	for (i = 0; r == 0 && i < n; i++)
		r = add_result(&answer.response, i, d.requests[i].operation, results, &e);
	described_done(&d);
	if (r < 0)
		fprintf(stderr, "%s\n", e.text);
	else
		r = json_dumpf(results, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF ? -EIO : 0;
	return r;
}

static int play(const char *version, const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int fd = STDIN_FILENO;

	playing = client_of(&fd, 0);
	if (!file || sscanf(version, "%d.%d", &playing.version.major, &playing.version.minor) != 2)
		return EXIT_FAILURE;
	return each(file, play_one);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_reads_are_normal),
		cmocka_unit_test(refusals_break_nothing),
		cmocka_unit_test(damage_breaks),
		cmocka_unit_test(deadline_and_broken),
		cmocka_unit_test(answers_about_another_key_break),
		cmocka_unit_test(only_aes_256_is_a_key),
		cmocka_unit_test(who_activates_second_is_content),
		cmocka_unit_test(room_is_for_what_has_come),
		cmocka_unit_test(nothing_begins_after_the_deadline),
		cmocka_unit_test(user_and_password_are_sent),
		cmocka_unit_test(agrees_on_a_version),
	};

	if (argc == 2 && strcmp(argv[1], "flow") == 0)
		return flow();
	if (argc == 4 && strcmp(argv[1], "play") == 0)
		return play(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
