// SPDX-License-Identifier: GPL-2.0-only
/*
 * Constructors that wait for a key, and the question that is put to the agent
 * for them.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "requests.h"

#include <linux/freezer.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "keys.h"
#include "messages.h"
#include "target.h"
#include "trace.h"

/* How often a waiting constructor looks whether its device is being removed. */
#define LOOK_EVERY	(HZ / 4)

static unsigned int request_timeout_ms = 30000;
module_param(request_timeout_ms, uint, 0644);
MODULE_PARM_DESC(request_timeout_ms, "how long a constructor waits for its key");

/**
 * struct request - one question to the agent
 * @node: in the list of those that are not answered
 * @info: what is asked; @info.id is never 0
 * @waiters: constructors that wait for the answer; the last one frees it
 * @announced: the agents have been told
 * @answered: taken off the list, the fields below are valid
 * @reason: VMCRYPT_REASON_*, 0 when the key was granted
 */
struct request {
	struct list_head node;
	struct vmcrypt_request_info info;
	unsigned int waiters;
	bool announced;
	bool answered;
	u32 reason;
};

static DEFINE_MUTEX(requests_lock);
static LIST_HEAD(requests);		/* by id */
static unsigned int nr_requests;
static u32 last_id;
static unsigned int generation = 1;
static DECLARE_WAIT_QUEUE_HEAD(answered_wait);

/* What device-mapper logs for the constructor. */
static const char * const rejections[] = {
	[VMCRYPT_REASON_NO_HEADER]	= "Key request rejected by the agent: no such disk or header",
	[VMCRYPT_REASON_UNAVAILABLE]	= "Key request rejected by the agent: key unavailable now",
	[VMCRYPT_REASON_NOT_ALLOWED]	= "Key request rejected by the agent: not allowed",
	[VMCRYPT_REASON_LOCKED]		= "Key request rejected by the agent: locked by an administrator",
	[VMCRYPT_REASON_HEADER_DAMAGED]	= "Key request rejected by the agent: header damaged",
	[VMCRYPT_REASON_INTERNAL]	= "Key request rejected by the agent: internal error of the agent",
};

/* Must hold requests_lock. */
static void changed(void)
{
	lockdep_assert_held(&requests_lock);
	WRITE_ONCE(generation, generation + 1 ? generation + 1 : 1);
}

/* Must hold requests_lock. */
static struct request *find(const uuid_t *dek)
{
	struct request *req;

	lockdep_assert_held(&requests_lock);
	list_for_each_entry(req, &requests, node)
		if (uuid_equal(&req->info.dek, dek))
			return req;
	return NULL;
}

/* Takes a request off the list. Must hold requests_lock. */
static void unlink_request(struct request *req)
{
	lockdep_assert_held(&requests_lock);
	list_del_init(&req->node);
	nr_requests--;
	changed();
}

/* Must hold requests_lock. */
static void answer(struct request *req, u32 reason)
{
	unlink_request(req);
	trace_vmcrypt_key_request(&req->info.dek, req->info.id, reason, true);
	req->reason = reason;
	/* Pairs with the smp_load_acquire() in is_answered(). */
	smp_store_release(&req->answered, true);
	wake_up_all(&answered_wait);
}

static bool is_answered(struct request *req)
{
	/* Pairs with the smp_store_release() in answer(). */
	return smp_load_acquire(&req->answered);
}

/* Must hold requests_lock. */
static struct request *add(const struct vmcrypt_request_info *info)
{
	struct request *req;

	lockdep_assert_held(&requests_lock);
	if (nr_requests >= VMCRYPT_REQUESTS_MAX)
		return ERR_PTR(-EAGAIN);
	req = kzalloc(sizeof(*req), GFP_KERNEL);
	if (!req)
		return ERR_PTR(-ENOMEM);

	req->info = *info;
	if (!++last_id)
		++last_id;
	req->info.id = last_id;
	list_add_tail(&req->node, &requests);
	nr_requests++;
	changed();
	return req;
}

/*
 * Joins the request for this key, or makes one. KEY_SET loads the key before it
 * looks for requests, and a constructor looks for the key after it has joined
 * one, so one of the two sees the other.
 */
static struct request *join(const struct vmcrypt_request_info *info)
{
	struct request *req;

	mutex_lock(&requests_lock);
	req = find(&info->dek);
	if (!req)
		req = add(info);
	if (!IS_ERR(req))
		req->waiters++;
	mutex_unlock(&requests_lock);
	return req;
}

/* Puts the question to the agents, once. */
static void announce(struct request *req)
{
	bool first;

	mutex_lock(&requests_lock);
	first = !req->announced && !req->answered;
	req->announced = true;
	mutex_unlock(&requests_lock);
	if (!first)
		return;
	trace_vmcrypt_key_request(&req->info.dek, req->info.id, 0, false);
	vmcrypt_notify_request(&req->info);
}

static void leave(struct request *req)
{
	bool last;

	mutex_lock(&requests_lock);
	last = !--req->waiters;
	if (last && !req->answered)
		unlink_request(req);
	mutex_unlock(&requests_lock);
	if (last)
		kfree(req);
}

/*
 * One slice of waiting: 0 when it is over or the answer has come, -EINTR when
 * the process is being killed.
 */
