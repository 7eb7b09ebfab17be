/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's disks, told to the manager. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "host/linkstate.h"
#include "host/ops.h"

#define KEYS_MAX	16	/* of a disk, as the channel has it */
#define PART_MAX	(CHANNEL_FRAME_MAX - 4096)	/* bytes, with what is around them */

/* What the state has of a disk's keys: [{"provider", "locator": "NAME/KEY"}]. */
static json_t *keys_json(const json_t *record)
{
	const json_t *key, *all = json_object_get(record, "keys");
	json_t *keys = json_array();
	const char *slash;
	size_t i;

	json_array_foreach(all, i, key) {
		slash = strchr(json_text(key, "locator"), '/');
		if (slash && json_array_size(keys) < KEYS_MAX)
			json_array_append_new(keys, json_pack("{s:O, s:s}", "provider",
							      json_object_get(key, "provider"),
							      "key", slash + 1));
	}
	return keys;
}

static json_t *disk_json(const json_t *disk, const json_t *records)
{
	static const char *const same[] = { "dek", "vm", "disk", "state", "attached" };
	json_t *report = json_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(same); i++)
		json_object_set(report, same[i], json_object_get(disk, same[i]));
	json_object_set_new(report, "keys",
			    keys_json(json_object_get(records, json_text(disk, "dek"))));
	return report;
}

static int list(struct host *host, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *disks = ops_disks_json(host, e), *records = state_all(host->state);
	json_t *reports, *disk;
	size_t i;

	if (!disks)
		return e->code;
	reports = json_array();
	json_array_foreach(disks, i, disk)
		json_array_append_new(reports, disk_json(disk, records));
	*ret = reports;
	return reports ? 0 : error_oom(e);
}

/* The next part, from *at on. */
static json_t *part(const json_t *reports, size_t *at)
{
	json_t *disks = json_array(), *disk;
	size_t bytes = 0, size;

	for (; *at < json_array_size(reports); (*at)++) {
		disk = json_array_get(reports, *at);
		size = json_dumpb(disk, NULL, 0, JSON_COMPACT) + 1;
		if (json_array_size(disks) && (json_array_size(disks) == CHANNEL_LIST_MAX ||
					       bytes + size > PART_MAX))
			break;
		json_array_append(disks, disk);
		bytes += size;
	}
	return json_pack("{s:o, s:b}", "disks", disks, "more", *at < json_array_size(reports));
}

static int send_all(struct link *link, const json_t *reports, uint64_t *ret_connection,
		    struct error *e)
{
	struct channel_failure why;
	uint64_t deadline;
	size_t at = 0;
	int r;

	do {
		_cleanup_json_ json_t *result = NULL;

		deadline = link_now() + PROVIDER_ASK_S * 1000;
		r = uplink_ask(link, "disk.report", part(reports, &at), deadline, &result,
			       ret_connection, &why);
		if (r < 0) {
			*e = why.error;
			return r;
		}
	} while (at < json_array_size(reports));
	return 0;
}

static bool is_news(struct link *link, const json_t *reports)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	return !link->reported || !json_equal(link->reported, reports);
}

int link_report(struct link *link, struct error *e)
{
	_cleanup_json_ json_t *reports = NULL;
	uint64_t connection;
	int r;

	r = list(link->host, &reports, e);
	if (r < 0 || !is_news(link, reports))
		return r;
	r = send_all(link, reports, &connection, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&link->lock);
	if (link->open && link->connection == connection) {
		json_decref(link->reported);
		link->reported = json_incref(reports);
	}
	pthread_mutex_unlock(&link->lock);
	return 0;
}

void link_answer_reported(struct link *link, struct link_order *order, json_t *result)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	order->result = json_incref(result);
	STAILQ_INSERT_TAIL(&link->ended, order, entry);
	link->report_at = link_now();
	pthread_cond_broadcast(&link->changed);
}

void link_answer_ended(struct link *link, struct link_orders *ended)
{
	struct link_order *order;

	while ((order = STAILQ_FIRST(ended))) {
		STAILQ_REMOVE_HEAD(ended, entry);
		link_answer(link, order, order->result, NULL);
	}
}
