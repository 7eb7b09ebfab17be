/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcurl, loaded when a manager is asked: it draws in two dozen libraries that
 * a command for the agent of this host, run by root, should not carry.
 */
#ifndef CLI_CURL_H
#define CLI_CURL_H

#include <curl/curl.h>

#include "common/errors.h"

/**
 * struct curl_library - the functions of libcurl that are used
 *
 * Each as curl/curl.h has it under the name ``curl_`` and the member's.
 */
struct curl_library {
	CURLcode (*global_init)(long flags);
	CURL *(*easy_init)(void);
	CURLcode (*easy_setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*easy_perform)(CURL *curl);
	CURLcode (*easy_getinfo)(CURL *curl, CURLINFO info, ...);
	const char *(*easy_strerror)(CURLcode code);
	void (*easy_cleanup)(CURL *curl);
	struct curl_slist *(*slist_append)(struct curl_slist *list, const char *line);
	void (*slist_free_all)(struct curl_slist *list);
};

/**
 * curl_library_load() - load libcurl; it stays loaded
 * @ret: written only on success
 *
 * Return: 0; -ENOENT: it is not installed, or too old.
 */
int curl_library_load(struct curl_library *ret, struct error *e);

#endif
