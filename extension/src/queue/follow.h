/*
 * queue/follow.h
 *	  Sleeping until events are committed, with no snapshot.
 */
#ifndef BATON_QUEUE_FOLLOW_H
#define BATON_QUEUE_FOLLOW_H

#include "postgres.h"

#include "memory/tail.h"

/*
 * Sleeps until events that the filter lets through have been committed after *mark, or `timeout` microseconds have passed.
 * Copies up to `room` of them to out and moves *mark behind them; returns how many, 0: the time ran
 * out, -1: some may be missing, read the log, *mark is where to go on.  The caller holds no
 * snapshot and no lock.  Raises what CHECK_FOR_INTERRUPTS raises; ends the session if its client is gone.
 */
extern int	follow_wait(const TailFilter *filter, int64 *mark, int64 timeout, TailEntry *out,
						int room);

#endif
