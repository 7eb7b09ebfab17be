/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the thread of the connections tells the links, and takes from them. None of it waits
 * but for the store.
 */
#ifndef MANAGER_LINKS_CHANNEL_H
#define MANAGER_LINKS_CHANNEL_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/errors.h"

struct link;
struct links;

/**
 * link_new() - a host has dialled
 * @peer: its certificate, NULL without
 * @address: from where
 * @ret: to be given back to link_closed() whatever comes of it
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED: not a host, or not one any more.
 */
int link_new(struct links *links, X509 *peer, const char *address, struct link **ret,
	     struct error *e);

/** link_opened() - it is a channel now, and replaces one of the same host */
void link_opened(struct link *link);

/**
 * link_received() - one whole message
 *
 * Return: 0; -errno: close the channel, *@e says why.
 */
int link_received(struct link *link, const char *text, size_t size, struct error *e);

/** link_take() - the next message to send, malloc'ed; NULL: there is none */
char *link_take(struct link *link, size_t *ret_size);

/** link_wants() - whether link_take() or link_over() has something to say */
bool link_wants(struct link *link);

/** link_over() - whether the connection is to be closed */
bool link_over(struct link *link);

/** link_closed() - the connection is gone; @link is not used any more */
void link_closed(struct link *link);

#endif
