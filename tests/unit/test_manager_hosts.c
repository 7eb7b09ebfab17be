// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is known of hosts: their VMs, their disks, their encryption mode; none of them is connected.
 */
#include "manager_fixture.h"

#include <pthread.h>

#include "common/json.h"
#include "manager/host_change.h"
#include "manager/host_mode.h"
#include "manager/host_requests.h"
#include "manager/hosts.h"
#include "manager/hosts_internal.h"
#include "manager/manager.h"
#include "manager/record.h"

#define FARM	"11111111-1111-4111-8111-111111111111"
#define BARN	"22222222-2222-4222-8222-222222222222"
#define KVM1	"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa1"
#define KVM2	"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa2"
#define KVM3	"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa3"
#define KVM4	"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa4"
#define DEK	"dddddddd-dddd-8ddd-8ddd-dddddddddddd"
#define BOOT_1	"bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbb1"
#define BOOT_2	"bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbb2"

static struct manager manager;

static void insert_cluster(const char *id, const char *name)
{
	_cleanup_json_ json_t *document = json_pack("{s:s, s:s}", "name", name, "crypto_mode",
						    HOST_ON_DEMAND);

	must(store_insert(store, "cluster", id, document, &e));
}

static void insert_host(const char *id, const char *name, const char *cluster, const char *mode)
{
	_cleanup_json_ json_t *document = NULL;

	document = json_pack("{s:s, s:s?, s:s, s:n, s:s, s:s, s:n, s:n}", "name", name, "cluster",
			     cluster, "mode", mode, "host_key", "state", "active", "serial", name,
			     "old_serial", "boot_id");
	must(store_insert(store, "host", id, document, &e));
}

static int setup(void **state)
{
	fixture_setup(state);
	manager = (struct manager){ .store = store };
	must(hosts_new(&manager.hosts, &e));
	insert_cluster(FARM, "farm");
	insert_cluster(BARN, "barn");
	insert_host(KVM1, "kvm1", FARM, "safe");
	insert_host(KVM2, "kvm2", FARM, "safe");
	insert_host(KVM3, "kvm3", BARN, "safe");
	insert_host(KVM4, "kvm4", FARM, "prepared");
	return 0;
}

static int teardown(void **state)
{
	hosts_free(manager.hosts);
	return fixture_teardown(state);
}

#define hosts_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void member_is(const char *kind, const char *id, const char *member, const char *wanted)
{
	_cleanup_json_ json_t *document = NULL;

	must(store_get(store, kind, id, &document, &e));
	assert_string_equal(json_text(document, member), wanted);
}

/* @vm: NULL: the host knows no disk */
static void report(const char *host, const char *vm, bool attached)
{
	_cleanup_json_ json_t *args = NULL, *result = NULL;
	struct host_peer peer = { .host = host, .serial = "", .address = "::1" };
	struct channel_failure why = { .key_reason = "" };

	if (vm)
		args = json_pack("{s:[{s:s, s:s, s:s, s:s, s:b, s:[]}], s:b}", "disks", "dek", DEK, "vm",
				 vm, "disk", "vda", "state", attached ? "loaded" : "absent", "attached",
				 attached, "keys", "more", false);
	else
		args = json_pack("{s:[], s:b}", "disks", "more", false);
	assert_non_null(args);
	if (host_report(&manager, &peer, args, &result, &why) < 0)
		fail_msg("%s", why.error.text);
}

static void report_disks(const char *host, json_t *disks)
{
	_cleanup_json_ json_t *args = json_pack("{s:o, s:b}", "disks", disks, "more", false);
	_cleanup_json_ json_t *result = NULL;
	struct host_peer peer = { .host = host, .serial = "", .address = "::1" };
	struct channel_failure why = { .key_reason = "" };

	assert_non_null(args);
	if (host_report(&manager, &peer, args, &result, &why) < 0)
		fail_msg("%s", why.error.text);
}

