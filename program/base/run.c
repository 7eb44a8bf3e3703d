/*
 * base/run.c
 *	  Runs another program to its end.
 */
#define _GNU_SOURCE 1 /* pipe2 */

#include "base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"

static void
become(const char *const *argv, int out_fd)
{
	int nothing = open("/dev/null", O_RDONLY);

	dup2(nothing, STDIN_FILENO);
	dup2(out_fd, STDOUT_FILENO);
	dup2(out_fd, STDERR_FILENO);
	execvp(argv[0], (char *const *) argv);
	_exit(127);
}

static void
read_all(int fd, Text *out)
{
	ssize_t got;

	do
	{
		text_reserve(out, 4096);
		got = read(fd, out->data + out->length, 4096);
		if (got > 0)
			out->length += got;
		out->data[out->length] = '\0';
	} while (got > 0 || (got < 0 && errno == EINTR));
}

int
run_program(const char *const *argv, Text *out)
{
	int fds[2];
	pid_t pid;
	int status;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		die(EXIT_ERROR, "could not start \"%s\": %s", argv[0], strerror(errno));
	if (pid == 0)
		become(argv, fds[1]);
	close(fds[1]);
	read_all(fds[0], out);
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die(EXIT_ERROR, "could not wait for \"%s\": %s", argv[0], strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
