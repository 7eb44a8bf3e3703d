/*
 * queue/load.c
 *	  Bringing messages from the log into the window: the keeper's work.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "log/fetch.h"
#include "log/segment.h"
#include "memory/directory.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/outcomes.h"
#include "memory/slots.h"
#include "memory/waiters.h"
#include "queue/ending.h"
#include "queue/history.h"
#include "queue/load.h"
#include "queue/resolve.h"

#define LOAD_CHUNK 1000			/* rows read in one go */
#define LOAD_FEW 64				/* ready messages of a queue that nobody receives from */
#define ACTIVE_SPAN (INT64CONST(60) * USECS_PER_SEC)

/* A pass reads by this snapshot, and knows the segments it reads. */
typedef struct Pass
{
	uint32		database;
	uint32		queue;
	uint32		generation;
	int32		queue_id;
	int64		finished_below;	/* nothing below is read */
	TransactionId seen_xmax;	/* of the snapshot that reads the rows */
	int64		lowest_due;		/* none of what read_due() found, or left for another time, has a lower id */
	int			likely_priority;	/* of a message of which only the id is known */
	uint32		nsegments;
	uint32		segment[MAX_SEGMENTS];
} Pass;

/* A row read, and where it is. */
typedef struct Found
{
	MessageHead head;
	uint32		segment;
} Found;

/* Whether the queue is still the one that the pass began with. */
static bool
is_current(const Pass *pass)
{
	return queues[pass->queue].generation == pass->generation;
}

static uint32
load_target(const Queue *queue)
{
	TimestampTz received = (TimestampTz) pg_atomic_read_u64(
		&unconstify(Queue *, queue)->received_at);

	if (queue->waiting == 0 && received < baton_now() - ACTIVE_SPAN)
		return LOAD_FEW;
	return Min(16384, Max(shared->window / 8, LOAD_FEW));
}

bool
load_needed(const Queue *queue)
{
	for (int i = 0; i < BATON_PRIORITIES; i++)
	{
		const Lane *lane = &queue->lanes[i];

		if (lane_spilled(lane) &&
			(lane->ready < load_target(queue) / 2 || lane_first(lane) == NONE))
			return true;
	}
	return false;
}

/* Transactions */

static Snapshot
begin_read(void)
{
	StartTransactionCommand();
	return RegisterSnapshot(GetLatestSnapshot());
}

static Snapshot
renew(Snapshot old)
{
	UnregisterSnapshot(old);
	return RegisterSnapshot(GetLatestSnapshot());
}

static void
end_read(Snapshot snapshot)
{
	UnregisterSnapshot(snapshot);
	CommitTransactionCommand();
}

/* The segments first, then the snapshot: a pair is known in memory before anybody commits a message in it. */
static Snapshot
begin_pass(Pass *pass)
{
	Snapshot	snapshot;

	pass->nsegments = segment_list(pass->database, pass->segment, MAX_SEGMENTS);
	snapshot = begin_read();
	pass->seen_xmax = snapshot->xmax;
	for (uint32 i = 0; i < pass->nsegments; i++)
		history_look(pass->segment[i]);
	return snapshot;
}

/* Placing */

static void
fill_slot(uint32 slot, const Pass *pass, const Found *found)
{
	Slot	   *s = &slots[slot];
	uint32		generation = s->generation;

	memset(s, 0, sizeof(*s));
	s->generation = generation;
	s->id = found->head.id;
	s->sent_at = found->head.sent_at;
	s->expires_at = found->head.expires_at;
	s->key_hash = found->head.key_hash;
	s->database = pass->database;
	s->queue = pass->queue;
	s->session = s->settler = NONE;
	s->tid = found->head.tid;
	s->segment = found->segment;
	s->priority = found->head.priority;
}

