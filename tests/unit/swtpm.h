/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A software TPM for tests, over a unix socket.
 */
#ifndef VMCRYPT_TESTS_SWTPM_H
#define VMCRYPT_TESTS_SWTPM_H

#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/**
 * struct swtpm - one software TPM
 * @pid: its process, 0 when it is off
 * @dir: its state; another folder is another TPM
 * @tcti: how it is reached
 */
struct swtpm {
	pid_t pid;
	char dir[64];
	char tcti[128];
};

static inline void swtpm_exec(const struct swtpm *tpm)
{
	char state[128], server[128], control[128];
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	snprintf(state, sizeof(state), "dir=%s", tpm->dir);
	snprintf(server, sizeof(server), "type=unixio,path=%s/s", tpm->dir);
	snprintf(control, sizeof(control), "type=unixio,path=%s/s.ctrl", tpm->dir);
	execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl",
	       control, "--flags", "not-need-init,startup-clear", NULL);
	_exit(127);
}

/* Switches a TPM on; its state stays when it is switched off. */
static inline void swtpm_on(struct swtpm *tpm)
{
	int i;

	unlink(unit_path(tpm->dir, "s"));
	unlink(unit_path(tpm->dir, "s.ctrl"));
	tpm->pid = fork();
	assert_true(tpm->pid >= 0);
	if (tpm->pid == 0)
		swtpm_exec(tpm);
	for (i = 0; i < 1000; i++) {
		if (access(unit_path(tpm->dir, "s"), F_OK) == 0 &&
		    access(unit_path(tpm->dir, "s.ctrl"), F_OK) == 0)
			return;
		assert_int_equal(waitpid(tpm->pid, NULL, WNOHANG), 0);
		usleep(10000);
	}
	fail_msg("swtpm does not come up");
}

static inline void swtpm_off(struct swtpm *tpm)
{
	if (tpm->pid <= 0)
		return;
	kill(tpm->pid, SIGTERM);
	waitpid(tpm->pid, NULL, 0);
	tpm->pid = 0;
	unlink(unit_path(tpm->dir, "s"));
	unlink(unit_path(tpm->dir, "s.ctrl"));
}

static inline void swtpm_new(struct swtpm *tpm)
{
	unit_make_dir(tpm->dir);
	snprintf(tpm->tcti, sizeof(tpm->tcti), "swtpm:path=%s/s", tpm->dir);
	swtpm_on(tpm);
}

static inline void swtpm_done(struct swtpm *tpm)
{
	swtpm_off(tpm);
	unit_remove_dir(tpm->dir);
}

#endif
