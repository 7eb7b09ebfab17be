/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/user.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/fileio.h"
#include "common/json.h"
#include "common/lock.h"
#include "manager/permission.h"
#include "manager/record.h"
#include "manager/session.h"
#include "manager/store.h"
#include "manager/user_known.h"
#include "manager/user_password.h"
#include "manager/user_throttle.h"

#define KIND "user"

/* A name's delay stays short, for somebody else may be guessing at it; an address waits
 * longer, but a whole office may share it. */
static const struct throttle_rule name_rule = { .free = 3, .max = 60 };
static const struct throttle_rule address_rule = { .free = 10, .max = 900 };

/* Of the threads that answer requests so many may wait for scrypt with a password that
 * nobody has shown to be right; the others are for those who are logged in. */
#define WAITING_MAX 4

/* Refusals that are recorded at once, and seconds until there may be one more. */
#define REFUSALS_MAX	100
#define REFUSAL_EVERY	10

/*
 * @lock: guards the tables and the numbers
 * @deriving: one scrypt at a time, which bounds its memory
 * @known: who has logged in from where: such a pair waits for its own failures alone
 * @waiting: for @deriving, in order to log in
 * @refusals: that were recorded and count still, at @refusals_at
 * @unrecorded: since the last one that was
 */
struct users {
	struct store *store;
	struct sessions *sessions;
	int64_t (*clock)(void);
	pthread_mutex_t lock;
	pthread_mutex_t deriving;
	struct throttle *names;
	struct throttle *addresses;
	struct known known;
	unsigned int waiting;
	unsigned int refusals;
	int64_t refusals_at;
	uint64_t unrecorded;
};

int users_new(struct store *store, struct sessions *sessions, int64_t (*clock)(void),
	      struct users **ret, struct error *e)
{
	struct users *users = calloc(1, sizeof(*users));

	if (!users)
		return error_oom(e);
	users->store = store;
	users->sessions = sessions;
	users->clock = clock ? clock : time_since_boot;
	pthread_mutex_init(&users->lock, NULL);
	pthread_mutex_init(&users->deriving, NULL);
	users->names = throttle_new(&name_rule);
	users->addresses = throttle_new(&address_rule);
	if (!users->names || !users->addresses) {
		users_free(users);
		return error_oom(e);
	}
	*ret = users;
	return 0;
}

void users_free(struct users *users)
{
	if (!users)
		return;
	throttle_free(users->names);
	throttle_free(users->addresses);
	pthread_mutex_destroy(&users->deriving);
	pthread_mutex_destroy(&users->lock);
	free(users);
}

static int find(struct users *users, const char *name, json_t **ret, struct error *e)
{
	int r = user_name_valid(name) ? store_find(users->store, KIND, "name", name, ret, e) : -ENOENT;

	if (r == -ENOENT)
		return error_fail(e, r, "There is no user \"%.64s\": see the list of users", name);
	return r;
}

static int check_password(const struct secret *password, struct error *e)
{
	if (password->size < USER_PASSWORD_MIN || password->size > PASSWORD_MAX)
		return error_usage(e, "The password has %zu bytes: take %d to %zu", password->size,
				   USER_PASSWORD_MIN, PASSWORD_MAX);
	return 0;
}

static int check_certificate(const char *certificate, struct error *e)
{
	size_t n = strnlen(certificate, USER_CERTIFICATE_SIZE);

	if (n != USER_CERTIFICATE_SIZE - 1 || strspn(certificate, "0123456789abcdef") != n)
		return error_usage(e, "The certificate is not named by its SHA-256: 64 digits of base 16 "
				   "in lower case");
	return 0;
}

/* JSON of a password, null for none; scrypt outside of any transaction. */
static int hash(struct users *users, const struct secret *password, json_t **ret, struct error *e)
{
	int r;

	if (!password) {
		*ret = json_null();
		return 0;
	}
	r = check_password(password, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&users->deriving);
	r = password_hash(password, ret, e);
	pthread_mutex_unlock(&users->deriving);
	return r;
}

static int certificate_free(struct users *users, const char *certificate, const char *name,
			    struct error *e)
{
	_cleanup_json_ json_t *other = NULL;
	const char *owner;
	int r;

