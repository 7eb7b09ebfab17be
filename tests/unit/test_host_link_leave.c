/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a host forgets: providers that its manager takes back, and all of it when it leaves.
 */
#include "link_orders.h"

static json_t *one_native(const char *provider, bool kept)
{
	return json_pack("{s:s, s:b}", "provider", provider, "kept", (int)kept);
}

static void managed_providers(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	_cleanup_json_ json_t *reply = NULL;
	struct peer *peer = ready();
	struct provider_info info;
	struct key_locator locator;
	json_t *push;
	size_t n;

	(void)state;
	push = sealed_kdk(/* require_tpm= */ true);
	ask_badly(peer, "kdk.push", json_incref(push), "ENODEV");
	json_object_set_new(push, "require_tpm", json_false());
	reply = ask(peer, "kdk.push", json_incref(push));
	assert_true(json_is_false(json_object_get(json_object_get(reply, "result"), "sealed")));
	n = count_events("kdk.push");
	assert_true(n > 0);
	ask_well(peer, "kdk.push", push);
	assert_int_equal(count_events("kdk.push"), n);
	must(provider_show(host.providers, NULL, &info, &e));
	assert_string_equal(info.name, "native");
	assert_true(info.managed && info.usable);
	must(provider_key_new(host.providers, NULL, NULL, &locator, &kek, &e));
	assert_int_equal(provider_delete(host.providers, "native", &e), -EPERM);
	ask_badly(peer, "provider.remove", one_native(PROVIDER_1, false), "EINVAL");
	ask_badly(peer, "provider.remove", one_native(HOST_1, false), "ENOENT");
	ask_well(peer, "provider.remove", one_native(PROVIDER_2, false));
	assert_int_equal(provider_show(host.providers, "native", &info, &e), -ENOENT);
	peer_close(peer);
}

/* A disk that has a key of the native provider, known here and not attached. */
static void know_a_disk(void)
{
	static const char record[] = "{\"version\":1,\"disks\":{\"" HOST_1 "\":{\"device\":\"/nonexistent\","
		"\"locked\":false,\"vm\":\"web1\",\"disk\":\"root\",\"keys\":[{\"provider\":\"" PROVIDER_2 "\","
		"\"locator\":\"native/" HOST_1 "\"}]}}}";

	host_close();
	unit_write(unit_path(host_dir, STATE_FILE), record, strlen(record), 0600);
	host_open(NULL);
}

/* What the manager keeps a disk that is but known does not hold here; what is deleted, it does. */
static void providers_are_taken_back(void **state)
{
	static const char *const modes[] = { "pending-incapable", "incapable" };
	struct provider_info info;
	struct peer *peer;
	size_t i;

	(void)state;
	know_a_disk();
	peer = ready();
	ask_well(peer, "kdk.push", sealed_kdk(/* require_tpm= */ false));
	ask_badly(peer, "provider.remove", one_native(PROVIDER_2, false), "EBUSY");
	ask_well(peer, "provider.remove", one_native(PROVIDER_2, true));
	assert_int_equal(provider_show(host.providers, "native", &info, &e), -ENOENT);
	assert_int_equal(unit_count(unit_path(host_dir, "providers"), ".json"), 1);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "safe"));
		ask_well(peer, "kdk.push", sealed_kdk(/* require_tpm= */ false));
		ask_well(peer, "mode.set", json_pack("{s:s}", "mode", modes[i]));
		assert_int_equal(provider_show(host.providers, "native", &info, &e), -ENOENT);
		assert_int_equal(unit_count(unit_path(host_dir, "providers"), ".json"), 1);
	}
	/* One that could not go goes when the mode is said again. */
	ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "safe"));
	ask_well(peer, "kdk.push", sealed_kdk(/* require_tpm= */ false));
	must(link_set_mode(host.link, MODE_INCAPABLE, &e));
	ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "incapable"));
	assert_int_equal(provider_show(host.providers, "native", &info, &e), -ENOENT);
	assert_true(count_events("mode.set") > 0);
	assert_true(count_events("provider.remove") >= 8);
	peer_close(peer);
}