/* A message that was in flight when the server crashed: says so in the log, and counts it. */
static void
post_crash(uint32 slot, const Suspect *suspect, bool dead, TimestampTz now)
{
	const Slot *s = &slots[slot];
	const Queue *queue = &queues[s->queue];
	Outcome		o = {
		.queue = s->queue,
		.queue_generation = queue->generation,
		.slot = slot,
		.generation = s->generation,
		.message_id = s->id,
		.segment = s->segment,
		.segment_generation = segments[s->segment].generation,
		.action = EVENT_VANISHED,
		.dead = dead,
		.queue_id = queue->id,
		.attempt = s->failures + s->crashes - suspect->crashes + 1,
		.failures = s->failures,
		.crashes = s->crashes,
		.at = now,
	};

	strlcpy(o.text, "the server crashed", sizeof(o.text));
	outcome_post(s->database, &o);
}

/* Takes the counts from the latest event and from the last crash.  True if a budget is used up. */
static bool
take_history(uint32 slot, const EventRow *event, TimestampTz now)
{
	Slot	   *s = &slots[slot];
	Queue	   *queue = &queues[s->queue];
	Suspect		suspect;
	bool		dead;

	if (event != NULL)
	{
		s->failures = event->failures;
		s->crashes = event->crashes;
	}
	if (!inflight_suspect(s->database, s->id, &suspect))
		return false;
	s->suspicion = suspect.suspicion;
	s->crashes += suspect.crashes;
	if (!suspect.unlogged || suspect.posted)
		return false;
	dead = s->crashes >= queue->policy.max_crashes;
	queue->counters.vanished++;
	post_crash(slot, &suspect, dead, now);
	return dead;
}

/*
 * Places an ARRIVING slot by what the log says; event: its latest, or NULL.  Under the
 * queue's lock.  Returns whether it became ready.
 */
static bool
place(uint32 slot, const Found *found, const EventRow *event, TimestampTz now, Wakes *wakes)
{
	Slot	   *s = &slots[slot];
	Queue	   *queue = &queues[s->queue];
	TimestampTz due = event ? event->deliver_at : found->head.deliver_at;

	if (event && event->action == EVENT_MOVED)
	{
		line_free(slot);		/* the row is elsewhere; who moved it has placed it */
		return false;
	}
	if ((event && log_event_is_terminal(event->action)) || is_over(s, now))
	{
		inflight_acquit(slot);	/* it may have been in flight at a crash, its end just committed */
		if (event && log_event_is_terminal(event->action))
			line_free(slot);
		else
			free_over(slot);
		return line_has_ready(queue);
	}
	if (take_history(slot, event, now))
	{
		queue->counters.dead++;
		line_condemn(slot);
		return false;
	}
	if (event && event->action != EVENT_RELEASED)
		key_hold(slot);
	if (due <= now)
	{
		s->ready_at = Max(due, event ? event->at : s->sent_at);
		queue->counters.loaded++;
		line_ready(slot);
		return true;
	}
	if (!(s->flags & SLOT_HOLDS_KEY) && due > park_after(queue, now))
	{
		due_leave(queue, s->id, due);
		line_free(slot);
	}
	else
	{
		queue->counters.loaded++;
		line_delay(slot, due, wakes);
	}
	return false;
}

/* Who commits with an xid below may find its message loaded already: see sends_publish. */
static void
note_seen(Queue *queue, TransactionId xmax, const Found *found, int n)
{
	for (int i = 0; i < n; i++)
		queue->seen_id = Max(queue->seen_id, found[i].head.id);
	if (n == 0)
		return;
	if (!TransactionIdIsValid(queue->seen_xmax) ||
		TransactionIdPrecedes(queue->seen_xmax, xmax))
		queue->seen_xmax = xmax;
}

/* Slots of the queue's own messages that come after all of those found. */
static uint32
evict_later(Queue *queue, const Found *found, int n, uint32 wanted, uint32 *out)
{
	int			priority = found[0].head.priority;
	int64		above = found[0].head.id;

	for (int i = 1; i < n; i++)
	{
		priority = Min(priority, found[i].head.priority);
		above = Max(above, found[i].head.id);
	}
	return line_evict(queue, wanted, priority, above, out);
}

