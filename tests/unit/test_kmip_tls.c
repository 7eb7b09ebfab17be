// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * TLS against a server of OpenSSL's own in a thread, as it should be and as it
 * should not.
 */
#include "tls_fixture.h"

#include <signal.h>

#include "kmip/tls.h"

#define LONG 30000
#define BIG ((size_t) 100 * 1000)
#define ADDRESS "IP:127.0.0.1"

static struct party ca, other_ca, server, misnamed, nameless, expired, early, rsa_server, client;

static int make_parties(void **state)
{
	(void) state;
	if (secret_init() < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -1;
	ca = party_new(NULL, "EC", NULL, -DAY, DAY);
	other_ca = party_new(NULL, "EC", NULL, -DAY, DAY);
	server = party_new(&ca, "EC", ADDRESS, -DAY, DAY);
	misnamed = party_new(&ca, "EC", "DNS:kms.example,IP:127.0.0.2", -DAY, DAY);
	nameless = party_new(&ca, "EC", NULL, -DAY, DAY);
	expired = party_new(&ca, "EC", ADDRESS, -2 * DAY, -DAY);
	early = party_new(&ca, "EC", ADDRESS, DAY, 2 * DAY);
	rsa_server = party_new(&ca, "RSA", ADDRESS, -DAY, DAY);
	client = party_new(&ca, "EC", NULL, -DAY, DAY);
	return 0;
}

static int free_parties(void **state)
{
	(void) state;
	party_done(&ca);
	party_done(&other_ca);
	party_done(&server);
	party_done(&misnamed);
	party_done(&nameless);
	party_done(&expired);
	party_done(&early);
	party_done(&rsa_server);
	party_done(&client);
	return 0;
}

static struct kmip_tls_settings settings_of(const struct tls_server *s, const char *pin,
					    const char *ca_pem)
{
	return (struct kmip_tls_settings) {
		.host = "127.0.0.1", .port = s->port, .pin = pin, .ca = ca_pem,
		.certificate = client.pem, .key = &client.der,
	};
}

/* Everything back that went there, in whatever pieces */
static void round_trip(struct kmip_tls *tls)
{
	struct kmip_stream stream = kmip_tls_stream(tls);
	int64_t deadline = kmip_deadline(LONG);
	uint8_t *sent = malloc(BIG), *got = malloc(BIG);
	struct error e = ERROR_NULL;
	size_t at, end, piece;
	ssize_t n;

	assert_int_equal(getrandom_full(sent, BIG), 0);
	for (at = 0; at < BIG; at = end) {
		piece = BIG - at < 1000 ? BIG - at : 1000;
		for (end = at; end < at + piece; end += (size_t) n) {
			n = stream.write(stream.context, sent + end, at + piece - end, deadline, &e);
			assert_true(n > 0);
		}
		for (end = at; end < at + piece; end += (size_t) n) {
			n = stream.read(stream.context, got + end, at + piece - end, deadline, &e);
			assert_true(n > 0);
		}
	}
	assert_memory_equal(sent, got, BIG);
	free(sent);
	free(got);
}

static void talks_with(int version, const char *pin, const char *ca_pem)
{
	struct tls_server s = { .party = &server, .clients = &ca, .version = version };
	struct error e = ERROR_NULL;
	struct kmip_tls *tls = NULL;
	struct kmip_tls_settings settings;

	server_start(&s);
	settings = settings_of(&s, pin, ca_pem);
	assert_int_equal(kmip_tls_connect(&settings, kmip_deadline(LONG), &tls, &e), 0);
	assert_false(error_is_set(&e));
	round_trip(tls);
	assert_true(kmip_tls_usable(tls));
	assert_true(kmip_tls_server_end(tls) > time_now() + DAY - 600);
	assert_true(kmip_tls_server_end(tls) <= time_now() + DAY);
	kmip_tls_close(tls);
	server_stop(&s);
}

static void both_versions_both_ways_to_trust(void **state)
{
	char pin[65];

	(void) state;
	pin_of(&server, pin);
	talks_with(TLS1_2_VERSION, pin, NULL);
	talks_with(TLS1_2_VERSION, NULL, ca.pem);
	talks_with(TLS1_3_VERSION, pin, NULL);
	talks_with(TLS1_3_VERSION, pin, ca.pem);
}

static int try_connect(struct tls_server *s, const char *pin, const char *ca_pem, bool legacy,
		       unsigned int timeout, struct error *e)
{
	struct kmip_tls_settings settings;
	struct kmip_tls *tls = NULL;
	int r;

	if (!s->version)
		s->version = TLS1_3_VERSION;
	server_start(s);
	settings = settings_of(s, pin, ca_pem);
	settings.legacy = legacy;
	*e = ERROR_NULL;
	r = kmip_tls_connect(&settings, kmip_deadline(timeout), &tls, e);
	assert_true(r == 0 ? tls != NULL : tls == NULL && e->code == r);
	kmip_tls_close(tls);
	server_stop(s);
	return r;
}

static void distrusts(const struct party *party, const char *pin, const char *ca_pem,
		      const char *words)
{
	struct tls_server s = { .party = party };
	struct error e;

	assert_int_equal(try_connect(&s, pin, ca_pem, false, LONG, &e), -EBADE);
	assert_non_null(strstr(e.text, words));
	assert_int_equal(e.status, EXIT_NO_KEY);
}

static void not_the_server(void **state)
{
	char right[65], wrong[65], old[65], young[65];

	(void) state;
	pin_of(&server, right);
	pin_of(&ca, wrong);
	pin_of(&expired, old);
	pin_of(&early, young);
	distrusts(&server, wrong, NULL, "fingerprint");
	distrusts(&server, wrong, ca.pem, "fingerprint");
	right[10] = '\0';
	distrusts(&server, right, NULL, "fingerprint");
	pin_of(&server, right);
	distrusts(&server, NULL, other_ca.pem, "issuer");
	distrusts(&server, right, other_ca.pem, "issuer");
	distrusts(&expired, NULL, ca.pem, "expired");
	distrusts(&expired, old, NULL, "expired");
	distrusts(&early, young, NULL, "not valid yet");
	distrusts(&misnamed, NULL, ca.pem, "mismatch");
	distrusts(&nameless, NULL, ca.pem, "mismatch");
}

static int ask_for(const struct party *party, const char *name)
{
	struct tls_server s = { .party = party, .version = TLS1_3_VERSION };
	struct kmip_tls_settings settings;
	struct error e = ERROR_NULL;
	struct kmip_tls *tls = NULL;
	int r;

	server_start(&s);
	settings = settings_of(&s, NULL, ca.pem);
	settings.name = name;
	r = kmip_tls_connect(&settings, kmip_deadline(LONG), &tls, &e);
	kmip_tls_close(tls);
	server_stop(&s);
	return r;
}

/* All are called kms.example as their common name, which does not count. */
static void name_that_is_asked_for(void **state)
{
	(void) state;
	assert_int_equal(ask_for(&misnamed, "kms.example"), 0);
	assert_int_equal(ask_for(&misnamed, "kms2.example"), -EBADE);
	assert_int_equal(ask_for(&misnamed, "127.0.0.2"), 0);
	assert_int_equal(ask_for(&nameless, "kms.example"), -EBADE);
}

/* TLS 1.2 tells in the handshake, 1.3 when something is read. */
static void client_not_accepted(void **state)
{
	struct tls_server old = { .party = &server, .clients = &other_ca, .version = TLS1_2_VERSION };
	struct tls_server new = { .party = &server, .clients = &other_ca, .version = TLS1_3_VERSION };
	struct kmip_tls_settings settings;
	struct error e = ERROR_NULL;
	struct kmip_tls *tls = NULL;
	struct kmip_stream stream;
	uint8_t byte;

	(void) state;
	assert_int_equal(try_connect(&old, NULL, ca.pem, false, LONG, &e), -EPERM);
	assert_non_null(strstr(e.text, "client certificate"));
	server_start(&new);
	settings = settings_of(&new, NULL, ca.pem);
	e = ERROR_NULL;
	assert_int_equal(kmip_tls_connect(&settings, kmip_deadline(LONG), &tls, &e), 0);
	stream = kmip_tls_stream(tls);
	assert_int_equal(stream.read(stream.context, &byte, 1, kmip_deadline(LONG), &e), -EPERM);
	kmip_tls_close(tls);
	server_stop(&new);
}

static void servers_that_misbehave(void **state)
{
	struct tls_server stall = { .party = &server, .manners = STALL };
	struct tls_server garbage = { .party = &server, .manners = GARBAGE };
	struct tls_server gone = { .party = &server };
	struct kmip_tls_settings settings;
	struct kmip_tls *tls = NULL;
	struct error e;

	(void) state;
	assert_int_equal(try_connect(&stall, NULL, ca.pem, false, 300, &e), -ETIMEDOUT);
	assert_int_equal(try_connect(&garbage, NULL, ca.pem, false, LONG, &e), -EPROTO);
	server_start(&gone);
	server_stop(&gone);
	settings = settings_of(&gone, NULL, ca.pem);
	assert_int_equal(kmip_tls_connect(&settings, kmip_deadline(LONG), &tls, &e), -ECONNREFUSED);
}

static void old_suites_only_when_asked(void **state)
{
	struct tls_server cbc = {
		.party = &rsa_server, .version = TLS1_2_VERSION, .suites = "ECDHE-RSA-AES256-SHA384",
	};
	struct tls_server rsa = {
		.party = &rsa_server, .version = TLS1_2_VERSION, .suites = "AES128-SHA256",
	};
	struct error e;

	(void) state;
	assert_int_equal(try_connect(&cbc, NULL, ca.pem, /* legacy= */ false, LONG, &e), -EPROTO);
	assert_int_equal(try_connect(&cbc, NULL, ca.pem, /* legacy= */ true, LONG, &e), 0);
	assert_int_equal(try_connect(&rsa, NULL, ca.pem, /* legacy= */ false, LONG, &e), -EPROTO);
	assert_int_equal(try_connect(&rsa, NULL, ca.pem, /* legacy= */ true, LONG, &e), 0);
}

static void shut_connection_shows(void **state)
{
	struct tls_server s = { .party = &server, .version = TLS1_3_VERSION, .manners = SHUT };
	struct kmip_tls_settings settings;
	struct error e = ERROR_NULL;
	struct kmip_tls *tls = NULL;
	struct kmip_stream stream;
	uint8_t byte;

	(void) state;
	server_start(&s);
	settings = settings_of(&s, NULL, ca.pem);
	assert_int_equal(kmip_tls_connect(&settings, kmip_deadline(LONG), &tls, &e), 0);
	stream = kmip_tls_stream(tls);
	assert_int_equal(stream.read(stream.context, &byte, 1, kmip_deadline(LONG), &e), 0);
	assert_false(kmip_tls_usable(tls));
	kmip_tls_close(tls);
	server_stop(&s);
}

/* On a connection that is idle after one round trip. */
static bool usable_after(unsigned int tickets)
{
	struct tls_server s = {
		.party = &server, .clients = &ca, .version = TLS1_3_VERSION, .tickets = tickets,
	};
	struct kmip_tls_settings settings;
	struct error e = ERROR_NULL;
	struct kmip_tls *tls = NULL;
	bool usable;

	server_start(&s);
	settings = settings_of(&s, NULL, ca.pem);
	assert_int_equal(kmip_tls_connect(&settings, kmip_deadline(LONG), &tls, &e), 0);
	assert_int_equal(sem_wait(&s.ready), 0);
	usable = kmip_tls_usable(tls);
	if (usable)
		round_trip(tls);
	kmip_tls_close(tls);
	server_stop(&s);
	return usable;
}

/* What a server sends without being asked is read to a bound. */
static void unasked_records_are_bounded(void **state)
{
	(void) state;
	assert_true(usable_after(0));
	assert_true(usable_after(4));
	assert_false(usable_after(200));
}

static void looks_without_trust(void **state)
{
	struct tls_server s = { .party = &expired, .clients = &ca, .version = TLS1_2_VERSION };
	struct tls_server garbage = { .party = &server, .manners = GARBAGE };
	struct kmip_tls_settings settings;
	struct error e = ERROR_NULL;
	_cleanup_free_ char *pem = NULL;

	(void) state;
	server_start(&s);
	settings = (struct kmip_tls_settings) { .host = "127.0.0.1", .port = s.port };
	assert_int_equal(kmip_tls_look(&settings, kmip_deadline(LONG), &pem, &e), 0);
	assert_false(error_is_set(&e));
	assert_string_equal(pem, expired.pem);
	server_stop(&s);
	server_start(&garbage);
	settings.port = garbage.port;
	assert_int_equal(kmip_tls_look(&settings, kmip_deadline(LONG), &pem, &e), -EPROTO);
	server_stop(&garbage);
}

static void settings_that_are_none(void **state)
{
	const struct kmip_tls_settings good = {
		.host = "127.0.0.1", .port = 1, .ca = ca.pem, .certificate = client.pem, .key = &client.der,
	};
	struct kmip_tls_settings s[6];
	struct kmip_tls *tls = NULL;
	struct error e;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = good;
	s[0].ca = NULL;
	s[1].certificate = NULL;
	s[2].key = &server.der;
	s[3].ca = "no PEM";
	s[4].port = 0;
	s[5].certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		e = ERROR_NULL;
		assert_int_equal(kmip_tls_connect(&s[i], kmip_deadline(LONG), &tls, &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_versions_both_ways_to_trust),
		cmocka_unit_test(not_the_server),
		cmocka_unit_test(name_that_is_asked_for),
		cmocka_unit_test(client_not_accepted),
		cmocka_unit_test(servers_that_misbehave),
		cmocka_unit_test(old_suites_only_when_asked),
		cmocka_unit_test(shut_connection_shows),
		cmocka_unit_test(unasked_records_are_bounded),
		cmocka_unit_test(looks_without_trust),
		cmocka_unit_test(settings_that_are_none),
	};

	return cmocka_run_group_tests(tests, make_parties, free_parties);
}
