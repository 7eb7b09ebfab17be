/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "https://"

static bool is_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

	return *text && *text != '.' && *text != '-' && !text[strspn(text, letters)];
}

/* "" stands for the usual port. */
static bool read_port(const char *text, uint16_t *ret)
{
	unsigned long port;

	*ret = ADDRESS_PORT;
	if (!*text)
		return true;
	if (*text != ':' || text[1] == '\0' || strspn(text + 1, "0123456789") != strlen(text + 1) ||
	    strlen(text + 1) > 5)
		return false;
	port = strtoul(text + 1, NULL, 10);
	*ret = (uint16_t)port;
	return port > 0 && port <= UINT16_MAX;
}

static bool split(char *text, struct address *ret)
{
	bool bracket = *text == '[';
	char *end = bracket ? strchr(text, ']') : text + strcspn(text, ":");
	char *name = bracket ? text + 1 : text;
	uint8_t binary[16];

	if (!end || !read_port(bracket ? end + 1 : end, &ret->port))
		return false;
	*end = '\0';
	if (strlen(name) > ADDRESS_NAME_MAX)
		return false;
	memcpy(ret->name, name, strlen(name) + 1);
	ret->numeric = inet_pton(bracket ? AF_INET6 : AF_INET, name, binary) == 1;
	return bracket ? ret->numeric : is_name(name);
}

int address_parse(const char *url, struct address *ret, struct error *e)
{
	char text[ADDRESS_NAME_MAX + sizeof("[]:65535/")];
	struct address address = { 0 };
	size_t n;

	if (strncmp(url, SCHEME, strlen(SCHEME)) != 0)
		return error_usage(e, "The manager's address has to begin with " SCHEME ", not as \"%.80s\" does",
				   url);
	url += strlen(SCHEME);
	n = strlen(url);
	if (n > 0 && url[n - 1] == '/')
		n--;
	if (n < sizeof(text)) {
		memcpy(text, url, n);
		text[n] = '\0';
		if (split(text, &address)) {
			*ret = address;
			return 0;
		}
	}
	return error_usage(e, "\"" SCHEME "%.80s\" is no address of a manager: " SCHEME "NAME or " SCHEME "NAME:PORT",
			   url);
}
