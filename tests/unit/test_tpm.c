// SPDX-License-Identifier: LGPL-2.1-or-later
#include "swtpm.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/json.h"
#include "provider/tpm.h"

static struct swtpm tpm;

static int setup(void **state)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	swtpm_new(&tpm);
	return unit_setup(state);
}

static int teardown(void **state)
{
	(void) state;
	swtpm_done(&tpm);
	return 0;
}

static void tells_whether_there_is_a_tpm(void **state)
{
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(tpm_present(tpm.tcti, &e), 0);
	assert_int_equal(tpm_present("swtpm:path=/nonexistent/socket", &e), -ENODEV);
	unit_speaks(&e, "/nonexistent/socket");
	assert_int_equal(tpm_present("device:/dev/null", &e), -ENODEV);
	assert_int_equal(tpm_present("nonsense:x", &e), -ENODEV);
	assert_int_equal(tpm_present("", &e), -ENODEV);
}

static void unseals_what_it_sealed(void **state)
{
	static const size_t sizes[] = { 1, 32, TPM_SECRET_MAX };
	struct error e = ERROR_NULL;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_secret_ struct secret in = SECRET_NULL, out = SECRET_NULL;
		struct tpm_sealed sealed;

		assert_int_equal(secret_random(sizes[i], &in), 0);
		if (tpm_seal(tpm.tcti, &in, &sealed, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(tpm_unseal(tpm.tcti, &sealed, &out, &e), 0);
		assert_true(secret_equal(&in, &out));
	}
}

static void seals_bounded_sizes_only(void **state)
{
	_cleanup_secret_ struct secret large = SECRET_NULL;
	struct secret none = SECRET_NULL;
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(secret_random(TPM_SECRET_MAX + 1, &large), 0);
	assert_int_equal(tpm_seal(tpm.tcti, &large, &sealed, &e), -EINVAL);
	assert_int_equal(tpm_seal(tpm.tcti, &none, &sealed, &e), -EINVAL);
}

static void seal_one(struct secret *secret, struct tpm_sealed *sealed)
{
	struct error e = ERROR_NULL;

	assert_int_equal(secret_random(32, secret), 0);
	assert_int_equal(tpm_seal(tpm.tcti, secret, sealed, &e), 0);
}

static void survives_a_restart(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL, out = SECRET_NULL;
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;

	(void) state;
	seal_one(&in, &sealed);
	swtpm_off(&tpm);
	assert_int_equal(tpm_unseal(tpm.tcti, &sealed, &out, &e), -ENODEV);
	swtpm_on(&tpm);
	assert_int_equal(tpm_unseal(tpm.tcti, &sealed, &out, &e), 0);
	assert_true(secret_equal(&in, &out));
}

static void leaves_nothing_behind_in_the_tpm(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL;
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;
	int i;

	(void) state;
	/* A TPM has three slots for loaded objects and some more for sessions. */
	seal_one(&in, &sealed);
	for (i = 0; i < 80; i++) {
		_cleanup_secret_ struct secret out = SECRET_NULL;

		if (tpm_unseal(tpm.tcti, &sealed, &out, &e) < 0)
			fail_msg("round %d: %s", i, e.text);
	}
}

static void another_tpm_is_told(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL, out = SECRET_NULL;
	struct swtpm other = { .pid = 0 };
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;

	(void) state;
	seal_one(&in, &sealed);
	swtpm_new(&other);
	assert_int_equal(tpm_unseal(other.tcti, &sealed, &out, &e), -EKEYREJECTED);
	unit_speaks(&e, "replaced or cleared");
	unit_speaks(&e, "provider restore");
	/* Though it has a root key of its own now. */
	assert_int_equal(tpm_unseal(other.tcti, &sealed, &out, &e), -EKEYREJECTED);
	assert_null(out.data);
	swtpm_done(&other);
}

static void no_altered_object_opens(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL;
	struct tpm_sealed sealed, altered;
	struct error e = ERROR_NULL;
	size_t i;

	(void) state;
	seal_one(&in, &sealed);
	for (i = 0; i < sealed.public_size + sealed.private_size + sealed.srk_size; i += 7) {
		_cleanup_secret_ struct secret out = SECRET_NULL;
		size_t at = i;

		altered = sealed;
		if (at < sealed.public_size)
			altered.public_area[at] ^= 1;
		else if ((at -= sealed.public_size) < sealed.private_size)
			altered.private_area[at] ^= 1;
		else
			altered.srk[at - sealed.private_size] ^= 1;
		/* A byte that nothing depends on may pass, but then the secret is right. */
		if (tpm_unseal(tpm.tcti, &altered, &out, &e) == 0)
			assert_true(secret_equal(&in, &out));
		else
			unit_speaks(&e, " ");
	}
	altered = sealed;
	altered.private_size = 0;
	assert_int_equal(tpm_unseal(tpm.tcti, &altered, &in, &e), -EBADMSG);
	altered = sealed;
	altered.public_size = 1;
	assert_int_equal(tpm_unseal(tpm.tcti, &altered, &in, &e), -EBADMSG);
	altered = sealed;
	altered.srk_size = 3;
	assert_int_equal(tpm_unseal(tpm.tcti, &altered, &in, &e), -EBADMSG);
}

static void json_both_ways(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL;
	_cleanup_json_ json_t *json = NULL;
	struct tpm_sealed sealed, again;
	struct error e = ERROR_NULL;

	(void) state;
	seal_one(&in, &sealed);
	json = tpm_sealed_to_json(&sealed);
	assert_int_equal(tpm_sealed_from_json(json, "t", &again, &e), 0);
	assert_memory_equal(again.public_area, sealed.public_area, sealed.public_size);
	assert_memory_equal(again.private_area, sealed.private_area, sealed.private_size);
	assert_memory_equal(again.srk, sealed.srk, sealed.srk_size);
	json_object_set_new(json, "srk", json_string("A"));
	assert_int_equal(tpm_sealed_from_json(json, "t", &again, &e), -EBADMSG);
	json_object_del(json, "srk");
	assert_int_equal(tpm_sealed_from_json(json, "t", &again, &e), -EBADMSG);
}

/* A command of tpm2-tools on a TPM; the last word is NULL. */
static void tool(const struct swtpm *at, const char *const words[])
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("TPM2TOOLS_TCTI", at->tcti, 1);
		execvp(words[0], (char *const *) words);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s failed", words[0]);
}

