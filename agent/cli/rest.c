// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/rest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/curl.h"
#include "common/cleanup.h"
#include "common/json.h"

#define ANSWER_MAX	(32U << 20)	/* bytes; 1000 events of 16 KiB are 16 MiB */
#define ANSWER_FIRST	4096U		/* bytes */
#define CONNECT_S	10
#define ANSWER_S	180		/* longer than the manager waits for a host to attach a disk */
#define API		"/api/v1"

/**
 * struct answer - what came, as far as it has come
 * @data: owned; erased when it is freed, like all memory of this process
 */
struct answer {
	char *data;
	size_t size;
	size_t room;
};

static void answer_done(struct answer *a)
{
	free(a->data);
}

static size_t take_data(char *data, size_t one, size_t n, void *userdata)
{
	struct answer *a = userdata;
	size_t size = one * n;

	if (size > ANSWER_MAX - a->size)
		return 0;
	if (size > a->room - a->size) {
		size_t room = a->room ? a->room : ANSWER_FIRST;
		char *grown;

		while (room < a->size + size)
			room *= 2;
		grown = realloc(a->data, room);
		if (!grown)
			return 0;
		a->data = grown;
		a->room = room;
	}
	memcpy(a->data + a->size, data, size);
	a->size += size;
	return size;
}

int rest_check_url(const char *url, struct error *e)
{
	static const char scheme[] = "https://";
	const char *host = url + sizeof(scheme) - 1;

	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0 || !*host || *host == ':' ||
	    host[strcspn(host, "/?#@ \\")])
		return error_usage(e, "The manager's address must be https://HOST or https://HOST:PORT, not \"%s\"",
				   url);
	return 0;
}

char *rest_escape(const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char digits[] = "0123456789ABCDEF";
	char *escaped = malloc(strlen(word) * 3 + 1), *at = escaped;

	for (; escaped && *word; word++) {
		if (strchr(plain, *word)) {
			*at++ = *word;
			continue;
		}
		*at++ = '%';
		*at++ = digits[(unsigned char)*word >> 4];
		*at++ = digits[(unsigned char)*word & 15];
	}
	if (escaped)
		*at = '\0';
	return escaped;
}

/**
 * struct request - one request on its way
 * @lib: the library
 * @curl: its handle
 * @headers: owned
 * @target: who is asked
 */
struct request {
	struct curl_library lib;
	CURL *curl;
	struct curl_slist *headers;
	const struct rest_target *target;
};

static void request_done(struct request *rq)
{
	if (rq->curl)
		rq->lib.easy_cleanup(rq->curl);
	if (rq->headers)
		rq->lib.slist_free_all(rq->headers);
}

#define _cleanup_request_ __attribute__((cleanup(request_done)))

static int unreached(const struct request *rq, CURLcode code, const char *why, struct error *e)
{
	int number = code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT :
		     code == CURLE_PEER_FAILED_VERIFICATION ? EKEYREJECTED :
		     code == CURLE_OUT_OF_MEMORY ? ENOMEM : ECONNREFUSED;
	const char *advice = "see whether it runs and can be reached from here";

	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
		advice = "give the manager's own CA by --ca";
	return error_fail(e, number, "Cannot reach the manager at %s: %s; %s", rq->target->url,
			  *why ? why : rq->lib.easy_strerror(code), advice);
}

/* A refusal carries the words of the manager; what is none carries none. */
static int refused(const struct rest_target *target, long http, const json_t *body,
		   struct error *e)
{
	const json_t *error = json_object_get(body, "error");
	const char *words = json_string_value(json_object_get(error, "text"));
	json_int_t status = json_integer_value(json_object_get(error, "status"));

	if (!words)
		return error_fail(e, EPROTO, "%s answered with HTTP status %ld: it is no vmcrypt manager, or something stands between",
				  target->url, http);
	if (status < EXIT_FAILED || status > EXIT_NOT_ALLOWED)
		status = EXIT_FAILED;
	return error_set(e, EREMOTEIO, (enum exit_status)status, /* reason= */ 0, "%s", words);
}

static int read_answer(const struct rest_target *target, long http, const struct answer *a,
		       json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *body = NULL;
	bool good = http >= 200 && http < 300;
	int r = 0;

	if (a->size > 0)
		r = json_parse(a->data, a->size, ANSWER_MAX, "answer of the manager", &body, e);
	if (good && r < 0)
		return r;
	if (!good)
		return refused(target, http, body, e);
	*ret = TAKE_PTR(body);
	return 0;
}

static int add_header(struct request *rq, const char *line)
{
	struct curl_slist *longer = rq->lib.slist_append(rq->headers, line);

	if (!longer)
		return -ENOMEM;
	rq->headers = longer;
	return 0;
}