/* Slots for rows that were read, in the hash before anybody asks whether they are finished. */
static int
arrive(const Pass *pass, const Found *found, int n, uint32 *slot_of)
{
	uint32		got[LOAD_CHUNK];
	uint32		ngot = line_obtain(pass->queue, n, got);
	int			done;

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	if (queues[pass->queue].generation != pass->generation)
		n = 0;
	note_seen(&queues[pass->queue], pass->seen_xmax, found, n);
	if ((uint32) n > ngot)		/* what comes later can wait in the log */
		ngot += evict_later(&queues[pass->queue], found, n, n - ngot, got + ngot);
	for (done = 0; done < n && ngot > 0; done++)
	{
		uint32		slot = got[ngot - 1];

		fill_slot(slot, pass, &found[done]);
		expiry_note(&queues[pass->queue], found[done].head.expires_at);
		if (line_arrive(slot))
		{
			slot_of[done] = slot;
			ngot--;
		}
		else
			slot_of[done] = NONE;
	}
	LWLockRelease(queue_lock(pass->queue));
	while (ngot > 0)
		slot_give_back(got[--ngot]);
	return done;
}

/* The latest events of messages that are in one segment. */
static void
latest_events(const Found *found, int n, Snapshot snapshot, bool *has_event, EventRow *events)
{
	Relation	rel = table_open(segments[found->segment].events, AccessShareLock);
	int64	   *ids = palloc(n * sizeof(int64));

	for (int i = 0; i < n; i++)
		ids[i] = found[i].head.id;
	log_latest_events(rel, ids, n, snapshot, has_event, events);
	pfree(ids);
	table_close(rel, NoLock);
}

/*
 * Brings rows in, as far as there are slots.  Returns how many were dealt with.
 */
static int
bring_in(const Pass *pass, const Found *found, int n, Snapshot *snapshot)
{
	static uint32 slot_of[LOAD_CHUNK];
	static EventRow events[LOAD_CHUNK];
	static bool has_event[LOAD_CHUNK];
	Wakes		wakes = {0};
	TimestampTz now;
	uint32		ready = 0;
	int			done = arrive(pass, found, n, slot_of);

	*snapshot = renew(*snapshot);
	for (int i = 0, run; i < done; i += run)
	{
		for (run = 1; i + run < done && found[i + run].segment == found[i].segment; run++)
			;
		latest_events(found + i, run, *snapshot, has_event + i, events + i);
	}

	BATON_POINT("load-before-place");
	now = baton_now();
	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	for (int i = 0; i < done; i++)
	{
		if (slot_of[i] == NONE)
			continue;
		if (queues[pass->queue].generation != pass->generation)
			line_free(slot_of[i]);	/* an arriving slot is freed by its loader only */
		else
			ready += place(slot_of[i], &found[i], has_event[i] ? &events[i] : NULL, now, &wakes);
	}
	if (line_has_ready(&queues[pass->queue]))
		waiters_wake(pass->queue, ready, &wakes);
	LWLockRelease(queue_lock(pass->queue));
	wakes_send(&wakes);
	return done;
}

/* Lanes */

static int
compare_found(const void *a, const void *b)
{
	int64		x = ((const Found *) a)->head.id;
	int64		y = ((const Found *) b)->head.id;

	return x < y ? -1 : x > y;
}

/* Rows of a segment with after < id <= upto: by the ids that are known, else by the index. */
static int
read_segment(Relation rel, uint32 segment, const Pass *pass, int priority, int64 after,
			 int64 upto, int limit, Snapshot snapshot, MessageHead *heads)
{
	int			known;
	const int64 *ids = history_unfinished(segment, &known);
	int			n = 0;

	if (ids == NULL)
		return log_scan_lane(rel, pass->queue_id, priority, after, upto, limit, snapshot, heads);
	for (int i = 0; i < known && n < limit; i++)
		if (ids[i] > after && ids[i] <= upto)
			n += log_scan_lane(rel, pass->queue_id, priority, ids[i] - 1, ids[i], 1, snapshot,
							   heads + n);
	return n;
}