static json_t *disk_json(unsigned int n, const char *state, bool attached)
{
	char dek[UUID_TEXT_SIZE], vm[16];

	snprintf(dek, sizeof(dek), "dddddddd-dddd-8ddd-8ddd-%012u", n);
	snprintf(vm, sizeof(vm), "vm%u", n);
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:[{s:s, s:s}]}", "dek", dek, "vm", vm, "disk", "vda",
			 "state", state, "attached", attached, "keys", "provider", BARN, "key", "k1");
}

static size_t count(const char *kind)
{
	_cleanup_json_ json_t *list = NULL;

	must(store_list(store, kind, NULL, NULL, &list, &e));
	return json_array_size(list);
}

static void say_hello(const char *host, const char *serial, const char *boot_id)
{
	_cleanup_json_ json_t *args = NULL, *result = NULL;
	struct host_peer peer = { .host = host, .serial = serial, .address = "::1" };
	struct channel_failure why = { .key_reason = "" };

	args = json_pack("{s:s, s:n, s:b, s:s}", "version", "1", "module", "tpm", true, "boot_id",
			 boot_id);
	if (host_hello(&manager, &peer, args, &result, &why) < 0)
		fail_msg("%s", why.error.text);
}

static void a_vm_is_registered_with_its_first_disk(void **state)
{
	char vm[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];

	(void)state;
	must(host_vm_named(&manager, KVM1, "web", vm, &e));
	member_is("vm", vm, "cluster", FARM);
	must(host_vm_named(&manager, KVM2, "web", again, &e));
	assert_string_equal(vm, again);
	must(host_vm_named(&manager, KVM2, vm, again, &e));
	assert_string_equal(vm, again);
	assert_int_equal(host_may_have_vm(&manager, KVM2, vm, &e), 1);
	assert_int_equal(host_may_have_vm(&manager, KVM3, vm, &e), 0);
	must_fail(host_vm_named(&manager, KVM3, "web", again, &e), -EACCES, "registered elsewhere");
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
}

/* Whoever joined may tell of disks; which VMs there are, only who gets keys, and not without end. */
static void a_host_registers_no_vms_without_end(void **state)
{
	json_t *disks = json_array();
	unsigned int i;

	(void)state;
	report(KVM4, "web", true);
	assert_int_equal(count("disk"), 1);
	assert_int_equal(count("vm"), 0);
	for (i = 0; i < HOST_WORDS + 100; i++)
		json_array_append_new(disks, disk_json(i, "absent", false));
	report_disks(KVM1, disks);
	assert_int_equal(count("disk"), HOST_WORDS + 101);
	assert_in_range(count("vm"), HOST_WORDS, HOST_WORDS + 5);
}

static int take_row(const json_t *row, void *userdata)
{
	return json_array_append(userdata, (json_t *)row);
}

static void note_is(const json_t *rows, size_t i, const char *type, const char *host)
{
	const json_t *row = json_array_get(rows, i);

	assert_string_equal(json_text(row, "type"), type);
	assert_string_equal(json_text(row, "host"), host);
	assert_string_equal(json_text(row, "object"), "disk:dddddddd-dddd-8ddd-8ddd-000000000001");
	assert_string_equal(json_text(row, "key"), "k1");
	assert_string_equal(json_text(row, "phase"), "note");
}

/* Once for each time, by vSphere's names. */
static void a_vm_is_locked_and_unlocked(void **state)
{
	static const struct { const char *state; bool attached; } told[] = {
		{ "absent", false }, { "loaded", true }, { "locked", true }, { "locked", true },
		{ "loaded", true }, { "locked", true }, { "absent", false },
	};
	const struct record_filter locked = { .operation = "vm.locked" };
	const struct record_filter unlocked = { .operation = "vm.unlocked" };
	_cleanup_json_ json_t *begun = json_array(), *ended = json_array();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(told); i++)
		report_disks(KVM1, json_pack("[o]", disk_json(1, told[i].state, told[i].attached)));
	must(record_each(store, &locked, take_row, begun, &e));
	must(record_each(store, &unlocked, take_row, ended, &e));
	assert_int_equal(json_array_size(begun), 2);
	assert_int_equal(json_array_size(ended), 1);
	note_is(begun, 0, "com.vmware.vc.vm.Crypto.VMLocked.KeyMissingOnHost", KVM1);
	note_is(ended, 0, "com.vmware.vc.vm.Crypto.VMUnlocked", KVM1);
}

