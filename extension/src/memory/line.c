/*
 * memory/line.c
 *	  Where a slot stands: lanes, key lines, timers, and every move between them.
 */
#include "postgres.h"

#include "access/transam.h"

#include "memory/line.h"
#include "memory/slots.h"

/* A queue that somebody receives from keeps this many slots, however full the window is. */
#define ALWAYS_SOME 64

/* How long what is ready waits for what is in the log and of higher priority. */
#define PATIENCE (INT64CONST(1) * USECS_PER_SEC)

/* How far from the end of a lane a message to evict is looked for. */
#define EVICT_LOOK 64

static Queue *
queue_of(uint32 slot)
{
	return &queues[slots[slot].queue];
}

static Lane *
lane_of(uint32 slot)
{
	return &queue_of(slot)->lanes[slots[slot].priority];
}

static void
set_state(uint32 slot, SlotState state)
{
	Queue	   *queue = queue_of(slot);
	SlotState	old = slots[slot].state;

	if (slots[slot].id > queue->watch_id)
		queue->held_above += (uint32) state_is_held(state) - (uint32) state_is_held(old);

	if (old == SLOT_FREE)
	{
		queue->slots++;
		pg_write_barrier();		/* who finds it in use finds its queue, too: see slot_lock */
	}
	else
		queue->count[old]--;
	if (state == SLOT_FREE)
		queue->slots--;
	else
		queue->count[state]++;
	slots[slot].state = state;
}

void
line_init(Queue *queue, int64 from)
{
	bool		empty = from == ID_INFINITE;

	for (int i = 0; i < BATON_PRIORITIES; i++)
	{
		Lane	   *lane = &queue->lanes[i];

		lane->head = lane->tail = NONE;
		lane->late = HEAP_NIL;
		lane->ready = 0;
		lane->gaps.count = 0;
		lane->reading.first = lane->reading.last = ID_INFINITE;
		lane->loaded = lane->cursor = empty ? ID_INFINITE : Max(from, 1) - 1;
	}
	queue->timers = HEAP_NIL;
	pg_atomic_write_u64(&queue->next_due, PG_INT64_MAX);
	memset(queue->count, 0, sizeof(queue->count));
	queue->slots = 0;
	line_be_patient(queue);
	queue->stalled = false;
	queue->due_loaded = queue->due_cursor = empty ? baton_now() + PARK_HORIZON : PG_INT64_MIN;
	queue->due_redo = PG_INT64_MAX;
	queue->parked = !empty;
	queue->parked_id = from;
	queue->parked_again = ID_INFINITE;
	queue->finished_below = queue->marked_below = empty ? 0 : from;
	queue->marked_work = 0;
	queue->left_id = ID_INFINITE;
	queue->seen_id = 0;
	queue->seen_xmax = InvalidTransactionId;
}

void
lane_leave(Queue *queue, int priority, int64 id)
{
	Lane	   *lane = &queue->lanes[priority];

	queue->left_id = Min(queue->left_id, id);
	if (!lane_spilled(lane))
		lane->loaded = lane->cursor = id - 1;
	else if (id <= lane->cursor)
		ranges_add(&lane->gaps, id, id);
}

void
lane_leave_gap(Queue *queue, int priority, int64 id)
{
	queue->left_id = Min(queue->left_id, id);
	ranges_add(&queue->lanes[priority].gaps, id, id);
}

int64
line_lowest_left(const Queue *queue)
{
	int64		lowest = queue->parked_id;

	for (int i = 0; i < BATON_PRIORITIES; i++)
	{
		const Lane *lane = &queue->lanes[i];

		if (lane->loaded != ID_INFINITE)
			lowest = Min(lowest, lane->loaded + 1);
		if (lane->gaps.count > 0)
			lowest = Min(lowest, lane->gaps.range[0].first);
		lowest = Min(lowest, lane->reading.first);
	}
	return lowest;
}

/* Lane list and heap */

static void
lane_link(uint32 slot)
{
	Lane	   *lane = lane_of(slot);
	Slot	   *s = &slots[slot];

	lane->ready++;
	if (lane->tail != NONE && s->id < slots[lane->tail].id)
	{
		s->flags |= SLOT_IN_HEAP;
		heap_push(nodes, &lane->late, slot, s->id);
		return;
	}
	s->flags &= ~SLOT_IN_HEAP;
	s->prev = lane->tail;
	s->next = NONE;
	if (lane->tail != NONE)
		slots[lane->tail].next = slot;
	else
		lane->head = slot;
	lane->tail = slot;
}

