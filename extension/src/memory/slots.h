/*
 * memory/slots.h
 *	  Free slots, and finding a message's slot by its id.
 */
#ifndef BATON_MEMORY_SLOTS_H
#define BATON_MEMORY_SLOTS_H

#include "memory/memory.h"

/* The list that a slot is in while it is free. */
extern FreeList *slot_free_list(uint32 slot);

/*
 * Takes up to n free slots into out, returns how many there were.  A slot taken belongs
 * to the caller until it is linked or given back.  Spinlocks only.
 */
extern uint32 slots_take(uint32 n, uint32 *out);

/*
 * Slots from this one on are free, and have been since the server's start: who looks at all that are in use needn't
 * look at the whole window, which is megabytes.  A full barrier; no lock.
 */
extern uint32 slots_end(void);

/* Gives one back.  It must be in no list, heap or hash.  Spinlock only. */
extern void slot_give_back(uint32 slot);

/* Free slots, roughly. */
extern uint32 slots_free(void);

/*
 * Puts a slot (id and database set) in the hash.  False, and nothing done, if that
 * message has a slot already.  Partition lock.
 */
extern bool slot_hash_insert(uint32 slot);
extern void slot_hash_remove(uint32 slot);

/*
 * The slot of a message, or NONE.  What it says may have changed by the time the
 * caller has the lock of its queue: check id and state again under it.
 * *queue gets slots[result].queue as it was under the partition lock.
 */
extern uint32 slot_hash_find(uint32 database, int64 id, uint32 *queue);

#endif
