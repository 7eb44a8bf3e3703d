/*
 * queue/compact.c
 *	  Moving the few messages that are still needed out of a segment, so that it can be emptied.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "log/append.h"
#include "log/census.h"
#include "log/fetch.h"
#include "memory/directory.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/outcomes.h"
#include "memory/slotlock.h"
#include "memory/slots.h"
#include "queue/compact.h"
#include "queue/ending.h"
#include "queue/resolve.h"
#include "queue/segments.h"

/* A step stops others from receiving these for as long as it takes. */
#define STEP 100

/* The survivors of one segment, listed once and moved step by step: there can only be fewer. */
static struct
{
	uint32		segment;
	uint32		generation;
	int			next;
	int			count;
	Survivor   *list;
	MemoryContext context;
} listed = {.segment = NONE};

#define LISTED 20000

/* True: it just did, which is work enough for one step. */
static bool
list_survivors(uint32 segment, const SegmentRow *row)
{
	LogSegment	from = log_segment_of(segment);
	MemoryContext old;

	if (listed.segment == segment && listed.generation == segments[segment].generation &&
		listed.next < listed.count)
		return false;
	if (listed.context == NULL)
		listed.context = AllocSetContextCreate(TopMemoryContext, "baton survivors",
											   ALLOCSET_DEFAULT_SIZES);
	listed.segment = NONE;
	MemoryContextReset(listed.context);
	old = MemoryContextSwitchTo(listed.context);
	listed.list = census_survivors(&from, row, baton_now(), LISTED, &listed.count);
	MemoryContextSwitchTo(old);
	listed.next = 0;
	listed.segment = segment;
	listed.generation = segments[segment].generation;
	return true;
}

/* Taking a message */

/* It has a slot in a place from which it can be taken: takes it.  Under the queue's lock. */
static bool
take_slot(uint32 slot, PendingMove *move)
{
	Slot	   *s = &slots[slot];

	if ((s->state != SLOT_READY && s->state != SLOT_DELAYED && s->state != SLOT_BLOCKED) ||
		(s->flags & SLOT_UNRECORDED))
		return false;
	if (s->key_hash != 0 && !(s->flags & SLOT_HOLDS_KEY))
	{
		if (!key_acquire(slot, queues[s->queue].policy.key_in_flight))
			return false;
		move->key_taken = true;
	}
	move->slot = slot;
	move->known = true;
	move->due = s->state == SLOT_DELAYED ? s->due : 0;
	line_take_out(slot);
	line_move(slot);
	return true;
}

/*
 * A slot for a message that has none, in the hash and with the key of its message from the start: the loader, which
 * passes over it, may bring in others of that key that come after it.
 */
static bool
place_borrowed(uint32 slot, const Survivor *survivor, PendingMove *move)
{
	const Queue *queue = &queues[slots[slot].queue];

	if (queue->state != QUEUE_LIVE || queue->database != slots[slot].database ||
		queue->id != survivor->queue_id || !line_borrow(slot))
	{
		slot_give_back(slot);
		return false;
	}
	if (!survivor->finished && survivor->key_hash != 0)
	{
		if (!key_acquire(slot, queue->policy.key_in_flight))
		{
			line_free(slot);
			return false;
		}
		move->key_taken = true;
	}
	move->slot = slot;
	move->borrowed = true;
	return true;
}

/* One of the queue's own where it can't have another: of the message that would be handed out last. */
static bool
obtain_slot(uint32 queue, uint32 *slot)
{
	bool		got;

	if (line_obtain(queue, 1, slot) > 0)
		return true;
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	got = queues[queue].state == QUEUE_LIVE &&
		  line_evict(&queues[queue], 1, BATON_PRIORITIES - 1, -1, slot) > 0;
	LWLockRelease(queue_lock(queue));
	return got;
}

/* It has none: a slot for the move.  Its place in the log is where the loader would read it. */
static bool
borrow_slot(uint32 database, uint32 segment, const Survivor *survivor, PendingMove *move)
{
	uint32		queue = queue_find_id(database, survivor->queue_id);
	uint32		slot;
	uint32		generation;
	bool		borrowed;
	Slot	   *s;

	if (queue == NONE || !obtain_slot(queue, &slot))
		return false;
	s = &slots[slot];
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	generation = s->generation;
	memset(s, 0, sizeof(*s));
	s->generation = generation;
	s->id = survivor->id;
	s->key_hash = survivor->key_hash;
	s->database = database;
	s->queue = queue;
	s->session = s->settler = NONE;
	s->tid = survivor->tid;
	s->segment = segment;
	s->priority = survivor->priority;
	borrowed = place_borrowed(slot, survivor, move);
	LWLockRelease(queue_lock(queue));
	return borrowed;
}