/* Whether compaction has moved a message elsewhere, as the snapshot sees it. */
static bool
was_moved(const Found *found, Snapshot snapshot)
{
	Relation	rel = log_table_open(segments[found->segment].events, AccessShareLock);
	EventRow	event;
	bool		moved;

	if (rel == NULL)			/* dropped by hand */
		return true;
	moved = log_latest_event(rel, found->head.id, snapshot, false, &event) &&
			event.action == EVENT_MOVED;
	relation_close(rel, NoLock);
	return moved;
}

/*
 * One row a message, by id.  A message that was moved is found in each segment where it has been, and
 * the row that counts must be the one that gets the slot.  Returns how many rows are left.
 */
static int
one_each(Found *found, int n, Snapshot snapshot)
{
	int			kept = 0;

	qsort(found, n, sizeof(Found), compare_found);
	for (int i = 0; i < n; i++)
	{
		if (kept == 0 || found[kept - 1].head.id != found[i].head.id)
			found[kept++] = found[i];
		else if (found[kept - 1].segment != found[i].segment &&
				 was_moved(&found[kept - 1], snapshot))
			found[kept - 1] = found[i];
	}
	return kept;
}

/*
 * The first `limit` rows of a lane with after < id <= upto, over all segments, by id.  Segments come by their
 * first ids, so when enough is found, those that begin later needn't be read.  Returns more than `limit` where
 * the last of them is found several times.
 */
static int
read_lane(const Pass *pass, int priority, int64 after, int64 upto, int limit,
		  Snapshot snapshot, Found **out)
{
	MessageHead *heads = palloc(limit * sizeof(MessageHead));
	Found	   *found = palloc((2 * limit + pass->nsegments) * sizeof(Found));
	int			n = 0;

	after = Max(after, pass->finished_below - 1);
	for (uint32 i = 0; i < pass->nsegments; i++)
	{
		uint32		segment = pass->segment[i];
		Relation	rel;
		int			more;

		if (!history_may_have(segment, after, upto))
			continue;
		rel = log_table_open(segments[segment].messages, AccessShareLock);
		if (rel == NULL)		/* dropped by hand */
			continue;
		more = read_segment(rel, segment, pass, priority, after, upto, limit, snapshot, heads);
		relation_close(rel, NoLock);
		if (more == 0)
			continue;
		for (int j = 0; j < more; j++)
			found[n++] = (Found) {heads[j], segment};
		qsort(found, n, sizeof(Found), compare_found);
		if (n >= limit)
		{
			upto = found[limit - 1].head.id;
			while (found[n - 1].head.id > upto)
				n--;
		}
	}
	pfree(heads);
	*out = found;
	return n;
}

/*
 * Reads (after, upto] and brings it in.  Returns the id up to which all of it is in: upto, or
 * less if slots ran out.
 */
static int64
read_range(Pass *pass, int priority, int64 after, int64 upto)
{
	Snapshot	rows = begin_pass(pass);
	Snapshot	events = RegisterSnapshot(GetLatestSnapshot());
	bool		short_of_slots = false;
	int			n = LOAD_CHUNK;

	BATON_POINT("load-snapshot-taken");
	while (n >= LOAD_CHUNK && !short_of_slots)
	{
		Found	   *found;
		int			messages;
		int			done;

		CHECK_FOR_INTERRUPTS();
		n = read_lane(pass, priority, after, upto, LOAD_CHUNK, rows, &found);
		messages = one_each(found, n, rows);
		done = bring_in(pass, found, messages, &events);
		short_of_slots = done < messages;
		if (done > 0)
			after = found[done - 1].head.id;
		pfree(found);
	}
	UnregisterSnapshot(events);
	end_read(rows);
	return short_of_slots ? after : upto;
}