static int wait_slice(struct request *req, long slice)
{
	long r;

	/* wait_event_killable_timeout(), but freezable. */
	r = ___wait_event(answered_wait, ___wait_cond_timeout(is_answered(req)),
			  (TASK_KILLABLE | TASK_FREEZABLE), 0, slice,
			  __ret = schedule_timeout(__ret));
	return r < 0 ? -EINTR : 0;
}

static int wait_for_answer(struct request *req, struct mapped_device *md, unsigned long end)
{
	long left;
	int r;

	while (!is_answered(req)) {
		left = (long)(end - jiffies);
		if (left <= 0)
			return -ETIMEDOUT;
		r = wait_slice(req, min_t(long, left, LOOK_EVERY));
		if (r)
			return r;
		/* A device that is being removed has lost its name, and waits for us. */
		if (dm_copy_name_and_uuid(md, NULL, NULL))
			return -ENODEV;
	}
	return req->reason ? -EKEYREJECTED : 0;
}

static char *explain(int r, u32 reason)
{
	switch (r) {
	case -EKEYREJECTED:
		return (char *)rejections[reason];
	case -ENOKEY:
		return "Key not loaded, and no agent listens: start vmcryptd or load the key first";
	case -ETIMEDOUT:
		return "Key request timed out: the agent did not answer";
	case -EINTR:
		return "Key request interrupted: the process was killed";
	case -EAGAIN:
		return "Too many key requests are pending: try again";
	case -ENODEV:
		return "Key request abandoned: the device was removed";
	case -ENOMEM:
		return "Key request failed: out of memory";
	default:
		return "Key request failed";
	}
}

/* Asks once and waits; attached when it returns 0, -EALREADY to ask again. */
static int ask(struct vmcrypt_target *vt, const struct vmcrypt_request_info *info,
	       unsigned long end, u32 *ret_reason)
{
	struct request *req;
	int r;

	if (!vmcrypt_has_agent())
		return -ENOKEY;
	req = join(info);
	if (IS_ERR(req))
		return PTR_ERR(req);

	r = vmcrypt_key_attach(vt, &info->dek);
	if (r == -ENOKEY) {
		announce(req);
		r = wait_for_answer(req, dm_table_get_md(vt->ti->table), end);
		if (r == -EKEYREJECTED)
			*ret_reason = req->reason;
		if (!r)
			r = vmcrypt_key_attach(vt, &info->dek) ? -EALREADY : 0;
	}
	leave(req);
	return r;
}

/**
 * vmcrypt_request_key() - attach a target to its key, asking the agent for it
 * @vt: a target under construction; ti->error is set on failure
 * @dek: the key that its table line names
 *
 * Waits for the agent (TASK_KILLABLE, freezable, request_timeout_ms) when the
 * key is not loaded.
 *
 * Return: 0; -ENOKEY: no agent listens; -EKEYREJECTED; -ETIMEDOUT; -EINTR;
 * -EAGAIN: VMCRYPT_REQUESTS_MAX are pending; -ENODEV: the device was removed
 * meanwhile; -ENOMEM.
 */
int vmcrypt_request_key(struct vmcrypt_target *vt, const uuid_t *dek)
{
	unsigned long end = jiffies + msecs_to_jiffies(READ_ONCE(request_timeout_ms));
	struct vmcrypt_request_info info = { .dev = vt->dev->bdev->bd_dev };
	u32 reason = 0;
	int r;

	if (!vmcrypt_key_attach(vt, dek))
		return 0;

	uuid_copy(&info.dek, dek);
	r = dm_copy_name_and_uuid(dm_table_get_md(vt->ti->table), info.name, NULL);
	if (r)
		r = -ENODEV;
	else
		/* The key may have been wiped again before we got to it. */
		do {
			r = ask(vt, &info, end, &reason);
		} while (r == -EALREADY);

	if (r)
		vt->ti->error = explain(r, reason);
	return r;
}

/**
 * vmcrypt_request_granted() - the key has been loaded
 * @dek: its name
 */
void vmcrypt_request_granted(const uuid_t *dek)
{
	struct request *req;

	mutex_lock(&requests_lock);
	req = find(dek);
	if (req)
		answer(req, 0);
	mutex_unlock(&requests_lock);
}

/**
 * vmcrypt_request_reject() - the agent cannot or will not give the key
 * @dek: its name
 * @reason: VMCRYPT_REASON_*
 *
 * Return: 0, -EINVAL for an unknown reason, -ENOENT when nobody waits.
 */
int vmcrypt_request_reject(const uuid_t *dek, u32 reason)
{
	struct request *req;

	if (reason >= ARRAY_SIZE(rejections) || !rejections[reason])
		return -EINVAL;

	mutex_lock(&requests_lock);
	req = find(dek);
	if (req)
		answer(req, reason);
	mutex_unlock(&requests_lock);
	return req ? 0 : -ENOENT;
}

/**
 * vmcrypt_request_next() - describe the next request of a dump
 * @id: of the request before, 0 at first
 * @ret: filled when there is one
 */
bool vmcrypt_request_next(u32 id, struct vmcrypt_request_info *ret)
{
	struct request *req;
	bool found = false;

	mutex_lock(&requests_lock);
	list_for_each_entry(req, &requests, node) {
		if (req->info.id <= id)
			continue;
		*ret = req->info;
		found = true;
		break;
	}
	mutex_unlock(&requests_lock);
	return found;
}

/**
 * vmcrypt_requests_generation() - changes whenever a dump would show something else
 *
 * Never 0.
 */
unsigned int vmcrypt_requests_generation(void)
{
	return READ_ONCE(generation);
}
