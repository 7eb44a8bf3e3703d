/*
 * memory/outcomes.h
 *	  What happened to claims without their holders, until the keeper has written it to the log.
 *
 * Posting takes an entry from a fixed pool: it can't fail in a way that matters; without
 * room the history row is lost, never the message, and it is counted.
 */
#ifndef BATON_MEMORY_OUTCOMES_H
#define BATON_MEMORY_OUTCOMES_H

#include "memory/memory.h"

/* Copies *outcome to the end of the database's list.  False: no room. */
extern bool outcome_post(uint32 database, const Outcome *outcome);

/* Copies the first n of the list, which stay there. */
extern uint32 outcomes_peek(uint32 database, Outcome *out, uint32 n);

/* Whether a death of that message is in the list. */
extern bool outcome_death_pending(uint32 database, int64 message_id);

/* Whether anything of that message is in the list. */
extern bool outcome_pending(uint32 database, int64 message_id);

/* Whether one is in the list whose row goes to that segment. */
extern bool outcome_pending_for(uint32 database, uint32 segment);

/* Removes the first n: they are in the log. */
extern void outcomes_drop(uint32 database, uint32 n);

#endif
