/*
 * queue/record.h
 *	  Writing to the log what has happened in memory already, and tidying up: the
 *	  keeper's work, and check_hung_messages()'s.
 */
#ifndef BATON_QUEUE_RECORD_H
#define BATON_QUEUE_RECORD_H

#include "postgres.h"

/*
 * Writes up to a batch of posted outcomes to the log, in a transaction of its own, and declares dead
 * what is condemned.  Call outside of a transaction.  Returns whether there is more.
 * Two callers at once are kept apart by an advisory lock of the database: the second writes nothing.
 */
extern bool record_outcomes(uint32 database);

/* Posts again the deaths of condemned messages that found no room or lost their keeper. */
extern void record_recover(uint32 database);

/*
 * Ends every claim whose holder is gone or whose lease is over, and moves on what is due.
 * Returns how many claims were ended.
 */
extern int64 end_hung_claims(uint32 database);

/* Takes back the slots of dropped queues. */
extern void sweep_dropped(uint32 database);

#endif
