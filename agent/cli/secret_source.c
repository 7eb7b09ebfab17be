// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/secret.h"

#define TERMINAL "/dev/tty"

/**
 * struct source - where a password comes from
 * @file: a file, or %NULL
 * @fd: a descriptor, or -1
 * @prompt: what is asked on the terminal without either
 * @twice: and asked again
 * @options: that name a file or a descriptor
 */
struct source {
	const char *file;
	int fd;
	const char *prompt;
	bool twice;
	const char *options;
};

static int tty_error(const struct source *source, struct error *e, int code)
{
	return error_set(e, code, EXIT_USAGE, /* reason= */ 0,
			 "There is no terminal to ask for the password on (%s: %s). Use %s",
			 TERMINAL, strerror(code), source->options);
}

/* Signals that would end or stop the program and leave the echo off. */
static void stop_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGQUIT);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGTSTP);
}

/* In canonical mode one read is one line. */
static int read_line(int tty, int signals, struct secret *ret, struct error *e)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = tty, .events = POLLIN },
	};
	_cleanup_secret_ struct secret line = SECRET_NULL;
	ssize_t n;

	if (secret_new(PASSWORD_MAX + 2, &line) < 0)
		return error_oom(e);
	if (poll(fds, ARRAY_SIZE(fds), -1) < 0 || fds[0].revents)
		return error_fail(e, EINTR, "The password was not entered: interrupted");
	n = read(tty, line.data, line.size);
	if (n < 0)
		return error_fail(e, errno, "Cannot read the password from %s: %s",
				  TERMINAL, strerror(errno));
	if ((size_t)n > PASSWORD_MAX + 1)
		return error_set(e, EINVAL, EXIT_USAGE, /* reason= */ 0,
				 "A password has at most %zu bytes", PASSWORD_MAX);
	if (n > 0 && line.data[n - 1] == '\n')
		n--;
	if (n == 0)
		return error_set(e, EINVAL, EXIT_USAGE, /* reason= */ 0,
				 "An empty password is no password");
	secret_shrink(&line, (size_t)n);
	*ret = secret_take(&line);
	return 0;
}

static int read_without_echo(const struct source *source, int tty, int signals,
			     const char *prompt, struct secret *ret, struct error *e)
{
	struct termios before, quiet;
	int r;

	if (tcgetattr(tty, &before) < 0)
		return tty_error(source, e, errno);
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_lflag |= ICANON | ISIG | ECHONL;
	if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
		return tty_error(source, e, errno);
	r = file_write_all(tty, prompt, strlen(prompt));
	if (r < 0)
		r = tty_error(source, e, -r);
	else
		r = read_line(tty, signals, ret, e);
	/* What was typed beyond the line is dropped, not left to the shell. */
	tcsetattr(tty, TCSAFLUSH, &before);
	return r;
}

static int ask(const struct source *source, int tty, int signals, struct secret *ret,
	       struct error *e)
{
	_cleanup_secret_ struct secret first = SECRET_NULL;
	_cleanup_secret_ struct secret second = SECRET_NULL;
	int r;

	r = read_without_echo(source, tty, signals, source->prompt, &first, e);
	if (r == 0 && source->twice)
		r = read_without_echo(source, tty, signals, "The same again: ", &second, e);
	if (r < 0)
		return r;
	if (source->twice && !secret_equal(&first, &second))
		return error_set(e, EINVAL, EXIT_USAGE, /* reason= */ 0,
				 "The two passwords differ");
	*ret = secret_take(&first);
	return 0;
}

static int prompt_secret(const struct source *source, struct secret *ret, struct error *e)
{
	_cleanup_close_ int tty = -1, signals = -1;
	sigset_t stops, before;
	int r;

	tty = open(TERMINAL, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return tty_error(source, e, errno);
	stop_signals(&stops);
	signals = signalfd(-1, &stops, SFD_CLOEXEC);
	if (signals < 0)
		return error_fail(e, errno, "Cannot watch for signals: %s",
				  strerror(errno));
	sigprocmask(SIG_BLOCK, &stops, &before);
	r = ask(source, tty, signals, ret, e);
	/* A signal that came meanwhile takes effect here. */
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int read_secret(const struct source *source, struct secret *ret, struct error *e)
{
	_cleanup_close_ int fd = -1;

	if (source->fd >= 0)
		return file_read_password(source->fd, "--password-fd", ret, e);
	if (!source->file)
		return prompt_secret(source, ret, e);
	fd = open(source->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_fail(e, errno, "Cannot open the password file %s: %s",
				  source->file, strerror(errno));
	return file_read_password(fd, source->file, ret, e);
}

static int open_source(const struct source *source, int *ret_fd, struct error *e)
{
	_cleanup_secret_ struct secret secret = SECRET_NULL;
	_cleanup_close_ int reader = -1, writer = -1;
	int r, ends[2];

	r = read_secret(source, &secret, e);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_fail(e, errno, "Cannot make a pipe for the password: %s",
				  strerror(errno));
	reader = ends[0];
	writer = ends[1];
	/* A pipe takes a whole page without anybody reading. */
	r = file_write_all(writer, secret.data, secret.size);
	if (r < 0)
		return error_fail(e, r, "Cannot write the password to a pipe: %s",
				  strerror(-r));
	*ret_fd = TAKE_FD(reader);
	return 0;
}

int cli_secret_open(const struct cli_call *call, int *ret_fd, struct error *e)
{
	const struct source source = {
		.file = call->secret_file,
		.fd = call->secret_fd,
		.prompt = "Password: ",
		.twice = call->command->secret == CLI_SECRET_NEW ||
			 call->command->secret == CLI_SECRET_NEW_OR_CERTIFICATE,
		.options = "--password-file or --password-fd",
	};

	return open_source(&source, ret_fd, e);
}

int cli_secret_open_new(const struct cli_call *call, int *ret_fd, struct error *e)
{
	const struct source source = {
		.file = call->new_secret_file,
		.fd = -1,
		.prompt = "New password: ",
		.twice = true,
		.options = "--new-password-file",
	};

	return open_source(&source, ret_fd, e);
}