/* Where the next n rows of a lane end: ID_INFINITE if there are no n. */
static int64
peek_lane(const Pass *pass, int priority, int64 after, int n)
{
	Snapshot	snapshot = begin_read();
	Found	   *found;
	int64		end = ID_INFINITE;

	if (read_lane(pass, priority, after, ID_INFINITE, n, snapshot, &found) >= n)
		end = found[n - 1].head.id;
	end_read(snapshot);
	return end;
}

/* The first gap of a lane, or as much of it as is read in one go.  Returns whether all of that was brought in. */
static bool
load_gap(Pass *pass, int priority)
{
	Lane	   *lane = &queues[pass->queue].lanes[priority];
	IdRange		gap;
	int64		first;
	int64		end;
	bool		there;
	int64		reached;
	Wakes		wakes = {0};

	LWLockAcquire(queue_lock(pass->queue), LW_SHARED);
	first = lane->gaps.count > 0 ? lane->gaps.range[0].first : ID_INFINITE;
	LWLockRelease(queue_lock(pass->queue));
	end = peek_lane(pass, priority, first - 1, LOAD_CHUNK);

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	there = is_current(pass) && ranges_take(&lane->gaps, &gap);
	if (there && gap.first <= end && end < gap.last)
	{
		ranges_add(&lane->gaps, end + 1, gap.last);
		gap.last = end;
	}
	if (there)
		lane->reading = gap;
	LWLockRelease(queue_lock(pass->queue));
	if (!there)
		return false;

	reached = read_range(pass, priority, gap.first - 1, gap.last);

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	if (is_current(pass))
	{
		if (reached < gap.last)
			ranges_add(&lane->gaps, reached + 1, gap.last);
		lane->reading.first = lane->reading.last = ID_INFINITE;
		line_be_patient(&queues[pass->queue]);
	}
	if (line_has_ready(&queues[pass->queue]))
		waiters_wake(pass->queue, lane->ready, &wakes);
	LWLockRelease(queue_lock(pass->queue));
	wakes_send(&wakes);
	return reached == gap.last;
}

/* The next part of a spilled lane.  Returns whether it is worth calling again at once. */
static bool
load_next(Pass *pass, int priority, int n)
{
	Queue	   *queue = &queues[pass->queue];
	Lane	   *lane = &queue->lanes[priority];
	int64		loaded = lane->loaded;
	int64		cursor = peek_lane(pass, priority, loaded, n);
	int64		reached;
	bool		same;
	Wakes		wakes = {0};

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	same = is_current(pass) && lane->loaded == loaded;
	if (same)
		lane->cursor = cursor;
	LWLockRelease(queue_lock(pass->queue));
	if (!same)
		return is_current(pass);
	BATON_POINT("load-cursor-moved");

	reached = read_range(pass, priority, loaded, cursor);
	BATON_POINT("load-range-read");

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	if (is_current(pass))
	{
		if (reached < cursor)
			ranges_add(&lane->gaps, reached + 1, cursor);
		lane->loaded = cursor;
		line_be_patient(queue);
	}
	if (line_has_ready(queue))
		waiters_wake(pass->queue, lane->ready, &wakes);
	LWLockRelease(queue_lock(pass->queue));
	wakes_send(&wakes);
	return reached == cursor && cursor != ID_INFINITE;
}