/* Puts a message in state MOVING; NULL: not now. */
static PendingMove *
take(uint32 database, uint32 segment, const Survivor *survivor)
{
	PendingMove move = {0};
	uint32		queue;
	uint32		slot = slot_hash_find(database, survivor->id, &queue);
	bool		taken = false;

	if (inflight_is_suspect(database, survivor->id))
		return NULL;
	if (slot == NONE)
		taken = borrow_slot(database, segment, survivor, &move);
	else
	{
		SlotLock	lock = SLOT_LOCK_INIT;

		if (slot_lock(&lock, slot) && slots[slot].id == survivor->id &&
			slots[slot].database == database && slots[slot].segment == segment &&
			queues[slots[slot].queue].state == QUEUE_LIVE)
			taken = take_slot(slot, &move);
		slot_unlock(&lock);
	}
	return taken ? xact_add_move(&move) : NULL;
}

/* Copying */

/*
 * What a borrowed slot needs to know to be placed.  The snapshot is taken after the slot is in the hash: nothing
 * happens to the message any more, unless something did that has yet to be written.  It stays unknown if so, and if the
 * row isn't where it was when it was listed: moved by another cleanup, or by VACUUM FULL.
 */
static void
fill_borrowed(uint32 database, Relation messages, Relation events, const Survivor *survivor,
			  PendingMove *move)
{
	Slot	   *s = &slots[move->slot];
	bool		pending = outcome_pending(database, survivor->id);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	MessageRow	row;
	EventRow	event;
	bool		has_event = log_latest_event(events, survivor->id, snapshot, false, &event);

	if (!pending && !(has_event && event.action == EVENT_MOVED) &&
		log_fetch_message(messages, &survivor->tid, survivor->id, snapshot, &row) == FETCH_OK)
	{
		move->known = true;
		s->sent_at = row.sent_at;
		s->expires_at = row.expires_at;
		move->due = row.deliver_at;
		if (has_event)
		{
			s->failures = event.failures;
			s->crashes = event.crashes;
			move->due = event.deliver_at;
			move->finished = log_event_is_terminal(event.action);
			if (event.action != EVENT_RELEASED)
				move->key_taken = false;	/* it has failed, and keeps it */
		}
	}
	UnregisterSnapshot(snapshot);
}

static void
append_moved(uint32 database, Relation events, const Survivor *const *moved, int n)
{
	EventRow   *rows = palloc0(n * sizeof(EventRow));
	int64		id = n > 0 ? next_ids(database, n) : 0;

	for (int i = 0; i < n; i++)
	{
		rows[i].id = id++;
		rows[i].message_id = moved[i]->id;
		rows[i].queue_id = moved[i]->queue_id;
		rows[i].at = baton_now();
		rows[i].action = EVENT_MOVED;
	}
	log_append_events(events, rows, n);
	pfree(rows);
}

/* Copies those of which all is known.  Returns how many there were; moved[] has them. */
static int
copy_known(const LogSegment *from, const LogSegment *to, uint32 target,
		   PendingMove *const *taken, const Survivor *const *survivors, int n,
		   const Survivor **moved)
{
	PendingMove *known[STEP];
	ItemPointerData tids[STEP];
	int			nknown = 0;
	int			nmoved = 0;

	for (int i = 0; i < n; i++)
		if (taken[i]->known)
		{
			moved[nknown] = survivors[i];
			known[nknown++] = taken[i];
		}
	if (nknown == 0)
		return 0;
	census_copy(from, to, moved, nknown, tids);
	for (int i = 0; i < nknown; i++)
	{
		if (!ItemPointerIsValid(&tids[i]))
			continue;
		known[i]->copied = true;
		known[i]->tid = tids[i];
		known[i]->segment = target;
		moved[nmoved++] = moved[i];
	}
	return nmoved;
}

