/*
 * work/guard.c
 *	  A small process that outlives the worker by a moment and takes the worker's
 *	  commands with it.
 */
#define _GNU_SOURCE 1 /* pipe2 */

#include "work/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"

static int guard_pipe = -1;

/* The groups that live, in no order. */
typedef struct Groups
{
	int32_t *list;
	size_t count;
	size_t size;
} Groups;

static void
enter(Groups *groups, int32_t group)
{
	if (groups->count == groups->size)
	{
		groups->size = groups->size ? groups->size * 2 : 16;
		groups->list = mem_resize(groups->list, sizeof(int32_t) * groups->size);
	}
	groups->list[groups->count++] = group;
}

static void
leave(Groups *groups, int32_t group)
{
	for (size_t i = 0; i < groups->count; i++)
		if (groups->list[i] == group)
		{
			groups->list[i] = groups->list[--groups->count];
			return;
		}
}

/* Whole numbers only: each was written at once, and is shorter than PIPE_BUF. */
static void
guard_run(int fd)
{
	Groups groups = {0};
	int32_t word;
	ssize_t got;

	while ((got = read(fd, &word, sizeof(word))) == sizeof(word) ||
	       (got < 0 && errno == EINTR))
	{
		if (got > 0 && word > 0)
			enter(&groups, word);
		else if (got > 0)
			leave(&groups, -word);
	}
	for (size_t i = 0; i < groups.count; i++)
		(void) kill(-groups.list[i], SIGKILL);
	_exit(0);
}

void
guard_start(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		die(EXIT_ERROR, "could not start a process: %s", strerror(errno));
	if (pid == 0)
	{
		/* What stops the worker, Ctrl-C included, is not for the guard. */
		(void) setsid();
		signal(SIGTERM, SIG_IGN);
		close(fds[1]);
		guard_run(fds[0]);
	}
	close(fds[0]);
	guard_pipe = fds[1];
}

static void
tell(int32_t word)
{
	if (write(guard_pipe, &word, sizeof(word)) != sizeof(word))
		log_message(LOG_WARNING, "guard", "the guard of the commands is gone");
}

void
guard_enter(pid_t group)
{
	tell(group);
}

void
guard_leave(pid_t group)
{
	tell(-group);
}
