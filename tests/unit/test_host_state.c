/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent remembers: locks outlive it, and a damaged file stops it. */
#include "unit.h"

#include <fcntl.h>

#include "host/state.h"

#define DEK1	"1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf"
#define DEK2	"4433a1be-c98b-87e4-979c-963ad3831ca1"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	unit_make_dir(dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unit_remove_dir(dir);
	return 0;
}

static struct state *open_state(void)
{
	struct state *state = NULL;
	struct error e = ERROR_NULL;

	if (state_open(dir, &state, &e) < 0)
		fail_msg("%s", e.text);
	return state;
}

static void make_header(struct disk_header *h, const char *dek, char *device, char *header)
{
	*h = (struct disk_header){ .device = device, .header = header, .key_bits = 512 };
	h->segment.sector_size = 4096;
	assert_int_equal(uuid_parse_text(dek, h->token.dek), 0);
	snprintf(h->token.vm, sizeof(h->token.vm), "web");
	snprintf(h->token.disk, sizeof(h->token.disk), "root");
	snprintf(h->token.created, sizeof(h->token.created), "2026-01-01T00:00:00Z");
	h->token.n_wraps = 1;
	snprintf(h->token.wraps[0].locator.provider_name, PROVIDER_NAME_MAX, "p1");
	snprintf(h->token.wraps[0].locator.key_id, KEY_ID_MAX, "k1");
}

static void remember(struct state *s, const char *dek, const char *device, const char *header,
		     const char *name)
{
	char device_copy[256], header_copy[256];
	struct error e = ERROR_NULL;
	struct disk_header h;

	snprintf(device_copy, sizeof(device_copy), "%s", device);
	snprintf(header_copy, sizeof(header_copy), "%s", header ? header : "");
	make_header(&h, dek, device_copy, header ? header_copy : NULL);
	if (state_remember(s, &(struct state_disk){ .h = &h, .name = name }, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_lock_outlives(void **state)
{
	struct error e = ERROR_NULL;
	struct state *s = open_state();

	(void)state;
	assert_int_equal(state_set_locked(s, DEK1, true, &e), -ENOENT);
	remember(s, DEK1, "/dev/vdb", NULL, "web1");
	assert_false(state_is_locked(s, DEK1));
	assert_int_equal(state_set_locked(s, DEK1, true, &e), 0);
	state_free(s);
	s = open_state();
	assert_true(state_is_locked(s, DEK1));
	/* Reading the header anew does not take the lock off. */
	remember(s, DEK1, "/dev/vdc", NULL, "web2");
	assert_true(state_is_locked(s, DEK1));
	assert_false(state_is_locked(s, DEK2));
	assert_int_equal(state_set_locked(s, DEK1, false, &e), 0);
	state_free(s);
	s = open_state();
	assert_false(state_is_locked(s, DEK1));
	state_free(s);
}

static void test_detached_header(void **state)
{
	_cleanup_free_ char *by_dek = NULL;
	_cleanup_free_ char *by_device = NULL;
	struct state *s = open_state();

	(void)state;
	remember(s, DEK1, "/dev/vdb", "/etc/vmcrypt/h1", NULL);
	state_free(s);
	s = open_state();
	by_dek = state_header_of_dek(s, DEK1);
	by_device = state_header_of_device(s, "/dev/vdb");
	assert_string_equal(by_dek, "/etc/vmcrypt/h1");
	assert_string_equal(by_device, "/etc/vmcrypt/h1");
	assert_null(state_header_of_dek(s, DEK2));
	assert_null(state_header_of_device(s, "/dev/vdc"));
	state_free(s);
}

static void found(struct state *s, const char *what, const char *dek)
{
	char text[UUID_TEXT_SIZE];
	struct error e = ERROR_NULL;

	if (state_find(s, what, text, &e) < 0)
		fail_msg("%s: %s", what, e.text);
	assert_string_equal(text, dek);
}

static void test_find(void **state)
{
	char text[UUID_TEXT_SIZE];
	struct error e = ERROR_NULL;
	struct state *s = open_state();

	(void)state;
	remember(s, DEK1, "/dev/vdb", NULL, "web1");
	remember(s, DEK2, "/dev/vdc", NULL, "web1");
	found(s, DEK1, DEK1);
	found(s, "/dev/vdc", DEK2);
	assert_int_equal(state_find(s, "web1", text, &e), -ENOTUNIQ);
	assert_int_equal(state_find(s, "web2", text, &e), -ENOENT);
	/* A name that is not said again stays. */
	remember(s, DEK2, "/dev/vdc", NULL, "web2");
	remember(s, DEK2, "/dev/vdc", NULL, NULL);
	found(s, "web2", DEK2);
	found(s, "web1", DEK1);
	state_free(s);
}

/* One device, one header: the record of the one that was overwritten goes. */
static void test_replaced(void **state)
{
	struct state *s = open_state();
	json_t *record;

	(void)state;
	remember(s, DEK1, "/dev/vdb", NULL, "web1");
	remember(s, DEK2, "/dev/vdb", NULL, "web2");
	assert_null(state_get(s, DEK1));
	record = state_get(s, DEK2);
	assert_non_null(record);
	json_decref(record);
	state_free(s);
}

static void test_notes(void **state)
{
	struct error e = ERROR_NULL;
	struct state *s = open_state();
	json_t *pending;

	(void)state;
	assert_int_equal(state_begin_create(s, DEK1, "/dev/vdb", "/etc/h", &e), 0);
	state_free(s);
	s = open_state();
	pending = state_pending(s);
	assert_int_equal(json_array_size(pending), 1);
	assert_string_equal(json_string_value(json_array_get(json_array_get(pending, 0), 2)), "/etc/h");
	json_decref(pending);
	remember(s, DEK1, "/dev/vdb", "/etc/h", NULL);
	pending = state_pending(s);
	assert_int_equal(json_array_size(pending), 0);
	json_decref(pending);
	assert_int_equal(state_forget(s, DEK1, &e), 0);
	assert_int_equal(state_forget(s, DEK1, &e), 0);
	state_free(s);
}

static void test_damaged_file(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "{\"version\":1}", "{\"version\":2,\"disks\":{}}",
		"{\"version\":1,\"disks\":[]}", "{\"version\":1,\"disks\":{\"x\":{}}}",
		"{\"version\":1,\"disks\":{\"" DEK1 "\":{}}}",
		"{\"version\":1,\"disks\":{\"" DEK1 "\":{\"device\":\"/dev/vdb\"}}}",
		"{\"version\":1,\"disks\":{\"" DEK1 "\":{\"device\":\"vdb\",\"locked\":true}}}",
		"{\"version\":1,\"disks\":{\"" DEK1 "\":{\"device\":\"/dev/vdb\",\"locked\":1}}}",
	};
	struct error e;
	struct state *s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		unit_write(unit_path(dir, STATE_FILE), bad[i], strlen(bad[i]), 0600);
		s = NULL;
		e = ERROR_NULL;
		if (state_open(dir, &s, &e) != -EBADMSG)
			fail_msg("taken: %s (%s)", bad[i], e.text);
		assert_null(s);
		assert_non_null(strstr(e.text, STATE_FILE));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lock_outlives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detached_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