static void
lane_unlink(uint32 slot)
{
	Lane	   *lane = lane_of(slot);
	Slot	   *s = &slots[slot];

	lane->ready--;
	if (s->flags & SLOT_IN_HEAP)
	{
		heap_remove(nodes, &lane->late, slot);
		s->flags &= ~SLOT_IN_HEAP;
		return;
	}
	if (s->prev != NONE)
		slots[s->prev].next = s->next;
	else
		lane->head = s->next;
	if (s->next != NONE)
		slots[s->next].prev = s->prev;
	else
		lane->tail = s->prev;
}

bool
line_spilled(const Queue *queue)
{
	for (int i = 0; i < BATON_PRIORITIES; i++)
		if (lane_spilled(&queue->lanes[i]))
			return true;
	return queue->parked || queue->due_cursor != queue->due_loaded;
}

uint32
line_count(const Queue *queue)
{
	return queue->slots - queue->count[SLOT_MOVING];
}

uint32
lane_first(const Lane *lane)
{
	uint32		first = lane->head;

	if (lane->late != HEAP_NIL && (first == NONE || slots[lane->late].id < slots[first].id))
		first = lane->late;
	if (first == NONE || slots[first].id > lane_limit(lane))
		return NONE;
	return first;
}

/* The next one to hand out, still linked; NONE: none. */
static uint32
line_first(const Queue *queue)
{
	if (queue->count[SLOT_READY] == 0)
		return NONE;
	for (int i = BATON_PRIORITIES; i-- > 0;)
	{
		uint32		slot = lane_first(&queue->lanes[i]);

		if (slot != NONE)
			return slot;
		if (lane_spilled(&queue->lanes[i]) && !queue->impatient)
			return NONE;
	}
	return NONE;
}

bool
line_has_ready(const Queue *queue)
{
	return queue->state == QUEUE_LIVE && !queue->policy.paused && !queue->stalled &&
		   line_first(queue) != NONE;
}

bool
line_lose_patience(Queue *queue, TimestampTz now)
{
	if (queue->count[SLOT_READY] == 0 || line_first(queue) != NONE)
		queue->held_since = 0;
	else if (queue->held_since == 0)
		queue->held_since = now;
	else if (!queue->impatient && now - queue->held_since >= PATIENCE)
	{
		queue->impatient = true;
		return true;
	}
	return false;
}

void
line_be_patient(Queue *queue)
{
	queue->held_since = 0;
	queue->impatient = false;
}

uint32
line_pop(Queue *queue)
{
	uint32		slot = line_first(queue);

	if (slot == NONE)
		return NONE;
	queue->held_since = 0;
	lane_unlink(slot);
	return slot;
}

void
line_ready(uint32 slot)
{
	queue_of(slot)->stalled = false;
	lane_link(slot);
	set_state(slot, SLOT_READY);
}

bool
line_arrive(uint32 slot)
{
	slots[slot].state = SLOT_FREE;
	if (!slot_hash_insert(slot))
		return false;
	set_state(slot, SLOT_ARRIVING);
	return true;
}

/* Timers */

static void
timers_changed(Queue *queue)
{
	int64		next = queue->timers == HEAP_NIL ? PG_INT64_MAX : nodes[queue->timers].key;

	pg_atomic_write_u64(&queue->next_due, (uint64) next);
}

static void
timers_push(uint32 slot, TimestampTz due, Wakes *wakes)
{
	Queue	   *queue = queue_of(slot);
	bool		earliest = queue->timers == HEAP_NIL || due < nodes[queue->timers].key;

	slots[slot].due = due;
	heap_push(nodes, &queue->timers, slot, due);
	if (earliest)
	{
		timers_changed(queue);
		waiters_poke_guard(queue, wakes);
	}
}

void
line_delay(uint32 slot, TimestampTz due, Wakes *wakes)
{
	slots[slot].ready_at = due;
	timers_push(slot, due, wakes);
	set_state(slot, SLOT_DELAYED);
}

