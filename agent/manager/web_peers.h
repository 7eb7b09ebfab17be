/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many connections each client address has, so that one client cannot take
 * them all. (libwebsockets could count them, but Debian builds it without that.)
 *
 * What is known of a descriptor is compared with the socket it is now, and so needs
 * no word of its end. For the thread that serves alone.
 */
#ifndef MANAGER_WEB_PEERS_H
#define MANAGER_WEB_PEERS_H

#include <stdbool.h>

struct web_peers;

/**
 * web_peers_new() - nobody is there yet
 * @max: connections that one address may have; 0: any number
 *
 * Return: NULL when out of memory.
 */
struct web_peers *web_peers_new(unsigned int max);
void web_peers_free(struct web_peers *peers);

/**
 * web_peers_admit() - whether a connection that was accepted may stay
 * @fd: its socket, IPv4 or IPv6; the caller's. All of an IPv6 network of 64 bits count
 *	as one address
 */
bool web_peers_admit(struct web_peers *peers, int fd);

#endif
