/*
 * memory/waiters.h
 *	  Who sleeps for a queue, and whom to wake.
 *
 * A waiter is a bit, one for each session and queue; a session may wait for many queues.
 * Waking clears the bit; the latch is set after the queue's lock is released.
 *
 * A wake-up is a debt: the woken session may never come to receive (its client is paging,
 * or stopped).  So one of those who still sleep, the guard, looks again after
 * WAKE_DEBT, and takes what is still there.  The guard also sleeps no longer than until the
 * next message is due.  Who leaves the guard's place hands it to another waiter.
 *
 * All functions need the queue's lock, exclusively, unless they say otherwise.
 */
#ifndef BATON_MEMORY_WAITERS_H
#define BATON_MEMORY_WAITERS_H

#include "memory/memory.h"

#define WAKE_DEBT INT64CONST(10000) /* 10 ms */
#define WAKES_MAX 32
#define WAKES_RESERVED 2		/* of them, for a guard and a keeper */

/* Latches to set after the lock is released. */
typedef struct Wakes
{
	uint32		count;
	uint32		session[WAKES_MAX];
} Wakes;

extern uint64 *waiter_bits;

extern Size waiters_size(uint32 queue_count, uint32 session_count);

extern void waiters_clear(uint32 queue);
extern bool waiters_has(uint32 queue, uint32 session);
extern void waiters_add(uint32 queue, uint32 session);

/* Takes a session's bit away, if it is there, and hands over the guard's place. */
extern void waiters_remove(uint32 queue, uint32 session, Wakes *wakes);

/* Wakes up to n waiters, and makes the guard watch that they come. */
extern void waiters_wake(uint32 queue, uint32 n, Wakes *wakes);

/* The guard has to look at its times again. */
extern void waiters_poke_guard(Queue *queue, Wakes *wakes);

/* A latch to set with the others; NONE: none.  No lock needed. */
extern void waiters_wake_session(uint32 session, Wakes *wakes);

/* Sets the latches.  Call without locks. */
extern void wakes_send(Wakes *wakes);

#endif
