/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The REST interface: a table of routes, who may use them, what is recorded.
 * openapi.yaml describes it to the world; a test holds the two together.
 */
#ifndef MANAGER_API_H
#define MANAGER_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/errors.h"
#include "crypto/locator.h"
#include "manager/http.h"
#include "manager/permission.h"
#include "manager/session.h"

#define API_PREFIX	"/api/v1"
#define API_PARAMS_MAX	2
#define API_PARAM_SIZE	129	/* bytes of a part of the path, with the NUL */

struct manager;
struct api_call;

/**
 * enum api_flags - of a route
 * @API_OPEN: needs no login
 * @API_CREATES: 201 rather than 200
 * @API_BODY: has a JSON object for a body
 * @API_SLOW: waits for hosts or key servers; half of the threads are for others
 */
enum api_flags {
	API_OPEN	= 1 << 0,
	API_CREATES	= 1 << 1,
	API_BODY	= 1 << 2,
	API_SLOW	= 1 << 3,
};

/**
 * struct api_route - what can be asked
 * @method: of HTTP
 * @pattern: below API_PREFIX; "{…}" stands for one part of the path
 * @privilege: that the user has to hold; NULL: @authorize asks
 * @kind: of the object on which, "cluster", "host" or "vm", named by the first
 *	parameter; NULL: global
 * @about: kind of the object that the first parameter names, where no privilege is held
 *	on it: "user", "role" and so on; NULL: what @authorize names, else global
 * @operation: recorded with intent and outcome; NULL: nothing is
 * @type: vSphere's name of the event that it was done, or NULL
 * @members: that the body may have, ends in NULL
 * @authorize: what @privilege does not say of who may; names the object, and the VM and
 *	the key where it can. Before the intent, so that whoever may not leaves no more
 *	than refusals in the record: it changes nothing. NULL: @privilege is all
 * @wants: the privilege that @authorize asks for, where several routes share it
 * @handler: *ret stays NULL for an answer without a body
 */
struct api_route {
	const char *method;
	const char *pattern;
	const char *privilege;
	const char *kind;
	const char *about;
	unsigned int flags;
	const char *operation;
	const char *type;
	const char *const *members;
	int (*authorize)(struct api_call *call, struct error *e);
	const char *wants;
	int (*handler)(struct api_call *call, json_t **ret, struct error *e);
};

/**
 * struct api_call - one request under way
 * @user: who asks, "" before login
 * @params: what stood for "{…}"
 * @object: as in privilege_check(); for the record; a handler that makes one sets it.
 *	"": global
 * @vm: UUID, for the record, where it is known and the object is another
 * @key: its id, for the record, "" where none is known
 * @event: id of what is recorded, "" before the intent
 * @failed_type: vSphere's name of the event that it failed, where a handler knows it
 * @body: NULL without
 * @status: of HTTP, where the handler knows better than http_status(); else 0
 * @csv: malloc'ed, in place of JSON
 */
struct api_call {
	struct manager *manager;
	const struct http_request *rq;
	const struct api_route *route;
	struct session session;
	const char *user;
	char params[API_PARAMS_MAX][API_PARAM_SIZE];
	char object[2 * API_PARAM_SIZE];
	char vm[UUID_TEXT_SIZE];
	char key[KEY_ID_MAX + 1];
	char event[UUID_TEXT_SIZE];
	const char *failed_type;
	json_t *body;
	unsigned int status;
	char *csv;
	size_t csv_size;
};

/** api_routes() - all of them */
const struct api_route *api_routes(size_t *ret_count);

/**
 * api_serve() - answer one request; for web_settings.serve
 * @manager: struct manager *
 */
void api_serve(const struct http_request *rq, struct http_answer *an, void *manager);

/**
 * api_require() - privilege_check() for the caller, and a refusal is recorded
 *
 * REFUSALS_A_MINUTE of one user are; how many were left out stands in the data of the
 * next one that is, "unrecorded_before".
 */
int api_require(struct api_call *call, const char *privilege, const char *object,
		struct error *e);