uint32
line_pop_due(Queue *queue, TimestampTz now)
{
	uint32		slot = queue->timers;

	if (slot == HEAP_NIL || nodes[slot].key > now)
		return NONE;
	heap_pop(nodes, &queue->timers);
	timers_changed(queue);
	return slot;
}

void
line_claim(uint32 slot, TimestampTz due, Wakes *wakes)
{
	slots[slot].due = 0;
	if (due != 0)
		timers_push(slot, due, wakes);
	set_state(slot, SLOT_CLAIMED);
}

void
line_settle(uint32 slot, uint32 settler)
{
	line_take_out(slot);
	slots[slot].settler = settler;
	slots[slot].flags &= ~SLOT_ORPHAN;
	set_state(slot, SLOT_SETTLING);
}

void
line_condemn(uint32 slot)
{
	set_state(slot, SLOT_CONDEMNED);
}

void
line_move(uint32 slot)
{
	set_state(slot, SLOT_MOVING);
}

bool
line_borrow(uint32 slot)
{
	if (!line_arrive(slot))
		return false;
	set_state(slot, SLOT_MOVING);
	return true;
}

/* Keys */

static uint32 *
key_bucket(uint64 hash)
{
	return &key_buckets[(hash ^ (hash >> 32)) & (shared->buckets - 1)];
}

/* The entry of a key in its queue; made if asked for and missing.  There are as many entries as slots,
 * and each has a slot that needs it, so making one can't fail. */
static uint32
key_find(uint32 queue, uint64 hash, bool make)
{
	uint32	   *bucket = key_bucket(hash);
	uint32		i;

	LWLockAcquire(key_lock(), make ? LW_EXCLUSIVE : LW_SHARED);
	for (i = *bucket; i != NONE; i = keys[i].next)
		if (keys[i].hash == hash && keys[i].queue == queue)
			break;
	if (i == NONE && make)
	{
		i = shared->free_keys;
		shared->free_keys = keys[i].next;
		keys[i].hash = hash;
		keys[i].queue = queue;
		keys[i].holders = 0;
		keys[i].line = HEAP_NIL;
		keys[i].next = *bucket;
		*bucket = i;
	}
	LWLockRelease(key_lock());
	return i;
}

static void
key_forget_if_unused(uint32 key)
{
	uint32	   *link;

	if (keys[key].holders > 0 || keys[key].line != HEAP_NIL)
		return;
	LWLockAcquire(key_lock(), LW_EXCLUSIVE);
	for (link = key_bucket(keys[key].hash); *link != key; link = &keys[*link].next)
		;
	*link = keys[key].next;
	keys[key].next = shared->free_keys;
	shared->free_keys = key;
	LWLockRelease(key_lock());
}

void
key_hold(uint32 slot)
{
	Slot	   *s = &slots[slot];

	if (s->key_hash == 0 || (s->flags & SLOT_HOLDS_KEY))
		return;
	keys[key_find(s->queue, s->key_hash, true)].holders++;
	s->flags |= SLOT_HOLDS_KEY;
}

bool
key_acquire(uint32 slot, int limit)
{
	Slot	   *s = &slots[slot];
	uint32		key;

	if (s->key_hash == 0 || (s->flags & SLOT_HOLDS_KEY))
		return true;
	key = key_find(s->queue, s->key_hash, false);
	if (key != NONE && keys[key].holders >= (uint32) limit)
		return false;
	key_hold(slot);
	return true;
}

/* Order within a key: priority first, then id.  Ids stay far below 2^59. */
static int64
key_order(const Slot *s)
{
	return ((int64) (BATON_PRIORITIES - 1 - s->priority) << 59) | s->id;
}

void
line_block(uint32 slot)
{
	uint32		key = key_find(slots[slot].queue, slots[slot].key_hash, true);

	heap_push(nodes, &keys[key].line, slot, key_order(&slots[slot]));
	set_state(slot, SLOT_BLOCKED);
}

static void
line_unblock(uint32 slot)
{
	uint32		key = key_find(slots[slot].queue, slots[slot].key_hash, false);

	heap_remove(nodes, &keys[key].line, slot);
	key_forget_if_unused(key);
}