static bool
load_lane(Pass *pass, int priority)
{
	Queue	   *queue = &queues[pass->queue];
	Lane	   *lane = &queue->lanes[priority];
	uint32		target = load_target(queue);
	bool		spilled;
	bool		gaps;
	bool		stuck;
	bool		clogged;
	int64		room;

	LWLockAcquire(queue_lock(pass->queue), LW_SHARED);
	spilled = lane_spilled(lane) && is_current(pass);
	gaps = lane->gaps.count > 0;
	stuck = lane_first(lane) == NONE;
	room = (int64) target - lane->ready;
	/* so many of its messages wait for a key or a time that others need the rest */
	clogged = queue->slots - queue->count[SLOT_READY] > shared->window / 2;
	LWLockRelease(queue_lock(pass->queue));

	if (!spilled || (clogged && !stuck))
		return false;
	if (gaps)
		return (stuck || room >= target / 2 || slots_free() > 0) && load_gap(pass, priority);
	if (stuck)					/* what is ready comes after something that is still in the log */
		room = LOAD_CHUNK;
	else if (room < target / 2)
		return false;
	return load_next(pass, priority, (int) Min(room, LOAD_CHUNK));
}

/* Parked messages, by time */

/* False: dropped by hand. */
static bool
open_pair(const Segment *segment, Relation *messages, Relation *events)
{
	*messages = log_table_open(segment->messages, AccessShareLock);
	if (*messages == NULL)
		return false;
	*events = log_table_open(segment->events, AccessShareLock);
	if (*events == NULL)
		relation_close(*messages, NoLock);
	return *events != NULL;
}

/* A message by its id.  The index has the priority before it, so that each is tried, the one found last before others. */
static bool
find_message(Relation rel, Pass *pass, int64 id, Snapshot snapshot, MessageHead *head)
{
	for (int i = 0; i < BATON_PRIORITIES; i++)
	{
		int			priority = (pass->likely_priority + i) % BATON_PRIORITIES;

		if (log_scan_lane(rel, pass->queue_id, priority, id - 1, id, 1, snapshot, head) == 1)
		{
			pass->likely_priority = priority;
			return true;
		}
	}
	return false;
}

/*
 * Up to LOAD_CHUNK rows of each segment with after < due <= upto, after the first `skip`.  out is NULL: only *last (all
 * up to then was read), *any (a row was there at all) and pass->lowest_due are asked for.
 */
static int
read_due(Pass *pass, TimestampTz after, TimestampTz upto, int skip, Snapshot snapshot,
		 Found **out, TimestampTz *last, bool *any)
{
	MessageHead *heads = palloc(LOAD_CHUNK * sizeof(MessageHead));
	DueEvent   *due = palloc(LOAD_CHUNK * sizeof(DueEvent));
	Found	   *found = out ? palloc(2 * LOAD_CHUNK * pass->nsegments * sizeof(Found)) : NULL;
	int			n = 0;			/* may stay 0 though rows were read, all of them finished */
	int			most = 0;

	*last = upto;
	pass->lowest_due = ID_INFINITE;
	for (uint32 i = 0; i < pass->nsegments; i++)
	{
		const Segment *segment = &segments[pass->segment[i]];
		Relation	messages;
		Relation	events;
		bool		full;
		int			k;

		if (!history_may_have(pass->segment[i], pass->finished_below - 1, ID_INFINITE) ||
			!open_pair(segment, &messages, &events))
			continue;
		k = log_scan_due_messages(messages, pass->queue_id, after, upto, skip, LOAD_CHUNK,
								  snapshot, heads);
		for (int j = 0; j < k; j++)
			if (heads[j].id >= pass->finished_below)
			{
				pass->lowest_due = Min(pass->lowest_due, heads[j].id);
				if (found)
					found[n++] = (Found) {heads[j], pass->segment[i]};
			}
		full = k == LOAD_CHUNK;
		if (full)
			*last = Min(*last, heads[k - 1].deliver_at);
		most = Max(most, k);

		k = log_scan_due_events(events, pass->queue_id, after, upto, skip, LOAD_CHUNK, snapshot,
								due);
		for (int j = 0; j < k; j++)
			if (due[j].message_id >= pass->finished_below)
			{
				pass->lowest_due = Min(pass->lowest_due, due[j].message_id);
				if (found && find_message(messages, pass, due[j].message_id, snapshot, heads))
					found[n++] = (Found) {heads[0], pass->segment[i]};
			}
		if (k == LOAD_CHUNK)
			*last = Min(*last, due[k - 1].deliver_at);
		most = Max(most, k);
		full |= k == LOAD_CHUNK;
		if (full)
			pass->lowest_due = Min(pass->lowest_due, segment->first_id);
		table_close(messages, NoLock);
		table_close(events, NoLock);
	}
	pfree(heads);
	pfree(due);
	if (out)
		*out = found;
	*any = most > 0;
	return n;
}

