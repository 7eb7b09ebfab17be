/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks that hosts know. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "manager/host_requests.h"
#include "manager/hosts.h"
#include "manager/hosts_internal.h"
#include "manager/keys_use.h"
#include "manager/keys_withdraw.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/record.h"
#include "manager/store.h"

/** DISKS_MAX - that a host may have */
#define DISKS_MAX	16384U
/** SEEN_S - a disk that is as it was is written down again after so many seconds */
#define SEEN_S		3600
#define LOCKED		"com.vmware.vc.vm.Crypto.VMLocked.KeyMissingOnHost"
#define UNLOCKED	"com.vmware.vc.vm.Crypto.VMUnlocked"

/*
 * @disks: as the host has told them
 * @vms: UUIDs by the names in there, null where the host may not have the VM
 * @safe: the host may have keys
 */
struct report {
	struct manager *m;
	const char *host;
	json_t *disks;
	json_t *vms;
	bool safe;
};

/* Which VMs there are is said by hosts that get keys, and by those not without end. */
static int find_vm(const struct report *report, const char *name, char vm[UUID_TEXT_SIZE],
		   struct error *e)
{
	int r = host_vm_known(report->m, report->host, name, vm, e);

	if (r != -ENOENT || !report->safe || !hosts_admit(report->m->hosts, "vm", report->host))
		return r;
	return host_vm_named(report->m, report->host, name, vm, e);
}

static int resolve_vm(struct report *report, const char *name, struct error *e)
{
	char vm[UUID_TEXT_SIZE] = "";
	struct error own = ERROR_NULL;
	int r;

	if (json_has(report->vms, name))
		return 0;
	r = find_vm(report, name, vm, &own);
	if (r < 0 && r != -EACCES && r != -ENOENT) {
		if (e)
			*e = own;
		return r;
	}
	if (r < 0)
		log_notice("Host %s reports a disk of no VM of its own: %s", report->host, own.text);
	return host_set_string(report->vms, name, r < 0 ? NULL : vm, e);
}

