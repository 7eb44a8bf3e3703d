/*
 * queue/maintain.h
 *	  Cleaning up: closing, counting, emptying segments, moving survivors out of them.
 *
 * Done in steps, each a transaction that first takes maintenance_lock() and waits for no other lock, so the keeper's
 * worker and cleanup_queue() may be at it at once, and nobody else notices.
 */
#ifndef BATON_QUEUE_MAINTAIN_H
#define BATON_QUEUE_MAINTAIN_H

#include "postgres.h"

#include "memory/memory.h"

/* What was done. */
typedef struct CleanupReport
{
	int64		segments_emptied;
	int64		messages_removed;	/* finished, retention over */
	int64		messages_moved; /* compaction */
	int64		bytes_freed;
	int64		segments_kept;	/* closed ones that something is still needed of, or somebody reads */
} CleanupReport;

/* How cleanup goes on. */
typedef struct Cleanup
{
	uint32		database;
	bool		forced;			/* asked for: everything is looked at, once */
	bool		rotated;
	bool		swept;			/* slots of messages that are over have been freed */
	TimestampTz until;			/* asked for: what is sealed later is not looked at, so that it ends; 0: all is */
	int			closings;
	long		pause_ms;		/* between two pieces of work of a step, the caller's to set; 0: none */
	uint32		current;		/* segment that the last step was about; NONE: none */
	uint32		looked[MAX_SEGMENTS / 32];	/* forced: segments that have been counted, by bit */
	CleanupReport report;
} Cleanup;

extern void cleanup_begin(Cleanup *cleanup, uint32 database, bool forced);

/*
 * One step, in a transaction of the caller's with an active snapshot, who commits it.  Returns whether there
 * may be more to do at once.  Errors: what its statements raise; the transaction's abort undoes the step.
 */
extern bool cleanup_step(Cleanup *cleanup);

/* Waits for so many milliseconds, or until the latch is set, which it resets; 0: doesn't.  Interrupts raise an error. */
extern void cleanup_nap(long ms);

/* The last step raised an error, and its transaction was rolled back: its segment is left alone for a while. */
extern void cleanup_failed(Cleanup *cleanup);

/* It was committed. */
extern void cleanup_succeeded(Cleanup *cleanup);

/* Completes the report. */
extern void cleanup_end(Cleanup *cleanup);

/* Whether there is something that a step would do, as far as memory and baton.segment tell.  In a transaction. */
extern bool cleanup_needed(uint32 database);

/* Frees slots that are in a lane, a line or under a timer, of messages that are over. */
extern void sweep_over(uint32 database);

/* Frees slots of purged messages, if a queue has been purged.  No transaction needed. */
extern void sweep_purged_if_needed(uint32 database);

#endif