static void removed_host_forgets(void **state)
{
	struct peer *peer = ready();
	struct provider_info info;
	struct link_view view;

	(void)state;
	ask_well(peer, "key.push", json_pack("{s:[o]}", "keys", sealed_key("k1", KEY_BYTES)));
	ask_well(peer, "host.removed", json_object());
	assert_null(read_message(peer));
	peer_close(peer);
	wait_connected(false);
	host_close();
	assert_int_equal(unit_count(unit_path(host_dir, "manager"), ""), 0);
	host_open(NULL);
	link_look(host.link, &view);
	assert_false(view.joined);
	assert_int_equal(provider_key_count(host.providers), 0);
	assert_int_equal(provider_show(host.providers, "kms", &info, &e), -ENOENT);
	assert_int_equal(link_leave(host.link, &e), -ENOENT);
}

static void *leave(void *arg)
{
	struct error why = ERROR_NULL;

	(void)arg;
	assert_int_equal(link_leave(host.link, &why), 0);
	return NULL;
}

/* What an order brings is here before the host leaves, and forgotten then, or does not come. */
static void orders_and_leaving(void **state)
{
	struct peer *peer = ready();
	struct link_order *order;
	struct provider_info info;
	struct link_view view;
	pthread_t thread;

	(void)state;
	wait_connected(true);
	order = make_order("provider.set", json_pack("{s:[{s:s, s:s, s:s, s:b}]}", "providers", "uuid",
						     PROVIDER_1, "name", "late", "type", "standard",
						     "default", 1));
	/* As an order under way has it. */
	pthread_mutex_lock(&host.link->order_lock);
	assert_int_equal(pthread_create(&thread, NULL, leave, NULL), 0);
	usleep(200000);
	link_look(host.link, &view);
	assert_true(view.joined);
	pthread_mutex_unlock(&host.link->order_lock);
	pthread_join(thread, NULL);
	link_order_run(host.link, order);
	assert_int_equal(provider_show(host.providers, "late", &info, &e), -ENOENT);
	peer_close(peer);
}

static struct link_order *make_run(void)
{
	return make_order("run", json_pack("{s:s, s:{}, s:s}", "op", "status", "args", "user", "carl"));
}

static bool runs_wait(void)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&host.link->lock);

	return !STAILQ_EMPTY(&host.link->runs);
}

/* Nothing that a manager's user wants is begun once the host has left that manager. */
static void runs_and_leaving(void **state)
{
	struct link_order *late;
	struct peer *peer;

	(void)state;
	host_close();
	host_make(NULL);
	assert_int_equal(sd_event_new(&host.event), 0);
	must(link_start(host.link, &e));
	peer = ready();
	wait_connected(true);
	late = make_run();
	link_run(host.link, make_run());
	assert_true(runs_wait());
	must(link_leave(host.link, &e));
	assert_false(runs_wait());
	/* One that its thread had taken already. There is no worker that it could be given to. */
	link_run(host.link, late);
	while (runs_wait())
		assert_true(sd_event_run(host.event, 0) >= 0);
	peer_close(peer);
	host_close();
	host_open(NULL);
}

static void *run_order(void *arg)
{
	link_order_run(host.link, arg);
	return NULL;
}

/* A host that was faster, and has joined anew, is not taken from its new manager. */
static void removed_by_the_one_before(void **state)
{
	struct peer *peer = ready();
	struct link_view view;
	pthread_t thread;

	(void)state;
	wait_connected(true);
	pthread_mutex_lock(&host.link->order_lock);
	assert_int_equal(pthread_create(&thread, NULL, run_order,
					make_order("host.removed", json_object())), 0);
	/* The order counts by now, and waits for its turn. */
	while (count_events("host.removed") == 0)
		usleep(5000);
	pthread_mutex_lock(&host.link->lock);
	memcpy(host.link->identity.host, PROVIDER_1, UUID_TEXT_SIZE);
	pthread_mutex_unlock(&host.link->lock);
	pthread_mutex_unlock(&host.link->order_lock);
	pthread_join(thread, NULL);
	link_look(host.link, &view);
	assert_true(view.joined);
	assert_string_equal(view.host, PROVIDER_1);
	must(link_leave(host.link, &e));
	peer_close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		link_test(managed_providers),
		link_test(providers_are_taken_back),
		link_test(removed_host_forgets),
		link_test(orders_and_leaving),
		link_test(runs_and_leaving),
		link_test(removed_by_the_one_before),
	};

	log_set_level(getenv("LINK_LOG") ? LOG_DEBUG : LOG_CRIT);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