/* Brings all in that read_due finds in (after, upto].  False: slots ran out. */
static bool
read_due_range(Pass *pass, TimestampTz after, TimestampTz upto)
{
	Snapshot	rows = begin_pass(pass);
	Snapshot	events = RegisterSnapshot(GetLatestSnapshot());
	bool		enough = true;
	bool		any = true;
	TimestampTz last;
	Found	   *found;
	int			n;

	for (int skip = 0; enough && any; skip += LOAD_CHUNK)
	{
		CHECK_FOR_INTERRUPTS();
		n = read_due(pass, after, upto, skip, rows, &found, &last, &any);
		n = one_each(found, n, rows);
		for (int i = 0; i < n && enough; i += LOAD_CHUNK)
		{
			int			k = Min(n - i, LOAD_CHUNK);

			enough = bring_in(pass, found + i, k, &events) == k;
		}
		pfree(found);
	}
	UnregisterSnapshot(events);
	end_read(rows);
	return enough;
}

/* Where to stop, so that one pass doesn't read everything at once. */
static TimestampTz
peek_due(Pass *pass, TimestampTz after, TimestampTz upto)
{
	Snapshot	snapshot = begin_read();
	TimestampTz last;
	bool		any;

	read_due(pass, after, upto, 0, snapshot, NULL, &last, &any);
	end_read(snapshot);
	return last;
}

/* Whether anything is due later than `after`; pass->lowest_due is for that. */
static bool
any_due(Pass *pass, TimestampTz after)
{
	Snapshot	snapshot = begin_pass(pass);
	TimestampTz last;
	bool		any;

	read_due(pass, after, PG_INT64_MAX, 0, snapshot, NULL, &last, &any);
	end_read(snapshot);
	return any;
}

/* Returns whether it is worth calling again at once. */
static bool
load_due(Pass *pass, TimestampTz now)
{
	Queue	   *queue = &queues[pass->queue];
	TimestampTz from = queue->due_loaded;
	TimestampTz until = park_after(queue, now);
	TimestampTz cursor;
	bool		same;
	bool		enough;
	bool		more_later;
	int64		lowest_later;

	if (from >= now + (until - now) / 2)
		return false;
	cursor = peek_due(pass, from, until);

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	same = is_current(pass) && queue->due_loaded == from;
	if (same)
	{
		queue->due_cursor = cursor;
		queue->due_redo = PG_INT64_MAX;
		queue->parked = false;	/* unless somebody says so from now on, or more is found */
		queue->parked_again = ID_INFINITE;
	}
	LWLockRelease(queue_lock(pass->queue));
	if (!same)
		return is_current(pass);

	more_later = any_due(pass, until);
	lowest_later = pass->lowest_due;
	enough = read_due_range(pass, from, cursor);

	LWLockAcquire(queue_lock(pass->queue), LW_EXCLUSIVE);
	if (is_current(pass))
	{
		if (!enough)
			queue->due_redo = Min(queue->due_redo, from + 1);
		queue->due_loaded = queue->due_cursor = Min(cursor, queue->due_redo - 1);
		queue->due_redo = PG_INT64_MAX;
		if (queue->due_loaded >= until)
			queue->parked_id = Min(queue->parked_again, lowest_later);
		queue->parked |= more_later || queue->due_loaded < until;
		enough = enough && queue->due_loaded > from;
	}
	LWLockRelease(queue_lock(pass->queue));
	return enough && cursor < until;
}