/* Registering a VM is a transaction, and a row in the record, of its own. */
static int resolve_vms(struct report *report, struct error *e)
{
	const json_t *disk;
	size_t i;
	int r = 0;

	json_array_foreach(report->disks, i, disk) {
		const char *name = json_text(disk, "vm");

		if (*name)
			r = resolve_vm(report, name, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool attached(const json_t *disk)
{
	return json_is_true(json_object_get(disk, "attached"));
}

/* Whether what this host says of the disk counts: hosts that share a storage all know it. */
static bool takes_over(struct report *report, const json_t *known, const json_t *told)
{
	const char *vm = json_text(known, "vm");

	if (strcmp(json_text(known, "host"), report->host) == 0)
		return true;
	/* Not even a host that has read the header may speak for another's VM. */
	if (*vm && host_may_have_vm(report->m, report->host, vm, NULL) != 1)
		return false;
	if (attached(told))
		return true;
	return !attached(known) && strcmp(json_text(known, "state"), "absent") == 0 &&
	       strcmp(json_text(told, "state"), "absent") != 0;
}

static json_t *make_document(struct report *report, const json_t *known, const json_t *told)
{
	json_t *vm = json_object_get(report->vms, json_text(told, "vm"));

	if (!json_is_string(vm))
		vm = known ? json_object_get(known, "vm") : NULL;
	return json_pack("{s:O?, s:s, s:O, s:O, s:O, s:O}", "vm", vm, "host", report->host,
			 "disk", json_object_get(told, "disk"), "state", json_object_get(told, "state"),
			 "attached", json_object_get(told, "attached"), "keys",
			 json_object_get(told, "keys"));
}

/* The same but for "seen", and that is no old one. */
static bool is_fresh(const json_t *known, const json_t *document)
{
	const char *key;
	json_t *value;
	int64_t seen;

	if (time_parse(json_text(known, "seen"), &seen) < 0 || time_now() - seen >= SEEN_S)
		return false;
	json_object_foreach((json_t *) document, key, value)
		if (!json_equal(value, json_object_get(known, key)))
			return false;
	return true;
}

static bool locked(const json_t *disk)
{
	return attached(disk) && strcmp(json_text(disk, "state"), "loaded") != 0;
}

/* A VM goes on or stops with the keys of its disks. Within the transaction of the report. */
static int note_state(struct report *report, const char *dek, const json_t *known,
		      const json_t *document, struct error *e)
{
	bool was = known && locked(known), is = locked(document);
	_cleanup_json_ json_t *data = json_pack("{s:O, s:O}", "state",
						json_object_get(document, "state"), "keys",
						json_object_get(document, "keys"));
	const json_t *key = json_array_get(json_object_get(document, "keys"), 0);
	char object[5 + UUID_TEXT_SIZE];
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = is ? "vm.locked" : "vm.unlocked",
		.type = is ? LOCKED : UNLOCKED, .object = object, .host = report->host,
		.key = json_string_value(json_object_get(key, "key")),
		.vm = json_string_value(json_object_get(document, "vm")), .data = data,
	};

	/* One that was detached while it was locked is not unlocked by that. */
	if (was == is || (was && !attached(document)))
		return 0;
	if (!hosts_admit(report->m->hosts, "state", report->host))
		return 0;
	snprintf(object, sizeof(object), "disk:%.36s", dek);
	return record_note(report->m->store, &event, is ? "locked" : "unlocked", e);
}

static int keep_disk(struct store *store, struct report *report, const json_t *told,
		     struct error *e)
{
	const char *dek = json_text(told, "dek");
	_cleanup_json_ json_t *known = NULL, *document = NULL;
	int r = store_get(store, "disk", dek, &known, NULL);

	if (r < 0 && r != -ENOENT)
		return error_fail(e, r, "Cannot look for disk %s: %s", dek, error_name(r));
	if (known && !takes_over(report, known, told))
		return 0;
	document = make_document(report, known, told);
	if (!document)
		return error_oom(e);
	if (known && is_fresh(known, document))
		return 0;
	r = host_set_now(document, "seen", e);
	if (r == 0)
		r = keys_settle(store, json_object_get(document, "keys"), e);
	if (r == 0)
		r = note_state(report, dek, known, document, e);
	if (r < 0)
		return r;
	return known ? store_update(store, "disk", dek, document, e) :
		       store_insert(store, "disk", dek, document, e);
}

/* It is not deleted: its VM's keys are needed for as long as the disk may come back. */
static int set_absent(struct store *store, json_t *document, struct error *e)
{
	if (!attached(document) && strcmp(json_text(document, "state"), "absent") == 0)
		return 0;
	if (json_object_set_new(document, "attached", json_false()) < 0 ||
	    json_object_set_new(document, "state", json_string("absent")) < 0)
		return error_oom(e);
	return store_update(store, "disk", json_text(document, "id"), document, e);
}

int host_disk_attached(struct store *store, const char *host, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *known = NULL;
	json_t *disk;
	size_t i;
	int r = store_list(store, "disk", "host", host, &known, e);

	if (r < 0)
		return r;
	json_array_foreach(known, i, disk)
		if (attached(disk)) {
			*ret = json_incref(disk);
			return 1;
		}
	return 0;
}

int host_disks_absent(struct store *store, const char *host, const json_t *reported,
		      struct error *e)
{
	_cleanup_json_ json_t *known = NULL;
	json_t *disk;
	size_t i;
	int r = store_list(store, "disk", "host", host, &known, e);

	if (r < 0)
		return r;
	json_array_foreach(known, i, disk) {
		if (reported && json_has(reported, json_text(disk, "id")))
			continue;
		r = set_absent(store, disk, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int keep_report(struct store *store, void *userdata, struct error *e)
{
	struct report *report = userdata;
	_cleanup_json_ json_t *reported = json_object(), *host = NULL;
	const json_t *disk;
	size_t i;
	int r = host_get(store, report->host, &host, e);

	if (r < 0)
		return r;
	json_array_foreach(report->disks, i, disk) {
		if (json_object_set_new(reported, json_text(disk, "dek"), json_true()) < 0)
			return error_oom(e);
		r = keep_disk(store, report, disk, e);
		if (r < 0)
			return r;
	}
	r = host_disks_absent(store, report->host, reported, e);
	if (r == 0)
		r = host_set_now(host, "reported", e);
	if (r == 0)
		r = store_update(store, "host", report->host, host, e);
	if (r == 0)
		r = provider_hosts_reported(store, report->host, report->disks, e);
	return r < 0 ? r : keys_withdraw_reported(store, report->host, report->disks, e);
}

/* Adds a part to those that have come. */
static int collect(struct host_peer *peer, json_t *disks, struct error *e)
{
	if (!peer->report)
		peer->report = json_array();
	if (!peer->report)
		return error_oom(e);
	if (json_array_size(peer->report) + json_array_size(disks) > DISKS_MAX)
		return error_fail(e, E2BIG, "Host %s reports more than %u disks: the manager takes no more "
				  "of one host", peer->host, DISKS_MAX);
	return json_array_extend(peer->report, disks) < 0 ? error_oom(e) : 0;
}

static int stand(struct manager *m, struct host_peer *peer, struct error *e)
{
	_cleanup_json_ json_t *disks = TAKE_PTR(peer->report), *vms = json_object();
	struct report report = { .m = m, .host = peer->host, .disks = disks, .vms = vms };
	struct host_view view;
	int r;

	if (!vms)
		return error_oom(e);
	r = host_view(m, peer->host, &view, e);
	if (r < 0)
		return r;
	report.safe = view.safe;
	r = resolve_vms(&report, e);
	return r < 0 ? r : store_write(m->store, keep_report, &report, e);
}

int host_report(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		struct channel_failure *why)
{
	int r = collect(peer, json_object_get(args, "disks"), &why->error);

	if (r == 0 && json_is_false(json_object_get(args, "more")))
		r = stand(m, peer, &why->error);
	if (r < 0) {
		json_decref(TAKE_PTR(peer->report));
		return r;
	}
	*ret = json_object();
	return *ret ? 0 : error_oom(&why->error);
}
