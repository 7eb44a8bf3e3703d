/*
 * work/worker.h
 *	  A worker: takes messages of one queue and runs a command for each.
 */
#ifndef WORK_WORKER_H
#define WORK_WORKER_H

#include <stdbool.h>

typedef struct WorkerOptions
{
	const char *queue;
	const char *const *command; /* argv, ends with NULL */
	int concurrency;
	const char *lease; /* interval; NULL: the queue's */
	bool detached;     /* claims by lease alone, for transaction poolers */
	bool text;         /* a payload that is a JSON string: the command gets its text */
	double timeout;    /* seconds a command may take; 0: no bound */
	double grace;      /* seconds to finish in after SIGTERM */
	int most_output;   /* bytes of a result */
} WorkerOptions;

typedef struct WorkerTotals
{
	long completed;
	long failed;
	long released;
	long lost;
} WorkerTotals;

/*
 * Works until SIGTERM or SIGINT, or until the server says something that won't get
 * better (no such queue).  Returns an ExitCode.  Ends the program if it can't connect
 * at the start; later it connects again by itself.
 */
extern int worker_run(const WorkerOptions *options, WorkerTotals *totals);

#endif