/* Rounds */

static bool
load_queue(uint32 database, uint32 queue, Pass *pass)
{
	bool		more = false;

	pass->queue = queue;
	LWLockAcquire(queue_lock(queue), LW_SHARED);
	pass->generation = queues[queue].generation;
	pass->queue_id = queues[queue].id;
	pass->finished_below =
		Max(queues[queue].finished_below, queues[queue].policy.purged_id + 1);
	LWLockRelease(queue_lock(queue));
	pass->nsegments = segment_list(database, pass->segment, MAX_SEGMENTS);
	for (int p = BATON_PRIORITIES; p-- > 0;)
		more |= load_lane(pass, p);
	more |= load_due(pass, baton_now());
	return more;
}

bool
load_round(uint32 database)
{
	Pass	   *pass = MemoryContextAlloc(TopMemoryContext, sizeof(Pass));
	bool		more = false;

	pass->database = database;
	pass->likely_priority = 0;
	for (int active = 1; active >= 0; active--)
	{
		for (uint32 q = 0; q < shared->queues; q++)
		{
			CHECK_FOR_INTERRUPTS();
			if (queues[q].state == QUEUE_LIVE && queues[q].database == database &&
				(load_target(&queues[q]) > LOAD_FEW) == (active == 1))
				more |= load_queue(database, q, pass);
		}
	}
	pfree(pass);
	return more;
}

void
load_recover(uint32 database)
{
	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		uint32		queue = slots[i].queue;

		if (slots[i].state != SLOT_ARRIVING || slots[i].database != database)
			continue;
		LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
		if (slots[i].state == SLOT_ARRIVING && slots[i].queue == queue)
			line_free(i);
		LWLockRelease(queue_lock(queue));
	}
	for (uint32 q = 0; q < shared->queues; q++)
	{
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		if (queues[q].state == QUEUE_LIVE && queues[q].database == database)
		{
			Queue	   *queue = &queues[q];

			for (int p = 0; p < BATON_PRIORITIES; p++)
			{
				Lane	   *lane = &queue->lanes[p];

				lane->cursor = lane->loaded;
				if (lane->reading.first != ID_INFINITE)
					ranges_add(&lane->gaps, lane->reading.first, lane->reading.last);
				lane->reading.first = lane->reading.last = ID_INFINITE;
			}
			queue->due_cursor = queue->due_loaded =
				Min(queue->due_loaded, queue->due_redo - 1);
			queue->due_redo = PG_INT64_MAX;
		}
		LWLockRelease(queue_lock(q));
	}
}

/* Of what was found, none has an id that is still to be given out: its sequence was restored before. */
static void
begin_ids_anew(uint32 database)
{
	StartTransactionCommand();
	ids_drop_block(database);
	(void) next_ids(database, 1);
	CommitTransactionCommand();
}

void
load_again(uint32 database)
{
	begin_ids_anew(database);
	for (uint32 q = 0; q < shared->queues; q++)
	{
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		if (queues[q].state == QUEUE_LIVE && queues[q].database == database)
		{
			for (int p = 0; p < BATON_PRIORITIES; p++)
				queues[q].lanes[p].loaded = queues[q].lanes[p].cursor = 0;
			queues[q].finished_below = queues[q].marked_below = 0;
			queues[q].parked_id = 0;
			queues[q].counted = queues[q].recounting = false;
			queues[q].own_from = ids_next(database);
			queues[q].unfinished = queues[q].finished_before = 0;
			queues[q].due_loaded = queues[q].due_cursor = PG_INT64_MIN;
			queues[q].due_redo = PG_INT64_MAX;
			queues[q].parked = true;
		}
		LWLockRelease(queue_lock(q));
	}
}
