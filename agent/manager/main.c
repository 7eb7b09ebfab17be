/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmcrypt-manager: keys from key servers for many hosts. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/harden.h"
#include "common/log.h"
#include "manager/backup.h"
#include "manager/init.h"
#include "manager/serve.h"

static int read_password(const char *path, struct secret *ret, struct error *e)
{
	_cleanup_close_ int fd = -1;

	if (!strcmp(path, "-"))
		return file_read_password(STDIN_FILENO, "standard input", ret, e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_fail(e, errno, "Cannot open the password file %s: %s", path,
				  strerror(errno));
	return file_read_password(fd, path, ret, e);
}

static int init(const struct options *options, struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	const struct manager_init init = {
		.vault = { .dir = options->dir, .credentials = getenv("CREDENTIALS_DIRECTORY"),
			   .tcti = options->tcti },
		.source = options->source, .names = options->names, .admin = options->admin,
		.password = &password,
	};
	char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
	int r = read_password(options->password_file, &password, e);

	if (r == 0)
		r = manager_init(&init, fingerprint, e);
	if (r < 0)
		return r;
	printf("The manager's authority has the SHA-256 fingerprint\n  %s\n", fingerprint);
	return 0;
}

static int backup(const struct options *options, struct error *e)
{
	const struct vault_settings vault = { .dir = options->dir };

	return backup_make(&vault, options->file, e);
}

static int restore(const struct options *options, struct error *e)
{
	const struct vault_settings vault = {
		.dir = options->dir, .credentials = getenv("CREDENTIALS_DIRECTORY"),
		.tcti = options->tcti,
	};

	return backup_restore(&vault, options->file, e);
}

static int run(const struct options *options, struct error *e)
{
	switch (options->command) {
	case OPTIONS_INIT:
		return init(options, e);
	case OPTIONS_SERVE:
		return serve(options, e);
	case OPTIONS_BACKUP:
		return backup(options, e);
	case OPTIONS_RESTORE:
		return restore(options, e);
	}
	return error_usage(e, "There is no such command: see vmcrypt-manager --help");
}

int main(int argc, char *argv[])
{
	struct error e = ERROR_NULL;
	struct options options;
	int r;

	log_init("vmcrypt-manager");
	r = options_read(argc, argv, &options, &e);
	if (r == OPTIONS_EXIT)
		return EXIT_SUCCESS;
	if (r == 0) {
		log_set_level(options.log_level);
		r = harden_process(/* lock_memory= */ true, &e);
	}
	if (r == 0)
		r = run(&options, &e);
	if (r == 0)
		return EXIT_SUCCESS;
	log_error("%s", e.text);
	return e.status == EXIT_DONE ? EXIT_FAILED : (int)e.status;
}
