/*
 * queue/marks.h
 *	  From which id on a queue has to be read when the server starts: the keeper's work.
 *
 * Memory knows it: a message that is not finished has a slot, or was left to the log and the
 * marks of its lane or of the parked ones are below it, or its sender hasn't published it yet.
 */
#ifndef BATON_QUEUE_MARKS_H
#define BATON_QUEUE_MARKS_H

#include "postgres.h"

/*
 * Raises Queue.finished_below of the database's queues, and writes to baton.queue_mark what has risen far, or
 * long ago.  Runs transactions of its own; call outside of one.  Only the keeper calls it.
 */
extern void marks_raise(uint32 database);

#endif