static void a_disk_is_where_it_is_attached(void **state)
{
	(void)state;
	report(KVM1, "web", true);
	member_is("disk", DEK, "host", KVM1);
	member_is("disk", DEK, "state", "loaded");
	/* Who shares the storage knows it too, and has it once it attaches it. */
	report(KVM2, "web", false);
	member_is("disk", DEK, "host", KVM1);
	report(KVM2, "web", true);
	member_is("disk", DEK, "host", KVM2);
	/* Another cluster's host may say what it likes. */
	report(KVM3, "web", true);
	member_is("disk", DEK, "host", KVM2);
	report(KVM2, NULL, false);
	member_is("disk", DEK, "state", "absent");
}

static void disabling_waits_for_disks_and_a_reboot(void **state)
{
	(void)state;
	say_hello(KVM1, "kvm1", BOOT_1);
	report(KVM1, "web", true);
	must_fail(host_mode_disable(&manager, KVM1, &e), -EBUSY, "stop or move");
	member_is("host", KVM1, "mode", "safe");
	report(KVM1, "web", false);
	must(host_mode_disable(&manager, KVM1, &e));
	member_is("host", KVM1, "mode", "pending-incapable");
	must_fail(host_mode_enable(&manager, KVM1, "root", &e), -EBUSY, "reboot it");
	say_hello(KVM1, "kvm1", BOOT_1);
	member_is("host", KVM1, "mode", "pending-incapable");
	say_hello(KVM1, "kvm1", BOOT_2);
	member_is("host", KVM1, "mode", "incapable");
}

static void a_host_leaves_no_attached_disk_behind(void **state)
{
	const struct host_changes move = { .cluster = BARN }, taken = { .name = "kvm2" };

	(void)state;
	report(KVM1, "web", true);
	must_fail(host_change(&manager, KVM1, &move, &e), -EBUSY, "stop or move");
	member_is("host", KVM1, "cluster", FARM);
	report(KVM1, NULL, false);
	must(host_change(&manager, KVM1, &move, &e));
	member_is("host", KVM1, "cluster", BARN);
	must_fail(host_change(&manager, KVM1, &taken, &e), -EEXIST, "kvm2");
	member_is("host", KVM1, "name", "kvm1");
}

static void *dial(void *r)
{
	struct error own = ERROR_NULL;

	*(int *)r = host_dialled(&manager, KVM1, "kvm1", &own);
	if (*(int *)r < 0)
		unit_speaks(&own, "busy");
	return NULL;
}

static int dial_elsewhere(void)
{
	pthread_t thread;
	int r = 1;

	assert_int_equal(pthread_create(&thread, NULL, dial, &r), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return r;
}

/* Who dials is looked up by the thread that serves all connections: it does not wait. */
static void test_dials_while_the_store_is_busy(void **state)
{
	(void)state;
	assert_int_equal(dial_elsewhere(), 0);
	must(store_begin(store, &e));
	assert_int_equal(dial_elsewhere(), -EBUSY);
	store_rollback(store);
	assert_int_equal(dial_elsewhere(), 0);
	assert_int_equal(host_dialled(&manager, KVM1, "another", &e), -EACCES);
	assert_int_equal(dial_elsewhere(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		hosts_test(a_vm_is_registered_with_its_first_disk),
		hosts_test(a_host_registers_no_vms_without_end),
		hosts_test(a_vm_is_locked_and_unlocked),
		hosts_test(a_disk_is_where_it_is_attached),
		hosts_test(disabling_waits_for_disks_and_a_reboot),
		hosts_test(a_host_leaves_no_attached_disk_behind),
		cmocka_unit_test_setup_teardown(test_dials_while_the_store_is_busy, setup, teardown),
	};

	return cmocka_run_group_tests_name("hosts", tests, unit_setup, NULL);
}
