/*
 * memory/lock_order.h
 *	  Which locks there are, and in which order they are taken.
 *
 * Take a lower number first and never go back; of one number hold one at a time.
 *
 *	1  heavyweight locks: log tables, rows of queue_definition
 *	2  directory lock (LWLock): databases, segments, which queue entry is whose
 *	3  a queue's lock (LWLock): its lanes, keys, timers, waiters, counts, and every slot
 *	   whose `queue` is this one
 *	4  a partition of the id hash (LWLock): bucket heads and Slot.hash_next
 *	5  key lock (LWLock): buckets and free list of the key table
 *	6  outcome lock (LWLock): what the keeper has still to write to the log
 *	7  tail lock (LWLock): the events committed last, and who sleeps for the next
 *	8  spinlocks: free lists of slots, id counters, the suspect in flight; a few
 *	   instructions, no calls
 *
 * Under 3 to 8 nothing allocates, does I/O, waits for a latch or raises an
 * error; latches are set after the lock is released.  All of it may be called from
 * commit, abort and exit callbacks.
 */
#ifndef BATON_MEMORY_LOCK_ORDER_H
#define BATON_MEMORY_LOCK_ORDER_H
#endif
