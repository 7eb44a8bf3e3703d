/*
 * cluster/companion.h
 *	  A second program that runs beside the cluster's server, as long as that does.
 *
 * It is started again when it ends unasked, and stopped by SIGTERM.  If this process is
 * killed it gets SIGTERM too.
 */
#ifndef CLUSTER_COMPANION_H
#define CLUSTER_COMPANION_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"

typedef struct Companion
{
	const char *const *argv; /* ends with NULL; argv[0] is the program's path */
	const char *log;         /* file its standard error is added to */
	pid_t pid;               /* 0: none, or ended */
	int failures;            /* ends in a row */
	bool stopping;
	LoopTimer again;
} Companion;

/*
 * Starts it, and waits until it has printed a line, which the caller frees; NULL: it ended
 * before, or said nothing for a while, and is not running.
 */
extern char *companion_start(Companion *companion);

/* Some child of this process has ended: perhaps this one. */
extern void companion_look(Companion *companion);

/* Asks it to end, the first time; true: it has, or never ran. */
extern bool companion_stop(Companion *companion);

#endif
