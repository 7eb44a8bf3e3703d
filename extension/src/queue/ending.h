/*
 * queue/ending.h
 *	  What becomes of a claim that ends without being settled.
 *
 * Memory first, log later: whoever notices makes the message available at once and posts
 * an outcome, which the keeper writes to the log.
 */
#ifndef BATON_QUEUE_ENDING_H
#define BATON_QUEUE_ENDING_H

#include "postgres.h"

#include "memory/memory.h"
#include "memory/waiters.h"

typedef enum EndReason
{
	END_VANISHED,				/* its holder's session is gone: counts as a crash */
	END_LEASE,					/* the lease is over: counts as a crash */
	END_FAILED,					/* rolled back by an error: counts as a failure */
	END_RETURNED				/* rolled back by nobody's fault: counts only when it goes on and on */
} EndReason;

/*
 * Ends the claim of a slot that is CLAIMED or SETTLING, under its queue's lock.  sqlstate and
 * text (may be NULL) say what the holder's error was.  Raises nothing.
 */
extern void claim_end(uint32 slot, EndReason reason, int sqlstate, const char *text,
					  TimestampTz now, Wakes *wakes);

/* The claim is there to stay, whatever ends it: counts it, once.  Under the queue's lock. */
extern void claim_delivered(uint32 slot);

/* The claim never was: its message is back in its place, and nothing is counted.  Under the queue's lock. */
extern void claim_give_back(uint32 slot, Wakes *wakes);

/*
 * The claim never was, and its message isn't in the log: its slot is freed.  look_again: the loader looks for it
 * once more.  Under the queue's lock.
 */
extern void claim_forget(uint32 slot, bool look_again, Wakes *wakes);

/* Posts the death of a CONDEMNED slot, under its queue's lock. */
extern void condemned_post(uint32 slot, TimestampTz now);

/* The delay before the next try, by the queue's backoff; tries >= 1. */
extern int64 retry_delay(const Queue *queue, int tries);

/*
 * A slot that is in no place becomes ready or delayed, by its time.  in_log: the time is in the
 * log, so the slot may be given up if the window has no room for it (parked).
 */
extern void slot_return(uint32 slot, TimestampTz due, bool in_log, TimestampTz now,
						Wakes *wakes);

/* Remembers in the marks that message `id`, due at `due`, is only in the log. */
extern void due_leave(Queue *queue, int64 id, TimestampTz due);

/* Whether a message is of no interest any more, unless somebody holds it: it has expired, or was purged. */
extern bool is_over(const Slot *s, TimestampTz now);

/* Whether a message is one of those that are counted in the log; the others are when they are published. */
extern bool sent_before(const Queue *queue, int64 id);

/* Counts that a message is finished, for ever; under its queue's lock. */
extern void count_finished(const Slot *s);

/* A message that counts has this expiry, or 0. */
extern void expiry_note(Queue *queue, TimestampTz expires_at);

/* Frees the slot of a message that is_over() and in no place.  Others may be ready by that, if it has a key. */
extern void free_over(uint32 slot);

/*
 * What is due later is parked: that of the next minute is in memory, or of the next few seconds if there is so much of
 * it that this leaves no room.  At the worst now, which means that the loader comes for it when it is due.
 */
extern TimestampTz park_after(const Queue *queue, TimestampTz now);

/* Moves on what is due: delayed ones to their lanes, claims whose lease is over.  At
 * most n of them.  Returns whether there is more. */
extern bool advance_timers(uint32 queue, TimestampTz now, uint32 n, Wakes *wakes);

/* The same with the lock taken and released, only if something is due. */
extern void advance_timers_if_due(uint32 queue, TimestampTz now);

#endif