/** api_note_refusal() - that the caller was refused. @privilege: for lack of it; or NULL */
void api_note_refusal(const struct api_call *call, const char *privilege, const char *object);

/** api_run() - the handler, between intent and outcome where the route is recorded */
int api_run(struct api_call *call, json_t **ret, struct error *e);

/** api_require_on() - the same on the object "KIND:ID" */
int api_require_on(struct api_call *call, const char *privilege, const char *kind, const char *id,
		   struct error *e);

/**
 * api_require_encrypted() - a privilege on a VM, if that has encrypted disks; else none
 * @vm: UUID
 */
int api_require_encrypted(struct api_call *call, const char *privilege, const char *vm,
			  struct error *e);

/** api_may() - the same for lists: nothing is recorded, failures count as no */
bool api_may(const struct api_call *call, const char *privilege, const char *kind,
	     const char *id);

/**
 * struct api_listing - which documents are listed, and how
 * @kind: of the documents
 * @member: of the answer that holds them
 * @may_see: NULL: who has System.View on the document's object
 * @complete: what the document itself does not have; NULL: nothing
 */
struct api_listing {
	const char *kind;
	const char *member;
	bool (*may_see)(const struct api_call *call, const json_t *document);
	int (*complete)(struct api_call *call, json_t *document, struct error *e);
};

/** api_list() - what the caller may see of a kind: {MEMBER: [...]} */
int api_list(struct api_call *call, const struct api_listing *listing, json_t **ret,
	     struct error *e);

/** api_set_object() - "KIND:ID" for the record */
void api_set_object(struct api_call *call, const char *kind, const char *id);

/*
 * Members of the body; what is wrong with them is EXIT_USAGE.
 */

/** api_string() - of 1..@max bytes */
int api_string(const struct api_call *call, const char *key, size_t max, const char **ret,
	       struct error *e);

/** api_string_or_null() - the same; NULL when it is null or not there */
int api_string_or_null(const struct api_call *call, const char *key, size_t max,
		       const char **ret, struct error *e);

/** api_bool() - @ret keeps its value when it is not there */
int api_bool(const struct api_call *call, const char *key, bool *ret, struct error *e);

/** api_password() - into the secure heap; empty when it is not there */
int api_password(const struct api_call *call, const char *key, struct secret *ret,
		 struct error *e);

/* What authorizes, by file. */
int api_session_prove(struct api_call *call, struct error *e);
int api_users_name(struct api_call *call, struct error *e);
int api_roles_name(struct api_call *call, struct error *e);
int api_permissions_may_set(struct api_call *call, struct error *e);
int api_permissions_may_delete(struct api_call *call, struct error *e);
int api_clusters_may_change(struct api_call *call, struct error *e);
int api_hosts_may_change(struct api_call *call, struct error *e);
int api_hosts_may_token(struct api_call *call, struct error *e);
int api_hosts_may_token_delete(struct api_call *call, struct error *e);
int api_vms_may_register(struct api_call *call, struct error *e);
int api_vms_may_move(struct api_call *call, struct error *e);
int api_disks_may_create(struct api_call *call, struct error *e);
int api_disks_may(struct api_call *call, struct error *e);
int api_disks_may_forget(struct api_call *call, struct error *e);
int api_keys_may_register(struct api_call *call, struct error *e);
int api_keys_may_remove(struct api_call *call, struct error *e);

/* Handlers, by file. */
int api_about(struct api_call *call, json_t **ret, struct error *e);
int api_status(struct api_call *call, json_t **ret, struct error *e);
int api_session_new(struct api_call *call, json_t **ret, struct error *e);
int api_session_get(struct api_call *call, json_t **ret, struct error *e);
int api_session_end(struct api_call *call, json_t **ret, struct error *e);
int api_session_password(struct api_call *call, json_t **ret, struct error *e);
int api_session_privileges(struct api_call *call, json_t **ret, struct error *e);

int api_users_list(struct api_call *call, json_t **ret, struct error *e);
int api_users_create(struct api_call *call, json_t **ret, struct error *e);
int api_users_get(struct api_call *call, json_t **ret, struct error *e);
int api_users_change(struct api_call *call, json_t **ret, struct error *e);
int api_users_delete(struct api_call *call, json_t **ret, struct error *e);