	r = store_find(users->store, KIND, "certificate", certificate, &other, e);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	owner = json_string_value(json_object_get(other, "name"));
	if (owner && strcmp(owner, name) == 0)
		return 0;
	return error_fail(e, EEXIST, "The certificate belongs to user \"%s\": take it away there first",
			  owner ? owner : "");
}

struct arrival {
	struct users *users;
	const json_t *document;
};

static int insert(struct store *store, void *userdata, struct error *e)
{
	const struct arrival *arrival = userdata;
	const json_t *document = arrival->document;
	const char *name = json_string_value(json_object_get(document, "name"));
	const char *certificate = json_string_value(json_object_get(document, "certificate"));
	char id[UUID_TEXT_SIZE];
	int r;

	r = uuid_random_text(id);
	if (r < 0)
		return error_fail(e, r, "Cannot create user \"%s\": %s", name, strerror(-r));
	r = certificate ? certificate_free(arrival->users, certificate, name, e) : 0;
	if (r < 0)
		return r;
	r = store_insert(store, KIND, id, document, e);
	if (r == -EEXIST)
		error_fail(e, r, "There is a user \"%s\" already: choose another name", name);
	return r;
}

int user_create(struct users *users, const char *name, const struct secret *password,
		const char *certificate, struct error *e)
{
	_cleanup_json_ json_t *hashed = NULL, *document = NULL;
	char created[TIME_TEXT_SIZE];
	int r;

	if (!user_name_valid(name))
		return error_usage(e, "A user's name is 1 to %d letters, digits, '.', '_', '-' or '@' and "
				   "begins with a letter or a digit", USER_NAME_MAX);
	if (strcmp(name, RECORD_USER_MANAGER) == 0)
		return error_usage(e, "The name \"%s\" stands for the manager itself in its events: choose "
				   "another one", name);
	r = certificate ? check_certificate(certificate, e) : 0;
	if (r == 0)
		r = hash(users, password, &hashed, e);
	if (r < 0)
		return r;
	time_format(time_now(), created);
	document = json_pack("{s:s, s:O, s:s?, s:b, s:s}", "name", name, "password", hashed,
			     "certificate", certificate, "disabled", 0, "created", created);
	if (!document)
		return error_oom(e);
	return store_write(users->store, insert,
			   &(struct arrival){ .users = users, .document = document }, e);
}

/* One change of a user's document, in one transaction with its checks. */
struct change {
	struct users *users;
	const char *actor;
	const char *name;
	json_t *members;		/* NULL: delete the user */
};

static int apply(struct users *users, const struct change *change, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	const char *certificate, *id;
	int r;

	r = find(users, change->name, &document, e);
	if (r < 0)
		return r;
	/* Who is oneself holds what one holds. */
	if (change->actor && strcmp(change->actor, change->name) != 0) {
		r = permission_covers(users->store, change->actor, change->name, e);
		if (r < 0)
			return r;
	}
	certificate = json_string_value(json_object_get(change->members, "certificate"));
	if (certificate) {
		r = certificate_free(users, certificate, change->name, e);
		if (r < 0)
			return r;
	}
	id = json_string_value(json_object_get(document, "id"));
	if (change->members) {
		if (json_object_update(document, change->members) < 0)
			return error_oom(e);
		return store_update(users->store, KIND, id, document, e);
	}
	r = permission_remove_all(users->store, change->name, /* object= */ NULL, e);
	if (r < 0)
		return r;
	return store_delete(users->store, KIND, id, e);
}

static bool takes_away(const struct change *change)
{
	return !change->members || json_is_true(json_object_get(change->members, "disabled"));
}

static int change_work(struct store *store, void *userdata, struct error *e)
{
	const struct change *change = userdata;
	int r = apply(change->users, change, e);

	return r == 0 && takes_away(change) ? permission_keep_administrator(store, e) : r;
}

static int change_user(struct change change, struct error *e)
{
	struct users *users = change.users;
	int r = store_write(users->store, change_work, &change, e);

	if (r == 0 && users->sessions)
		sessions_end_user(users->sessions, change.name);
	return r;
}

