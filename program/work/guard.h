/*
 * work/guard.h
 *	  A small process that outlives the worker by a moment and takes the worker's
 *	  commands with it.
 *
 * When a worker is killed, the server gives its messages to others at once.  What
 * the killed worker had started must not go on with the same messages beside
 * them.  The kernel kills the commands themselves (PR_SET_PDEATHSIG), but not what
 * they have started in turn; the guard, which hears of every command by a pipe and
 * of the worker's end by the end of that pipe, kills their process groups.
 */
#ifndef WORK_GUARD_H
#define WORK_GUARD_H

#include <sys/types.h>

/* Before the first connection is made: the guard must not hold copies of sockets. */
extern void guard_start(void);

/* A command's process group exists; called by the command's process itself. */
extern void guard_enter(pid_t group);

/* The group has been killed; before its leader is reaped and the number is free. */
extern void guard_leave(pid_t group);

#endif