static int add_token(struct request *rq, const struct secret *token)
{
	_cleanup_free_ char *line = NULL;

	if (token->size == 0)
		return 0;
	if (asprintf(&line, "Authorization: Bearer %.*s", (int)token->size,
		     (const char *)token->data) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	return add_header(rq, line);
}

static void set_number(struct request *rq, CURLoption option, long value)
{
	rq->lib.easy_setopt(rq->curl, option, value);
}

static void set_text(struct request *rq, CURLoption option, const char *value)
{
	rq->lib.easy_setopt(rq->curl, option, value);
}

static void set_tls(struct request *rq)
{
	const struct rest_target *target = rq->target;

	set_text(rq, CURLOPT_PROTOCOLS_STR, "https");
	set_number(rq, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	set_number(rq, CURLOPT_SSL_VERIFYPEER, 1);
	set_number(rq, CURLOPT_SSL_VERIFYHOST, 2);
	set_text(rq, CURLOPT_PROXY, "");
	if (target->ca) {
		set_text(rq, CURLOPT_CAINFO, target->ca);
		set_text(rq, CURLOPT_CAPATH, NULL);
	}
	if (target->certificate) {
		set_text(rq, CURLOPT_SSLCERT, target->certificate);
		set_text(rq, CURLOPT_SSLKEY, target->certificate_key);
	}
}

static void set_bounds(struct request *rq)
{
	set_number(rq, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	set_number(rq, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	set_number(rq, CURLOPT_TIMEOUT, ANSWER_S);
	set_number(rq, CURLOPT_NOSIGNAL, 1);
	set_number(rq, CURLOPT_FOLLOWLOCATION, 0);
	/* an object called ".." is none of the one above it */
	set_number(rq, CURLOPT_PATH_AS_IS, 1);
}

static int set_request(struct request *rq, const char *method, const char *path,
		       const struct secret *body)
{
	_cleanup_free_ char *url = NULL;

	if (asprintf(&url, "%s" API "%s", rq->target->url, path) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	if (add_header(rq, "Accept: application/json") < 0 ||
	    add_token(rq, &rq->target->token) < 0 ||
	    (body->size > 0 && add_header(rq, "Content-Type: application/json") < 0))
		return -ENOMEM;
	set_text(rq, CURLOPT_URL, url);
	if (body->size > 0) {
		set_number(rq, CURLOPT_POSTFIELDSIZE, (long)body->size);
		set_text(rq, CURLOPT_POSTFIELDS, (const char *)body->data);
	}
	set_text(rq, CURLOPT_CUSTOMREQUEST, method);
	rq->lib.easy_setopt(rq->curl, CURLOPT_HTTPHEADER, rq->headers);
	return 0;
}

/* libcurl asks about once a second, and when something has come. */
static int is_interrupted(void *userdata, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
			  curl_off_t up)
{
	(void)down_all;
	(void)down;
	(void)up_all;
	(void)up;
	return interrupt_wait(userdata, /* ms= */ 0);
}

static void set_interrupt(struct request *rq)
{
	if (!rq->target->interrupt)
		return;
	set_number(rq, CURLOPT_NOPROGRESS, 0);
	rq->lib.easy_setopt(rq->curl, CURLOPT_XFERINFOFUNCTION, is_interrupted);
	rq->lib.easy_setopt(rq->curl, CURLOPT_XFERINFODATA, rq->target->interrupt);
}

static int perform(struct request *rq, json_t **ret, struct error *e)
{
	__attribute__((cleanup(answer_done))) struct answer answer = { 0 };
	char why[CURL_ERROR_SIZE] = "";
	long http = 0;
	CURLcode code;

	rq->lib.easy_setopt(rq->curl, CURLOPT_ERRORBUFFER, why);
	rq->lib.easy_setopt(rq->curl, CURLOPT_WRITEFUNCTION, take_data);
	rq->lib.easy_setopt(rq->curl, CURLOPT_WRITEDATA, &answer);
	code = rq->lib.easy_perform(rq->curl);
	rq->lib.easy_getinfo(rq->curl, CURLINFO_RESPONSE_CODE, &http);
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return error_fail(e, EINTR, "Interrupted");
	if (code == CURLE_WRITE_ERROR)
		return error_fail(e, EFBIG, "The manager's answer is longer than %u bytes, or memory ran out",
				  ANSWER_MAX);
	if (code != CURLE_OK)
		return unreached(rq, code, why, e);
	return read_answer(rq->target, http, &answer, ret, e);
}

int rest_call(const struct rest_target *target, const char *method, const char *path,
	      json_t *body, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret text = SECRET_NULL;
	_cleanup_request_ struct request rq = { .target = target };
	int r = 0;

	if (body)
		r = json_format_secret(body, &text, e);
	if (r < 0)
		return r;
	r = curl_library_load(&rq.lib, e);
	if (r < 0)
		return r;
	if (rq.lib.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_oom(e);
	rq.curl = rq.lib.easy_init();
	if (!rq.curl)
		return error_oom(e);
	set_tls(&rq);
	set_bounds(&rq);
	set_interrupt(&rq);
	r = set_request(&rq, method, path, &text);
	return r < 0 ? error_oom(e) : perform(&rq, ret, e);
}