static int make_members(struct users *users, const struct user_changes *changes, json_t *members,
			struct error *e)
{
	const char *certificate = changes->certificate;
	json_t *hashed = NULL;
	int r = 0;

	if (changes->set_certificate && certificate)
		r = check_certificate(certificate, e);
	if (r == 0 && changes->password)
		r = hash(users, changes->password, &hashed, e);
	if (r < 0)
		return r;
	if ((hashed && json_object_set_new(members, "password", hashed) < 0) ||
	    (changes->set_certificate &&
	     json_object_set_new(members, "certificate",
				 certificate ? json_string(certificate) : json_null()) < 0) ||
	    (changes->set_disabled &&
	     json_object_set_new(members, "disabled", json_boolean(changes->disabled)) < 0))
		return error_oom(e);
	return 0;
}

int user_change(struct users *users, const char *actor, const char *name,
		const struct user_changes *changes, struct error *e)
{
	_cleanup_json_ json_t *members = json_object();
	int r = members ? make_members(users, changes, members, e) : error_oom(e);

	if (r < 0 || json_object_size(members) == 0)
		return r;
	return change_user((struct change){ users, actor, name, members }, e);
}

int user_set_password(struct users *users, const char *actor, const char *name,
		      const struct secret *password, struct error *e)
{
	return user_change(users, actor, name, &(struct user_changes){ .password = password }, e);
}

int user_set_certificate(struct users *users, const char *actor, const char *name,
			 const char *certificate, struct error *e)
{
	return user_change(users, actor, name, &(struct user_changes){
			   .set_certificate = true, .certificate = certificate }, e);
}

int user_set_disabled(struct users *users, const char *actor, const char *name, bool disabled,
		      struct error *e)
{
	return user_change(users, actor, name, &(struct user_changes){
			   .set_disabled = true, .disabled = disabled }, e);
}

int user_delete(struct users *users, const char *actor, const char *name, struct error *e)
{
	return change_user((struct change){ users, actor, name, NULL }, e);
}

static json_t *describe(const json_t *document)
{
	return json_pack("{s:O, s:b, s:O, s:O, s:O}", "name", json_object_get(document, "name"),
			 "has_password", (int) json_is_object(json_object_get(document, "password")),
			 "certificate", json_object_get(document, "certificate"), "disabled",
			 json_object_get(document, "disabled"), "created",
			 json_object_get(document, "created"));
}

int user_get(struct users *users, const char *name, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	json_t *answer;
	int r;

	r = find(users, name, &document, e);
	if (r < 0)
		return r;
	answer = describe(document);
	if (!answer)
		return error_fail(e, EBADMSG, "The document of user \"%s\" is not whole", name);
	*ret = answer;
	return 0;
}

int user_list(struct users *users, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *list = json_array();
	const json_t *document;
	size_t i;
	int r;

	r = store_list(users->store, KIND, NULL, NULL, &documents, e);
	if (r < 0)
		return r;
	json_array_foreach(documents, i, document)
		if (json_array_append_new(list, describe(document)) < 0)
			return error_oom(e);
	*ret = TAKE_PTR(list);
	return 0;
}

/* Under the lock: in whose name failures are counted. */
static const char *key_of(struct users *users, const char *name, const char *address,
			  char pair[KNOWN_PAIR_SIZE])
{
	if (!name)
		return NULL;
	known_pair(name, address, pair);
	return known_has(&users->known, pair) ? pair : name;
}

/* Counts the attempt, or says how long it has to wait. @name: NULL: it had none */
static unsigned int admit(struct users *users, const char *name, const char *address)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&users->lock);
	char pair[KNOWN_PAIR_SIZE];
	int64_t now = users->clock();
	const char *counted = key_of(users, name, address, pair);
	unsigned int by_name = counted ? throttle_wait(users->names, counted, now) : 0;
	unsigned int by_address = throttle_wait(users->addresses, address, now);

	if (by_name || by_address)
		return by_name > by_address ? by_name : by_address;
	/* Not counted: it was not this one who asked too often. */
	if (name && users->waiting >= WAITING_MAX)
		return 1;
	users->waiting += !!name;
	if (counted)
		throttle_count(users->names, counted, now);
	throttle_count(users->addresses, address, now);
	return 0;
}