/* One step: messages from listed.next on. */
static int
move_some(uint32 database, uint32 segment, uint32 target)
{
	LogSegment	from = log_segment_of(segment);
	LogSegment	to = log_segment_of(target);
	Relation	messages = table_open(from.messages, AccessShareLock);
	Relation	events = table_open(from.events, RowExclusiveLock);
	PendingMove *taken[STEP];
	const Survivor *survivor[STEP];
	const Survivor *moved[STEP];
	int			n = 0;
	int			nmoved;

	for (int looked = 0; looked < STEP && listed.next < listed.count; looked++)
	{
		survivor[n] = &listed.list[listed.next++];
		taken[n] = take(database, segment, survivor[n]);
		if (taken[n] != NULL)
			n++;
	}
	BATON_POINT("compact-marked");
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (taken[i]->borrowed)
			fill_borrowed(database, messages, events, survivor[i], taken[i]);
	}
	nmoved = copy_known(&from, &to, target, taken, survivor, n, moved);
	append_moved(database, events, moved, nmoved);
	table_close(messages, NoLock);
	table_close(events, NoLock);
	BATON_POINT("compact-copied");
	return nmoved;
}

int
compact_segment(uint32 database, uint32 segment, SegmentRow *row, bool *left)
{
	uint32		target = open_survivor_segment(database);
	int			moved;

	*left = false;
	if (target == NONE)
		return 0;
	/* it is opened in a step of its own, so that everybody knows the segment before there is a message in it */
	*left = true;
	if (segments[target].state != SEGMENT_OPEN)
		return 0;
	xact_session();
	xact_reserve_moves(STEP);
	if (list_survivors(segment, row))
	{
		*left = listed.count > 0;
		return 0;
	}
	moved = move_some(database, segment, target);
	*left = listed.next < listed.count;
	if (moved > 0)
	{
		row->moved_at = baton_now();
		row->moved_xid = U64FromFullTransactionId(GetTopFullTransactionId());
	}
	return moved;
}

/* Callbacks' parts */

/* Nothing is known of a message whose slot was borrowed: the loader reads it. */
static void
leave_to_loader(const PendingMove *move, Wakes *wakes)
{
	Slot	   *s = &slots[move->slot];
	Queue	   *queue = &queues[s->queue];

	if (s->id <= queue->lanes[s->priority].cursor)
		lane_leave_gap(queue, s->priority, s->id);
	waiters_wake_session(shared->databases[s->database].keeper_session, wakes);
	line_free(move->slot);
}

/* Back in its lane or under the timers; one that had no slot keeps this one, as if the loader had brought it in. */
static void
place(const PendingMove *move, TimestampTz now, Wakes *wakes)
{
	Slot	   *s = &slots[move->slot];
	Queue	   *queue = &queues[s->queue];
	bool		in_log = move->borrowed && (move->key_taken || !(s->flags & SLOT_HOLDS_KEY));

	if (move->borrowed)
		queue->counters.loaded++;
	if (move->due <= now)
	{
		if (move->borrowed)
			s->ready_at = Max(move->due, s->sent_at);
		line_ready(move->slot);
	}
	else if (in_log && move->due > park_after(queue, now))
	{
		due_leave(queue, s->id, move->due);
		line_free(move->slot);
		return;
	}
	else
		line_delay(move->slot, move->due, wakes);
	if (move->key_taken)
		key_release(move->slot);
}

static void
end_move(const PendingMove *move, bool committed, TimestampTz now, Wakes *wakes)
{
	Slot	   *s = &slots[move->slot];
	uint32		queue = s->queue;

	if (committed && move->copied)
	{
		if (!move->finished)
		{
			pg_atomic_fetch_add_u64(&segments[s->segment].finished, 1);
			pg_atomic_fetch_add_u64(&segments[move->segment].sent, 1);
		}
		s->segment = move->segment;
		s->tid = move->tid;
	}
	if (queues[queue].state != QUEUE_LIVE || (move->known && move->finished))
		line_free(move->slot);
	else if (!move->known)
		leave_to_loader(move, wakes);
	else if (is_over(s, now))
		free_over(move->slot);
	else
		place(move, now, wakes);
	if (line_has_ready(&queues[queue]))	/* this one, or one that waited for its key */
		waiters_wake(queue, 1, wakes);
}

static void
end_moves(const PendingMove *moves, uint32 n, bool committed)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	TimestampTz now = baton_now();

	if (committed)
		BATON_POINT_NOFAIL("compact-committed");
	for (uint32 i = 0; i < n; i++)
	{
		slot_lock(&lock, moves[i].slot);
		end_move(&moves[i], committed, now, &lock.wakes);
	}
	slot_unlock(&lock);
}

void
moves_commit(const PendingMove *moves, uint32 n)
{
	end_moves(moves, n, true);
}

void
moves_undo(const PendingMove *moves, uint32 n)
{
	end_moves(moves, n, false);
}
