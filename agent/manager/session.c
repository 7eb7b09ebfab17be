/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/session.h"

#include <errno.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/secret.h"

struct entry {
	uint8_t hash[SHA256_DIGEST_LENGTH];
	char user[USER_NAME_MAX + 1];
	int64_t began;			/* by the clock */
	int64_t used;
	int64_t started;		/* since 1970, for people */
	bool open;
};

struct sessions {
	pthread_mutex_t lock;
	int64_t (*clock)(void);
	uint64_t epoch;
	struct entry entry[SESSIONS_MAX];
};

int sessions_new(int64_t (*clock)(void), struct sessions **ret, struct error *e)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));

	if (!sessions)
		return error_oom(e);
	pthread_mutex_init(&sessions->lock, NULL);
	sessions->clock = clock ? clock : time_since_boot;
	*ret = sessions;
	return 0;
}

void sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return;
	pthread_mutex_destroy(&sessions->lock);
	free(sessions);
}

static bool over(const struct entry *entry, int64_t now)
{
	return now - entry->used >= SESSION_IDLE || now - entry->began >= SESSION_LIFE;
}

/* Under the lock: closes what is over. Return: a free place, or NULL. */
static struct entry *sweep(struct sessions *sessions, int64_t now)
{
	struct entry *vacant = NULL;
	size_t i;

	for (i = 0; i < SESSIONS_MAX; i++) {
		struct entry *entry = &sessions->entry[i];

		if (entry->open && over(entry, now))
			*entry = (struct entry){ .open = false };
		if (!entry->open && !vacant)
			vacant = entry;
	}
	return vacant;
}

/* Under the lock: the session of a user that was idle longest, once they have all
 * that one user may. */
static struct entry *surplus(struct sessions *sessions, const char *user)
{
	struct entry *oldest = NULL;
	size_t n = 0, i;

	for (i = 0; i < SESSIONS_MAX; i++) {
		struct entry *entry = &sessions->entry[i];

		if (!entry->open || strcmp(entry->user, user) != 0)
			continue;
		n++;
		if (!oldest || entry->used < oldest->used)
			oldest = entry;
	}
	return n >= SESSIONS_PER_USER ? oldest : NULL;
}

/* Return: 0; -EINVAL for what cannot be a token. */
static int hash_token(const char *token, uint8_t ret[SHA256_DIGEST_LENGTH])
{
	uint8_t raw[(SESSION_TOKEN_SIZE - 1) / 2];
	int r = -EINVAL;

	if (token && strnlen(token, SESSION_TOKEN_SIZE) == SESSION_TOKEN_SIZE - 1 &&
	    hex_decode(token, raw, sizeof(raw)) == 0 && SHA256(raw, sizeof(raw), ret))
		r = 0;
	erase(raw, sizeof(raw));
	return r;
}

static struct entry *find(struct sessions *sessions, const uint8_t hash[SHA256_DIGEST_LENGTH])
{
	size_t i;

	for (i = 0; i < SESSIONS_MAX; i++)
		if (sessions->entry[i].open &&
		    memcmp(sessions->entry[i].hash, hash, SHA256_DIGEST_LENGTH) == 0)
			return &sessions->entry[i];
	return NULL;
}

int session_new(struct sessions *sessions, const char *user, char ret_token[SESSION_TOKEN_SIZE],
		struct error *e)
{
	struct entry fresh = { .open = true, .started = time_now() };
	uint8_t raw[(SESSION_TOKEN_SIZE - 1) / 2];
	struct entry *place, *extra;
	int r;

	if (!user_name_valid(user))
		return error_usage(e, "\"%.64s\" is no user's name", user);
	r = getrandom_full(raw, sizeof(raw));
	if (r < 0)
		return error_fail(e, r, "Cannot begin a session of \"%s\": %s", user, strerror(-r));
	SHA256(raw, sizeof(raw), fresh.hash);
	memcpy(fresh.user, user, strlen(user) + 1);

	pthread_mutex_lock(&sessions->lock);
	fresh.began = fresh.used = sessions->clock();
	place = sweep(sessions, fresh.began);
	extra = surplus(sessions, user);
	if (extra)
		place = extra;
	if (place)
		*place = fresh;
	pthread_mutex_unlock(&sessions->lock);
	if (place)
		hex_encode(raw, sizeof(raw), ret_token);
	erase(raw, sizeof(raw));
	if (!place)
		return error_fail(e, EUSERS, "Cannot begin a session of \"%s\": %d are open; log out of "
				  "some, or wait until they end", user, SESSIONS_MAX);
	return 0;
}

static int no_session(struct error *e)
{
	return error_set(e, EKEYEXPIRED, EXIT_NOT_ALLOWED, 0,
			 "Not logged in, or the session is over: log in");
}

int session_check(struct sessions *sessions, const char *token, struct session *ret,
		  struct error *e)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct session session;
	struct entry *entry;
	bool ok = false;
	int64_t now;

	if (hash_token(token, hash) < 0)
		return no_session(e);
	pthread_mutex_lock(&sessions->lock);
	now = sessions->clock();
	entry = find(sessions, hash);
	if (entry && over(entry, now)) {
		*entry = (struct entry){ .open = false };
	} else if (entry) {
		entry->used = now;
		memcpy(session.user, entry->user, sizeof(session.user));
		session.started = entry->started;
		session.expires = entry->started + SESSION_LIFE;
		ok = true;
	}
	pthread_mutex_unlock(&sessions->lock);
	if (!ok)
		return no_session(e);
	if (ret)
		*ret = session;
	return 0;
}

int session_end(struct sessions *sessions, const char *token, struct error *e)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct entry *entry;
	bool ok;

	if (hash_token(token, hash) < 0)
		return no_session(e);
	pthread_mutex_lock(&sessions->lock);
	entry = find(sessions, hash);
	ok = entry && !over(entry, sessions->clock());
	if (entry)
		*entry = (struct entry){ .open = false };
	pthread_mutex_unlock(&sessions->lock);
	return ok ? 0 : no_session(e);
}

size_t sessions_end_user(struct sessions *sessions, const char *user)
{
	size_t n = 0, i;

	pthread_mutex_lock(&sessions->lock);
	sessions->epoch++;
	for (i = 0; i < SESSIONS_MAX; i++) {
		struct entry *entry = &sessions->entry[i];

		if (!entry->open || strcmp(entry->user, user) != 0)
			continue;
		*entry = (struct entry){ .open = false };
		n++;
	}
	pthread_mutex_unlock(&sessions->lock);
	return n;
}

uint64_t sessions_epoch(struct sessions *sessions)
{
	uint64_t epoch;

	pthread_mutex_lock(&sessions->lock);
	epoch = sessions->epoch;
	pthread_mutex_unlock(&sessions->lock);
	return epoch;
}

size_t sessions_count(struct sessions *sessions)
{
	size_t n = 0, i;

	pthread_mutex_lock(&sessions->lock);
	sweep(sessions, sessions->clock());
	for (i = 0; i < SESSIONS_MAX; i++)
		n += sessions->entry[i].open;
	pthread_mutex_unlock(&sessions->lock);
	return n;
}