static void no_longer_waits(struct users *users)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&users->lock);

	users->waiting--;
}

/* An address keeps its other failures: else one valid account would pay for
 * guessing at all the others. */
static void forgive(struct users *users, const char *name, const char *address)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&users->lock);
	char pair[KNOWN_PAIR_SIZE];
	const char *counted = key_of(users, name, address, pair);

	throttle_take_back(users->addresses, address);
	if (!counted)
		return;
	throttle_forgive(users->names, counted);
	known_put(&users->known, pair);
}

static int has_to_wait(unsigned int seconds, struct error *e)
{
	return error_set(e, EAGAIN, EXIT_NOT_ALLOWED, 0,
			 "Too many failed logins, or too many at once: try again in %u seconds",
			 seconds);
}

bool user_refusal_counts(struct users *users, uint64_t *ret_unrecorded)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&users->lock);
	int64_t now = users->clock(), gone = (now - users->refusals_at) / REFUSAL_EVERY;

	if (gone >= users->refusals) {
		users->refusals = 0;
		users->refusals_at = now;
	} else if (gone > 0) {
		users->refusals -= (unsigned int) gone;
		users->refusals_at += gone * REFUSAL_EVERY;
	}
	if (users->refusals >= REFUSALS_MAX) {
		users->unrecorded++;
		return false;
	}
	users->refusals++;
	*ret_unrecorded = users->unrecorded;
	users->unrecorded = 0;
	return true;
}

uint64_t user_refusals_take(struct users *users)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&users->lock);
	uint64_t unrecorded = users->unrecorded;

	users->unrecorded = 0;
	return unrecorded;
}

/* Whether the password is right for a user who may log in. */
static int verify(struct users *users, const char *name, const struct secret *password,
		  bool *ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	const json_t *stored;
	bool right = false;
	int r;

	r = user_name_valid(name) ? store_find(users->store, KIND, "name", name, &document, e) : -ENOENT;
	if (r < 0 && r != -ENOENT)
		return r;
	stored = json_object_get(document, "password");
	pthread_mutex_lock(&users->deriving);
	r = password_matches(stored, password, &right, e);
	pthread_mutex_unlock(&users->deriving);
	if (r < 0)
		return r;
	*ret = right && json_is_false(json_object_get(document, "disabled"));
	return 0;
}

int user_authenticate(struct users *users, const char *name, const struct secret *password,
		      const char *address, struct error *e)
{
	char key[THROTTLE_ADDRESS_SIZE];
	unsigned int wait;
	bool right = false;
	int r;

	throttle_address(address, key);
	wait = admit(users, name, key);
	if (wait)
		return has_to_wait(wait, e);
	r = 0;
	if (password->size > 0 && password->size <= PASSWORD_MAX)
		r = verify(users, name, password, &right, e);
	no_longer_waits(users);
	if (r < 0)
		return r;
	if (!right)
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
				 "Cannot log in: the name or the password is wrong");
	forgive(users, name, key);
	return 0;
}

int user_by_certificate(struct users *users, const char *certificate, const char *address,
			char ret_name[USER_NAME_MAX + 1], struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	char key[THROTTLE_ADDRESS_SIZE];
	const char *name;
	unsigned int wait;
	int r;

	throttle_address(address, key);
	wait = admit(users, /* name= */ NULL, key);
	if (wait)
		return has_to_wait(wait, e);
	r = check_certificate(certificate, NULL);
	if (r == 0)
		r = store_find(users->store, KIND, "certificate", certificate, &document, e);
	if (r < 0 && r != -ENOENT && r != -EINVAL)
		return r;
	name = json_string_value(json_object_get(document, "name"));
	if (r < 0 || !name || !json_is_false(json_object_get(document, "disabled")))
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
				 certificate[0] ? "Cannot log in: the client certificate is no user's" :
				 "No password and no client certificate: log in with either");
	forgive(users, /* name= */ NULL, key);
	snprintf(ret_name, USER_NAME_MAX + 1, "%s", name);
	return 0;
}
