/*
 * memory/line.h
 *	  Where a slot stands: lanes, key lines, timers, and every move between them.
 *
 *	  arriving -> ready, delayed	the loader: line_ready, line_delay
 *	  (free)   -> ready, delayed	a commit: line_ready, line_delay
 *	  ready    -> claimed			line_pop, then line_claim
 *	  ready    -> blocked			line_pop, then key_acquire says no: line_block
 *	  blocked  -> ready				key_release of another
 *	  delayed  -> ready				line_pop_due, then line_ready
 *	  claimed  -> settling			line_settle
 *	  claimed  -> ready, delayed	line_take_out, then line_ready or line_delay
 *	  claimed  -> condemned			line_take_out, then line_condemn
 *	  settling -> ready, delayed, claimed	line_ready, line_delay, line_claim
 *	  ready, blocked, delayed -> moving		line_take_out, then line_move
 *	  (free)   -> moving			line_borrow
 *	  moving   -> ready, delayed	line_ready, line_delay
 *	  any but free -> free			line_take_out, then line_free
 *
 * All functions need the queue's lock, exclusively, unless they say otherwise; none
 * allocates or raises an error.
 */
#ifndef BATON_MEMORY_LINE_H
#define BATON_MEMORY_LINE_H

#include "memory/memory.h"
#include "memory/waiters.h"

static inline bool
lane_spilled(const Lane *lane)
{
	return lane->loaded != ID_INFINITE || lane->gaps.count > 0 ||
		   lane->reading.first != ID_INFINITE;
}

/* Highest id that may be handed out: nothing that is still in the log may be overtaken. */
static inline int64
lane_limit(const Lane *lane)
{
	int64		limit = Min(lane->loaded, lane->reading.first - 1);

	if (lane->gaps.count > 0)
		limit = Min(limit, lane->gaps.range[0].first - 1);
	return limit;
}

/* A new entry: everything empty, each lane spilled from id `from` on, so that the
 * loader reads it; ID_INFINITE: there is nothing in the log. */
extern void line_init(Queue *queue, int64 from);

/*
 * Message `id` of the lane stays in, or goes back to, the log: sets the marks so that the
 * loader will read it again.
 */
extern void lane_leave(Queue *queue, int priority, int64 id);

/* The same where the loader may have it brought in already, so the lane's marks don't tell. */
extern void lane_leave_gap(Queue *queue, int priority, int64 id);

/* The loader has read a message's row and is still asking whether it is finished: the slot, filled in, is in
 * the hash only.  False, and nothing done, if the message has a slot already. */
extern bool line_arrive(uint32 slot);

/* The lane's lowest id, or NONE if nothing of it may be handed out. */
extern uint32 lane_first(const Lane *lane);

/*
 * True if something could be handed out, keys, quarantine and snapshots aside.  Where a lane has messages in the log
 * only, what is of lower priority waits for the loader; but if that is stuck, for a second only.
 */
extern bool line_has_ready(const Queue *queue);

/* Looks whether that second is over: true if it is now.  For who has found nothing to receive, or is about to sleep. */
extern bool line_lose_patience(Queue *queue, TimestampTz now);

/* The loader is at work: lower priorities wait for it again. */
extern void line_be_patient(Queue *queue);

/*
 * Puts a slot that is in no place where it can be handed out.
 */
extern void line_ready(uint32 slot);

/* Puts it under the timers, until `due`; wakes the guard if nothing is due earlier. */
extern void line_delay(uint32 slot, TimestampTz due, Wakes *wakes);

/* The next one to hand out, unlinked, still READY in name; NONE: none.  The caller moves it on. */
extern uint32 line_pop(Queue *queue);

/* claimed: under the timers until its lease ends; due 0: under none, the transaction is open. */
extern void line_claim(uint32 slot, TimestampTz due, Wakes *wakes);
extern void line_settle(uint32 slot, uint32 settler);
extern void line_condemn(uint32 slot);

/* Its row is being copied to another segment.  borrow: a slot that is not in use, filled in; false, and nothing
 * done, if the message has a slot. */
extern void line_move(uint32 slot);
extern bool line_borrow(uint32 slot);

/* A consumer has it, or had it when a budget was used up: a purge leaves it to its end. */
static inline bool
state_is_held(SlotState state)
{
	return state == SLOT_CLAIMED || state == SLOT_SETTLING || state == SLOT_CONDEMNED;
}

/* Whether some messages of the queue may be in the log only. */
extern bool line_spilled(const Queue *queue);

/* How many messages have a slot, but for those that are being moved, which may be finished. */
extern uint32 line_count(const Queue *queue);

/* Lowest id that may be unfinished and has no slot; ID_INFINITE: none. */
extern int64 line_lowest_left(const Queue *queue);

/* Unlinks a slot from wherever its state says it is. */
extern void line_take_out(uint32 slot);

/* Forgets an unlinked slot: its key, its hash entry; then it is free. */
extern void line_free(uint32 slot);


/* Unlinks and returns what is due at `now`; NONE: nothing. */
extern uint32 line_pop_due(Queue *queue, TimestampTz now);

/*
 * Takes the key of a message for a claim: true if it has none, holds it already, or fewer than
 * limit others hold it.
 */
extern bool key_acquire(uint32 slot, int limit);

/* Puts an unlinked slot in the line of its key, after key_acquire said no. */
extern void line_block(uint32 slot);

/* Gives the key back, if the slot holds it, and makes those ready that may go next. */
extern void key_release(uint32 slot);

/* Makes the slot hold its key whatever the limit: it did before a restart. */
extern void key_hold(uint32 slot);

/*
 * Takes up to n of the queue's ready slots, the last first, out of memory; they stay in the
 * log.  Returns how many, in out; they are the caller's.  Only what would be handed out
 * after message `only_above` of that priority (the highest and -1: all).
 */
extern uint32 line_evict(Queue *queue, uint32 n, int priority, int64 only_above, uint32 *out);

/*
 * Slots for a queue: free ones, else ready ones of the queue that holds the most, if
 * that is much more than this one holds.  Takes no slot from `queue` itself.
 * Called without any queue's lock; takes one.  Returns how many.
 */
extern uint32 line_obtain(uint32 queue, uint32 n, uint32 *out);

#endif
