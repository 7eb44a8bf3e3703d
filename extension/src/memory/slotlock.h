/*
 * memory/slotlock.h
 *	  The queue's lock for one slot after another.
 *
 * Callbacks go through lists of slots that are mostly of one queue: the lock is kept while the
 * queue stays the same, but not for more than a run, so that others get in between.
 * Latches are set whenever the lock is released.
 */
#ifndef BATON_MEMORY_SLOTLOCK_H
#define BATON_MEMORY_SLOTLOCK_H

#include "memory/memory.h"
#include "memory/waiters.h"

#define SLOT_RUN 256

typedef struct SlotLock
{
	uint32		queue;			/* whose lock is held; NONE: none */
	uint32		run;
	Wakes		wakes;
} SlotLock;

#define SLOT_LOCK_INIT {NONE, 0, {0}}

static inline void
slot_unlock(SlotLock *lock)
{
	if (lock->queue != NONE)
		LWLockRelease(queue_lock(lock->queue));
	lock->queue = NONE;
	lock->run = 0;
	wakes_send(&lock->wakes);
}

/* Holds the lock of the given queue, exclusively. */
static inline void
slot_lock_queue(SlotLock *lock, uint32 queue)
{
	if (lock->queue == queue && lock->run++ < SLOT_RUN)
		return;
	slot_unlock(lock);
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	lock->queue = queue;
}

/*
 * Holds the lock of the slot's queue.  True: the slot is in use, and nothing of it changes while the lock
 * is held.  False: it is free, and may be taken by another queue at any moment.
 *
 * A slot may change queues until its lock is held.  Who takes a free slot sets its queue before its
 * state, so the state is looked at first.
 */
static inline bool
slot_lock(SlotLock *lock, uint32 slot)
{
	for (;;)
	{
		uint32		queue = slots[slot].queue;

		slot_lock_queue(lock, queue);
		if (slots[slot].state == SLOT_FREE)
			return false;
		pg_read_barrier();
		if (slots[slot].queue == queue)
			return true;
	}
}

#endif
