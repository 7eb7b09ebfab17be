// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/rest.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define ANSWER_MAX	(4U << 20)	/* bytes */
#define ANSWER_FIRST	4096U		/* bytes */
#define CONNECT_S	10L
#define ANSWER_S	120L		/* a backup derives keys for some seconds */
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
	char *escaped = curl_easy_escape(NULL, word, (int)strlen(word));
	char *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

static int unreached(const struct rest_target *target, CURLcode code, const char *why,
		     struct error *e)
{
	int number = code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT :
		     code == CURLE_PEER_FAILED_VERIFICATION ? EKEYREJECTED :
		     code == CURLE_OUT_OF_MEMORY ? ENOMEM : ECONNREFUSED;
	const char *advice = "see whether it runs and can be reached from here";

	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
		advice = "give the manager's own CA by --ca";
	return error_fail(e, number, "Cannot reach the manager at %s: %s; %s", target->url,
			  *why ? why : curl_easy_strerror(code), advice);
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

static int add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	if (!longer)
		return -ENOMEM;
	*headers = longer;
	return 0;
}

static int add_token(struct curl_slist **headers, const struct secret *token)
{
	_cleanup_free_ char *line = NULL;

	if (token->size == 0)
		return 0;
	if (asprintf(&line, "Authorization: Bearer %.*s", (int)token->size,
		     (const char *)token->data) < 0)
		return -ENOMEM;
	return add_header(headers, line);
}

static void set_tls(CURL *curl, const struct rest_target *target)
{
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (target->ca) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, target->ca);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	if (target->certificate) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, target->certificate);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, target->certificate_key);
	}
}

static void set_bounds(CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_S);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	/* an object called ".." is none of the one above it */
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
}

static int set_request(CURL *curl, const struct rest_target *target, const char *method,
		       const char *path, const struct secret *body, struct curl_slist **headers)
{
	_cleanup_free_ char *url = NULL;

	if (asprintf(&url, "%s" API "%s", target->url, path) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	if (add_header(headers, "Accept: application/json") < 0 ||
	    add_token(headers, &target->token) < 0 ||
	    (body->size > 0 && add_header(headers, "Content-Type: application/json") < 0))
		return -ENOMEM;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	if (body->size > 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body->size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)body->data);
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
	return 0;
}

static int perform(CURL *curl, const struct rest_target *target, json_t **ret, struct error *e)
{
	__attribute__((cleanup(answer_done))) struct answer answer = { 0 };
	char why[CURL_ERROR_SIZE] = "";
	long http = 0;
	CURLcode code;

	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
	if (code == CURLE_WRITE_ERROR)
		return error_fail(e, EFBIG, "The manager's answer is longer than %u bytes, or memory ran out",
				  ANSWER_MAX);
	if (code != CURLE_OK)
		return unreached(target, code, why, e);
	return read_answer(target, http, &answer, ret, e);
}

int rest_call(const struct rest_target *target, const char *method, const char *path,
	      json_t *body, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret text = SECRET_NULL;
	struct curl_slist *headers = NULL;
	CURL *curl;
	int r = 0;

	if (body)
		r = json_format_secret(body, &text, e);
	if (r < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_oom(e);
	curl = curl_easy_init();
	if (!curl)
		return error_oom(e);
	set_tls(curl, target);
	set_bounds(curl);
	r = set_request(curl, target, method, path, &text, &headers);
	r = r < 0 ? error_oom(e) : perform(curl, target, ret, e);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	return r;
}
