/*
 * cluster/companion.c
 *	  A second program that runs beside the cluster's server.
 */
#define _GNU_SOURCE 1 /* pipe2 */

#include "cluster/companion.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/text.h"

#define FIRST_LINE_MS 20000
#define FIRST_PAUSE_MS 250
#define LONGEST_PAUSE_MS 10000

/* ---- the child ---- */

static void
become_companion(const Companion *companion, pid_t parent, int out)
{
	int log = open(companion->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int in = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	(void) setsid(); /* Ctrl-C is for the parent alone */
	loop_signals_restore();
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(log >= 0 ? log : in, STDERR_FILENO);
	execv(companion->argv[0], (char *const *) companion->argv);
	_exit(127);
}

/* Its standard output can be read from *out. */
static void
start(Companion *companion, int *out)
{
	pid_t parent = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0 || (companion->pid = fork()) < 0)
		die(EXIT_ERROR, "could not start a process: %s", strerror(errno));
	if (companion->pid == 0)
		become_companion(companion, parent, fds[1]);
	close(fds[1]);
	*out = fds[0];
}

/* ---- its first line ---- */

/* What it has said up to the end of a line, of itself, or of the time. */
static void
read_line(int fd, Text *line)
{
	int64_t end = clock_ms() + FIRST_LINE_MS;
	char c = '\0';

	while (c != '\n' && clock_ms() < end)
	{
		struct pollfd ready = {.fd = fd, .events = POLLIN};

		if (poll(&ready, 1, 100) == 1)
		{
			if (read(fd, &c, 1) != 1)
				return;
			text_add_char(line, c);
		}
	}
}

char *
companion_start(Companion *companion)
{
	Text line = {0};
	int out;

	start(companion, &out);
	read_line(out, &line);
	/* Nothing else is wanted: it finds its output closed. */
	close(out);
	if (line.length > 0 && line.data[line.length - 1] == '\n')
	{
		line.data[--line.length] = '\0';
		return text_take(&line);
	}
	text_free(&line);
	(void) kill(companion->pid, SIGKILL);
	(void) waitpid(companion->pid, NULL, 0);
	companion->pid = 0;
	return NULL;
}

/* ---- its end ---- */

static void
start_again(void *arg)
{
	Companion *companion = arg;
	int out;

	start(companion, &out);
	close(out);
}

void
companion_look(Companion *companion)
{
	int64_t pause = (int64_t) FIRST_PAUSE_MS
	                << (companion->failures < 8 ? companion->failures : 8);
	int status;

	if (companion->pid == 0 ||
	    waitpid(companion->pid, &status, WNOHANG) != companion->pid)
		return;
	companion->pid = 0;
	if (companion->stopping)
		return;
	companion->failures++;
	log_message(LOG_WARNING, "companion_ended",
	            "%s %d of \"%s\", starting it again; see %s",
	            WIFSIGNALED(status) ? "signal" : "exit status",
	            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	            companion->argv[0], companion->log);
	loop_timer(&companion->again, pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS,
	           start_again, companion);
}

bool
companion_stop(Companion *companion)
{
	loop_timer_stop(&companion->again);
	if (companion->pid != 0 && !companion->stopping)
		(void) kill(companion->pid, SIGTERM);
	companion->stopping = true;
	return companion->pid == 0;
}
