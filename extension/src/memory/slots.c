/*
 * memory/slots.c
 *	  Free slots, and finding a message's slot by its id.
 *
 * Free slots are in several lists, a backend's own first, so that many backends don't
 * meet at one spinlock.  One goes back to the list it came from, on top: so the same few are
 * used again and again where queues are short, which the processor's caches like, and
 * slots_end() stays low.  A list has runs of neighbours: messages that come one after the other share
 * pages, in the slots and all that is laid out like them.  The hash chains slots by id; its buckets are guarded in partitions.
 */
#include "postgres.h"

#include "storage/proc.h"

#include "compat.h"
#include "memory/slots.h"

FreeList *
slot_free_list(uint32 slot)
{
	return &shared->free[slot / FREE_RUN % FREE_LISTS];
}

static uint32
take_from(FreeList *list, uint32 n, uint32 *out)
{
	uint32		taken = 0;

	if (pg_atomic_read_u32(&list->count) == 0)
		return 0;
	SpinLockAcquire(&list->mutex);
	while (taken < n && list->head != NONE)
	{
		out[taken] = list->head;
		list->head = slots[list->head].next;
		taken++;
	}
	pg_atomic_write_u32(&list->count, pg_atomic_read_u32(&list->count) - taken);
	SpinLockRelease(&list->mutex);
	return taken;
}

/* Before any of them is in use, so that who looks at all that are doesn't miss one. */
static void
raise_end(const uint32 *taken, uint32 n)
{
	uint32		end = pg_atomic_read_u32(&shared->slots_end);
	uint32		highest = 0;

	for (uint32 i = 0; i < n; i++)
		highest = Max(highest, taken[i] + 1);
	while (end < highest && !pg_atomic_compare_exchange_u32(&shared->slots_end, &end, highest))
		;
}

uint32
slots_take(uint32 n, uint32 *out)
{
	uint32		first = MyProc ? BatonMyProcNumber() : 0;
	uint32		taken = 0;

	for (uint32 i = 0; i < FREE_LISTS && taken < n; i++)
		taken += take_from(&shared->free[(first + i) % FREE_LISTS], n - taken, out + taken);
	raise_end(out, taken);
	return taken;
}

uint32
slots_end(void)
{
	pg_memory_barrier();
	return pg_atomic_read_u32(&shared->slots_end);
}

void
slot_give_back(uint32 slot)
{
	FreeList   *list = slot_free_list(slot);

	slots[slot].state = SLOT_FREE;
	SpinLockAcquire(&list->mutex);
	slots[slot].next = list->head;
	list->head = slot;
	pg_atomic_write_u32(&list->count, pg_atomic_read_u32(&list->count) + 1);
	SpinLockRelease(&list->mutex);
}

uint32
slots_free(void)
{
	uint32		n = 0;

	for (int i = 0; i < FREE_LISTS; i++)
		n += pg_atomic_read_u32(&shared->free[i].count);
	return n;
}

static uint32
bucket_of(uint32 database, int64 id)
{
	/* Ids are handed out in order: so no two that are near collide, and neighbours share cache
	 * lines.  Databases are kept apart by a large odd step (Knuth, TAOCP 6.4). */
	return ((uint32) id + database * 0x9E3779B1U) & (shared->buckets - 1);
}

static uint32
chain_find(uint32 bucket, uint32 database, int64 id)
{
	uint32		i;

	for (i = id_buckets[bucket]; i != NONE; i = slots[i].hash_next)
		if (slots[i].id == id && slots[i].database == database)
			break;
	return i;
}

bool
slot_hash_insert(uint32 slot)
{
	uint32		bucket = bucket_of(slots[slot].database, slots[slot].id);
	bool		fresh;

	LWLockAcquire(hash_lock(bucket), LW_EXCLUSIVE);
	fresh = chain_find(bucket, slots[slot].database, slots[slot].id) == NONE;
	if (fresh)
	{
		slots[slot].hash_next = id_buckets[bucket];
		id_buckets[bucket] = slot;
	}
	LWLockRelease(hash_lock(bucket));
	return fresh;
}

void
slot_hash_remove(uint32 slot)
{
	uint32		bucket = bucket_of(slots[slot].database, slots[slot].id);
	uint32	   *link;

	LWLockAcquire(hash_lock(bucket), LW_EXCLUSIVE);
	for (link = &id_buckets[bucket]; *link != NONE; link = &slots[*link].hash_next)
	{
		if (*link == slot)
		{
			*link = slots[slot].hash_next;
			break;
		}
	}
	LWLockRelease(hash_lock(bucket));
}

uint32
slot_hash_find(uint32 database, int64 id, uint32 *queue)
{
	uint32		bucket = bucket_of(database, id);
	uint32		slot;

	LWLockAcquire(hash_lock(bucket), LW_SHARED);
	slot = chain_find(bucket, database, id);
	if (slot != NONE)
		*queue = slots[slot].queue;
	LWLockRelease(hash_lock(bucket));
	return slot;
}
