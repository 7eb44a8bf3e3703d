/*
 * work/child.h
 *	  A command at work on a message: a process group of its own, the payload on
 *	  standard input, what it writes captured.
 */
#ifndef WORK_CHILD_H
#define WORK_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"
#include "work/output.h"

typedef struct Child
{
	pid_t pid;         /* and number of the group; 0: none */
	Capture out;       /* the first bytes */
	Capture err;       /* the last bytes */
	LoopSource out_io; /* read ends of pipes; not watched: closed */
	LoopSource err_io;
} Child;

/* Most of the bytes of standard error that are kept. */
#define CHILD_ERROR_BYTES 4096

/*
 * Starts argv with the environment given (both end with NULL).  Of what it writes
 * to standard output most_output bytes are kept.  False with errno: it could not be started.
 */
extern bool child_start(Child *child, const char *const *argv, char *const *environment,
                        const Text *input, size_t most_output);

/* A signal to the command and all it has started. */
extern void child_signal(const Child *child, int signo);

/*
 * The next command that has ended: its group is killed, its pid returned and
 * reaped, its status in *status.  0: no more.  Takes ends of all processes of ours;
 * the caller knows which are commands.
 */
extern pid_t child_ended(int *status);

/* After its end: reads what is left in the pipes and closes them. */
extern void child_close(Child *child);
extern void child_free(Child *child);

#endif