int api_privileges_list(struct api_call *call, json_t **ret, struct error *e);
int api_roles_list(struct api_call *call, json_t **ret, struct error *e);
int api_roles_create(struct api_call *call, json_t **ret, struct error *e);
int api_roles_get(struct api_call *call, json_t **ret, struct error *e);
int api_roles_replace(struct api_call *call, json_t **ret, struct error *e);
int api_roles_delete(struct api_call *call, json_t **ret, struct error *e);
int api_permissions_list(struct api_call *call, json_t **ret, struct error *e);
int api_permissions_set(struct api_call *call, json_t **ret, struct error *e);
int api_permissions_delete(struct api_call *call, json_t **ret, struct error *e);

int api_events_list(struct api_call *call, json_t **ret, struct error *e);
int api_events_verify(struct api_call *call, json_t **ret, struct error *e);

int api_clusters_list(struct api_call *call, json_t **ret, struct error *e);
int api_clusters_create(struct api_call *call, json_t **ret, struct error *e);
int api_clusters_get(struct api_call *call, json_t **ret, struct error *e);
int api_clusters_change(struct api_call *call, json_t **ret, struct error *e);
int api_clusters_delete(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_list(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_get(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_change(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_tokens(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_token_delete(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_token(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_join(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_enable(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_disable(struct api_call *call, json_t **ret, struct error *e);
int api_hosts_remove(struct api_call *call, json_t **ret, struct error *e);
int api_vms_list(struct api_call *call, json_t **ret, struct error *e);
int api_vms_register(struct api_call *call, json_t **ret, struct error *e);
int api_vms_get(struct api_call *call, json_t **ret, struct error *e);
int api_vms_move(struct api_call *call, json_t **ret, struct error *e);
int api_vms_unregister(struct api_call *call, json_t **ret, struct error *e);

int api_disks_list(struct api_call *call, json_t **ret, struct error *e);
int api_disks_create(struct api_call *call, json_t **ret, struct error *e);
int api_disks_get(struct api_call *call, json_t **ret, struct error *e);
int api_disks_attach(struct api_call *call, json_t **ret, struct error *e);
int api_disks_detach(struct api_call *call, json_t **ret, struct error *e);
int api_disks_lock(struct api_call *call, json_t **ret, struct error *e);
int api_disks_forget(struct api_call *call, json_t **ret, struct error *e);
int api_disks_unlock(struct api_call *call, json_t **ret, struct error *e);

int api_providers_list(struct api_call *call, json_t **ret, struct error *e);
int api_providers_create(struct api_call *call, json_t **ret, struct error *e);
int api_providers_get(struct api_call *call, json_t **ret, struct error *e);
int api_providers_delete(struct api_call *call, json_t **ret, struct error *e);
int api_providers_status(struct api_call *call, json_t **ret, struct error *e);
int api_providers_look(struct api_call *call, json_t **ret, struct error *e);
int api_providers_server_add(struct api_call *call, json_t **ret, struct error *e);
int api_providers_server_change(struct api_call *call, json_t **ret, struct error *e);
int api_providers_server_remove(struct api_call *call, json_t **ret, struct error *e);
int api_providers_certificate_get(struct api_call *call, json_t **ret, struct error *e);
int api_providers_certificate_set(struct api_call *call, json_t **ret, struct error *e);
int api_providers_backup(struct api_call *call, json_t **ret, struct error *e);
int api_providers_restore(struct api_call *call, json_t **ret, struct error *e);
int api_defaults_list(struct api_call *call, json_t **ret, struct error *e);
int api_defaults_set(struct api_call *call, json_t **ret, struct error *e);
int api_defaults_clear(struct api_call *call, json_t **ret, struct error *e);

int api_keys_list(struct api_call *call, json_t **ret, struct error *e);
int api_keys_get(struct api_call *call, json_t **ret, struct error *e);
int api_keys_register(struct api_call *call, json_t **ret, struct error *e);
int api_keys_remove(struct api_call *call, json_t **ret, struct error *e);

#endif