/* What an administrator or another system put at the root key's handle. */
static void put_at_handle(const struct swtpm *at, const char *algorithm, const char *attributes)
{
	const char *context = unit_path(at->dir, "context");
	const char *const make[] = { "tpm2_createprimary", "-Q", "-C", "o", "-G", algorithm, "-g", "sha256",
				     "-a", attributes, "-c", context, NULL };
	const char *const keep[] = { "tpm2_evictcontrol", "-Q", "-C", "o", "-c", context, "0x81000001", NULL };
	const char *const flush[] = { "tpm2_flushcontext", "-t", NULL };

	tool(at, make);
	tool(at, keep);
	tool(at, flush);
}

static void takes_a_root_key_that_is_there(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL, out = SECRET_NULL;
	struct swtpm other = { .pid = 0 };
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;

	(void) state;
	swtpm_new(&other);
	put_at_handle(&other, "rsa2048:aes128cfb",
		      "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt");
	assert_int_equal(secret_random(32, &in), 0);
	if (tpm_seal(other.tcti, &in, &sealed, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(tpm_unseal(other.tcti, &sealed, &out, &e), 0);
	assert_true(secret_equal(&in, &out));
	swtpm_done(&other);
}

static void refuses_what_is_no_root_key(void **state)
{
	static const char *const password[] = { "tpm2_changeauth", "-Q", "-c", "owner", "word", NULL };
	_cleanup_secret_ struct secret in = SECRET_NULL;
	struct swtpm other = { .pid = 0 };
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(secret_random(32, &in), 0);
	swtpm_new(&other);
	put_at_handle(&other, "rsa2048", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|decrypt");
	assert_int_equal(tpm_seal(other.tcti, &in, &sealed, &e), -EINVAL);
	unit_speaks(&e, "no storage key");
	swtpm_done(&other);

	swtpm_new(&other);
	tool(&other, password);
	assert_int_equal(tpm_seal(other.tcti, &in, &sealed, &e), -EACCES);
	unit_speaks(&e, "owner password");
	swtpm_done(&other);
}

/* A tap between us and the TPM: passes all bytes on, and keeps them. */
struct tap {
	int listener[2];
	pid_t pid;
	char tcti[128];
	char log[128];
};

static int unix_socket(const char *path, bool server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (server && (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 8) < 0))
		return -1;
	if (!server && connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		return -1;
	return fd;
}

static void pump(int a, int b, int log)
{
	char data[8192];
	int max = (a > b ? a : b) + 1;

	for (;;) {
		fd_set set;
		int from;
		ssize_t n;

		FD_ZERO(&set);
		FD_SET(a, &set);
		FD_SET(b, &set);
		if (select(max, &set, NULL, NULL, NULL) < 0)
			_exit(1);
		from = FD_ISSET(a, &set) ? a : b;
		n = read(from, data, sizeof(data));
		if (n <= 0)
			_exit(0);
		if (write(log, data, (size_t) n) != n || write(from == a ? b : a, data, (size_t) n) != n)
			_exit(1);
	}
}

static void tap_run(const struct tap *tap, const char *const to[2])
{
	int log = open(tap->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		fd_set set;
		int i, max = tap->listener[1] + 1;

		FD_ZERO(&set);
		FD_SET(tap->listener[0], &set);
		FD_SET(tap->listener[1], &set);
		if (select(max, &set, NULL, NULL, NULL) < 0)
			continue;
		for (i = 0; i < 2; i++)
			if (FD_ISSET(tap->listener[i], &set)) {
				int client = accept(tap->listener[i], NULL, NULL);

				if (fork() == 0)
					pump(client, unix_socket(to[i], false), log);
				close(client);
			}
	}
}

static void tap_start(struct tap *tap, const char *dir)
{
	char to[2][128];
	const char *const paths[2] = { to[0], to[1] };

	snprintf(tap->log, sizeof(tap->log), "%s/log", dir);
	snprintf(tap->tcti, sizeof(tap->tcti), "swtpm:path=%s/t", dir);
	snprintf(to[0], sizeof(to[0]), "%s/s", tpm.dir);
	snprintf(to[1], sizeof(to[1]), "%s/s.ctrl", tpm.dir);
	tap->listener[0] = unix_socket(unit_path(dir, "t"), true);
	tap->listener[1] = unix_socket(unit_path(dir, "t.ctrl"), true);
	assert_true(tap->listener[0] >= 0 && tap->listener[1] > tap->listener[0]);
	tap->pid = fork();
	if (tap->pid == 0)
		tap_run(tap, paths);
	close(tap->listener[0]);
	close(tap->listener[1]);
}

static void the_bus_never_shows_the_secret(void **state)
{
	_cleanup_secret_ struct secret in = SECRET_NULL, out = SECRET_NULL;
	_cleanup_free_ char *seen = NULL;
	struct tpm_sealed sealed;
	struct error e = ERROR_NULL;
	struct tap tap;
	char dir[64];
	size_t size = 0;
	FILE *f;

	(void) state;
	unit_make_dir(dir);
	tap_start(&tap, dir);
	assert_int_equal(secret_random(32, &in), 0);
	if (tpm_seal(tap.tcti, &in, &sealed, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(tpm_unseal(tap.tcti, &sealed, &out, &e), 0);
	assert_true(secret_equal(&in, &out));
	kill(tap.pid, SIGKILL);
	waitpid(tap.pid, NULL, 0);

	seen = calloc(1, 1 << 20);
	f = fopen(tap.log, "r");
	assert_non_null(f);
	size = fread(seen, 1, 1 << 20, f);
	fclose(f);
	/* The tap did see the talk: the object's public area crosses in clear. */
	assert_non_null(memmem(seen, size, sealed.public_area, sealed.public_size));
	assert_null(memmem(seen, size, in.data, 8));
	assert_null(memmem(seen, size, in.data + 24, 8));
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_whether_there_is_a_tpm),
		cmocka_unit_test(unseals_what_it_sealed),
		cmocka_unit_test(seals_bounded_sizes_only),
		cmocka_unit_test(survives_a_restart),
		cmocka_unit_test(leaves_nothing_behind_in_the_tpm),
		cmocka_unit_test(another_tpm_is_told),
		cmocka_unit_test(no_altered_object_opens),
		cmocka_unit_test(json_both_ways),
		cmocka_unit_test(takes_a_root_key_that_is_there),
		cmocka_unit_test(refuses_what_is_no_root_key),
		cmocka_unit_test(the_bus_never_shows_the_secret),
	};

	return cmocka_run_group_tests_name("tpm", tests, setup, teardown);
}