void
key_release(uint32 slot)
{
	Slot	   *s = &slots[slot];
	uint32		limit = queue_of(slot)->policy.key_in_flight;
	uint32		key;
	uint32		next;

	if (!(s->flags & SLOT_HOLDS_KEY))
		return;
	s->flags &= ~SLOT_HOLDS_KEY;
	queue_of(slot)->stalled = false;
	key = key_find(s->queue, s->key_hash, false);
	keys[key].holders--;
	for (uint32 room = keys[key].holders; room < limit; room++)
	{
		next = heap_pop(nodes, &keys[key].line);
		if (next == HEAP_NIL)
			break;
		line_ready(next);
	}
	key_forget_if_unused(key);
}

/* Leaving */

void
line_take_out(uint32 slot)
{
	Queue	   *queue = queue_of(slot);

	switch ((SlotState) slots[slot].state)
	{
		case SLOT_READY:
			lane_unlink(slot);
			break;
		case SLOT_BLOCKED:
			line_unblock(slot);
			break;
		case SLOT_CLAIMED:
			if (slots[slot].due == 0)
				break;
			/* FALLTHROUGH */
		case SLOT_DELAYED:
			heap_remove(nodes, &queue->timers, slot);
			timers_changed(queue);
			break;
		case SLOT_FREE:
		case SLOT_ARRIVING:
		case SLOT_SETTLING:
		case SLOT_MOVING:
		case SLOT_CONDEMNED:
		case SLOT_STATES:
			break;
	}
}

void
line_free(uint32 slot)
{
	key_release(slot);
	slot_hash_remove(slot);
	set_state(slot, SLOT_FREE);
	slot_give_back(slot);
}

/* The last ready message whose slot knows nothing that the log doesn't; NONE: not found. */
static uint32
last_evictable(const Lane *lane)
{
	uint32		slot = lane->tail;

	for (int i = 0; i < EVICT_LOOK && slot != NONE; i++, slot = slots[slot].prev)
		if (!(slots[slot].flags & (SLOT_HOLDS_KEY | SLOT_UNRECORDED)))
			return slot;
	slot = heap_some_leaf(nodes, lane->late);
	if (slot != HEAP_NIL && (slots[slot].flags & (SLOT_HOLDS_KEY | SLOT_UNRECORDED)))
		slot = NONE;
	return slot;
}

uint32
line_evict(Queue *queue, uint32 n, int priority, int64 only_above, uint32 *out)
{
	uint32		taken = 0;

	for (int i = 0; i <= priority && taken < n; i++)
	{
		Lane	   *lane = &queue->lanes[i];

		while (taken < n && lane->ready > 0)
		{
			uint32		slot = last_evictable(lane);

			if (slot == NONE || (i == priority && slots[slot].id <= only_above))
				break;
			lane_unlink(slot);
			lane_leave(queue, i, slots[slot].id);
			slot_hash_remove(slot);
			set_state(slot, SLOT_FREE);
			out[taken++] = slot;
		}
	}
	return taken;
}

/* The queue with the most ready slots, NONE if none has more than `than`.  A guess: no lock. */
static uint32
largest_queue(uint32 than)
{
	uint32		largest = NONE;

	for (uint32 i = 0; i < shared->queues; i++)
	{
		if (queues[i].count[SLOT_READY] > than)
		{
			than = queues[i].count[SLOT_READY];
			largest = i;
		}
	}
	return largest;
}

uint32
line_obtain(uint32 queue, uint32 n, uint32 *out)
{
	uint32		mine = queues[queue].slots;
	uint32		taken;

	/* what waits for a key, a time or its holder can't be evicted: it may not take all */
	if (n == 0 || mine - queues[queue].count[SLOT_READY] >= shared->window / 4 * 3)
		return 0;
	taken = slots_take(n, out);

	while (taken < n)
	{
		uint32		has = mine + taken;
		uint32		victim =
			largest_queue(has < ALWAYS_SOME ? has + 1 : Max(2 * has, ALWAYS_SOME));
		uint32		ready;
		uint32		got = 0;

		if (victim == NONE || victim == queue)
			break;
		LWLockAcquire(queue_lock(victim), LW_EXCLUSIVE);
		ready = queues[victim].count[SLOT_READY];
		if (ready > has + 1)	/* no more than makes them equal, or they would take turns */
			got = line_evict(&queues[victim], Min(n - taken, Min((ready - has) / 2, 64)),
							 BATON_PRIORITIES - 1, -1, out + taken);
		LWLockRelease(queue_lock(victim));
		if (got == 0)
			break;
		taken += got;
	}
	return taken;
}
