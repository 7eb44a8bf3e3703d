/*
 * queue/depth.c
 *	  How many messages of a queue are unfinished, in memory and in the log.
 *
 * Those sent before the server started can only be finished: at any moment there are as many as a snapshot of then
 * shows, less those finished since.  Those that had expired are in neither number, from before the snapshot is taken
 * on: see count_finished.  A commit becomes visible a little before it counts, so the number of those finished is read on
 * both sides of the snapshot, with nothing being settled, if such a moment can be found.  Else the number may be wrong by
 * the few that were just committing: it is doubtful, and counted again, as if the server had just started, after a while.
 *
 * What expires in memory is swept up.  What expires in the log makes the number doubtful, too: nobody comes by, or, as
 * nothing in the log says that somebody has, more than once.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/snapmgr.h"

#include "log/census.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/slots.h"
#include "queue/depth.h"
#include "queue/ending.h"
#include "queue/maintain.h"
#include "queue/resolve.h"
#include "queue/segments.h"

#define TRIES 1000

/* A number that is doubtful is counted again after so many microseconds, or so many times as long as it took. */
#define RECOUNT_AFTER (INT64CONST(60) * USECS_PER_SEC)
#define RECOUNT_SHARE 20

typedef struct Count
{
	uint32		queue;
	uint32		generation;
	int32		id;
	int64		below;			/* ids to be counted in the log */
	int64		finished_before;
	int64		unfinished;
	TimestampTz next_expiry;
} Count;

/* Also read unlocked, for a guess.  Once all of a queue is in memory, it needn't be counted: see queue/marks.c. */
static bool
is_uncounted(uint32 q, uint32 database)
{
	const Queue *queue = &queues[q];

	if (queue->state != QUEUE_LIVE || queue->database != database)
		return false;
	return !queue->counted ||
		   (queue->doubtful && line_spilled(queue) && baton_now() >= queue->recount_at);
}

bool
depth_unknown(uint32 database)
{
	for (uint32 q = 0; q < shared->queues; q++)
		if (is_uncounted(q, database))
			return true;
	return false;
}

/* As at the server's start: what has been sent so far is to be counted in the log. */
static void
begin_recount(Queue *queue, uint32 database)
{
	queue->carried = queue->unfinished;
	queue->unfinished = queue->finished_before = 0;
	queue->own_from = ids_next(database);
	queue->next_expiry = PG_INT64_MAX;
	queue->counted = false;
	queue->recounting = true;
}

/* From here on, those of them that have expired by now are not counted when they are come by. */
static int
begin_count(uint32 database, TimestampTz now, Count *counts)
{
	int			n = 0;

	for (uint32 q = 0; q < shared->queues; q++)
	{
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		if (is_uncounted(q, database))
		{
			if (queues[q].counted)
				begin_recount(&queues[q], database);
			queues[q].doubtful = false;
			counts[n] = (Count) {.queue = q, .generation = queues[q].generation, .id = queues[q].id};
			counts[n].next_expiry = PG_INT64_MAX;
			counts[n++].below = queues[q].own_from ? queues[q].own_from
												   : shared->databases[database].first_own_id;
			queues[q].counted_at = now;
		}
		LWLockRelease(queue_lock(q));
	}
	return n;
}

/* Reads how many have been finished; returns whether nothing is being settled, and the numbers were the same before. */
static bool
read_finished(Count *counts, int n)
{
	bool		quiet = true;

	for (int i = 0; i < n; i++)
	{
		const Queue *queue = &queues[counts[i].queue];

		LWLockAcquire(queue_lock(counts[i].queue), LW_SHARED);
		quiet &= queue->finished_before == counts[i].finished_before &&
				 queue->count[SLOT_SETTLING] == 0;
		counts[i].finished_before = queue->finished_before;
		LWLockRelease(queue_lock(counts[i].queue));
	}
	return quiet;
}

static Snapshot
snapshot_in_quiet(Count *counts, int n, bool *quiet)
{
	Snapshot	snapshot = NULL;

	*quiet = false;
	for (int try = 0; try < TRIES && !*quiet; try++)
	{
		CHECK_FOR_INTERRUPTS();
		if (snapshot != NULL)
			UnregisterSnapshot(snapshot);
		(void) read_finished(counts, n);
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		*quiet = read_finished(counts, n);
	}
	return snapshot;
}

static void
add_found(Count *count, const QueueCount *found)
{
	count->unfinished += found->unfinished;
	if (found->next_expiry != 0)
		count->next_expiry = Min(count->next_expiry, found->next_expiry);
}

static void
add_segment(const LogSegment *segment, TimestampTz now, Snapshot snapshot, const int64 *ids,
			const int64 *below, Count *counts, int n)
{
	int			count;
	QueueCount *found = census_by_queue(segment, ids, below, n, now, snapshot, &count);

	for (int i = 0; i < count; i++)
		for (int j = 0; j < n; j++)
			if (counts[j].id == found[i].queue_id)
				add_found(&counts[j], &found[i]);
	pfree(found);
}

static void
set_count(const Count *count, int64 took, bool quiet)
{
	Queue	   *queue = &queues[count->queue];

	LWLockAcquire(queue_lock(count->queue), LW_EXCLUSIVE);
	if (queue->generation == count->generation && !queue->counted &&
		(queue->own_from == 0 || queue->own_from == count->below))
	{
		queue->unfinished += count->unfinished + count->finished_before;
		queue->next_expiry = Min(queue->next_expiry, count->next_expiry);
		queue->counted = true;
		queue->recounting = false;
		queue->doubtful |= !quiet;
		queue->recount_at = baton_now() + Max(RECOUNT_AFTER, RECOUNT_SHARE * took);
	}
	LWLockRelease(queue_lock(count->queue));
}

bool
depth_count(uint32 database)
{
	static uint32 all[MAX_SEGMENTS];
	Count	   *counts = palloc(shared->queues * sizeof(Count));
	int64	   *ids = palloc(shared->queues * sizeof(int64));
	int64	   *below = palloc(shared->queues * sizeof(int64));
	TimestampTz now = baton_now();
	int64		highest = 0;
	int64		oldest_send;
	instr_time	began;			/* a clock that nobody sets */
	instr_time	took;
	bool		settled = true;	/* those with ids to be counted have committed or rolled back */
	int			n;
	bool		quiet;
	uint32		nsegments;
	Snapshot	snapshot;

	if (!depth_unknown(database))
		return false;
	INSTR_TIME_SET_CURRENT(began);
	(void) next_ids(database, 1);	/* there is a first id of this life */
	n = begin_count(database, now, counts);
	oldest_send = sending_oldest(database);
	for (int i = 0; i < n; i++)
	{
		ids[i] = counts[i].id;
		below[i] = counts[i].below;
		highest = Max(highest, below[i]);
		settled &= queues[counts[i].queue].own_from <= oldest_send;
	}
	if (n == 0 || !settled)
		return false;			/* again when they have */
	snapshot = snapshot_in_quiet(counts, n, &quiet);
	BATON_POINT("depth-counting");
	nsegments = segment_list(database, all, MAX_SEGMENTS);
	for (uint32 i = 0; i < nsegments; i++)
	{
		LogSegment	segment = log_segment_of(all[i]);
		SegmentRow	row;

		CHECK_FOR_INTERRUPTS();
		if (segments[all[i]].state == SEGMENT_FREE || segments[all[i]].first_id >= highest ||
			(registry_get(segment.number, &row) && row.counted_at != 0 && row.unfinished == 0))
			continue;
		add_segment(&segment, now, snapshot, ids, below, counts, n);
	}
	UnregisterSnapshot(snapshot);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, began);
	for (int i = 0; i < n; i++)
		set_count(&counts[i], (int64) INSTR_TIME_GET_MICROSEC(took), quiet);
	pfree(counts);
	return false;
}

/* Expiry */

/* Of queues of which something may just have expired; returns whether there are any. */
static bool
begin_expiry(uint32 database, bool *expires)
{
	TimestampTz now = baton_now();
	bool		any = false;

	for (uint32 q = 0; q < shared->queues; q++)
	{
		Queue	   *queue = &queues[q];

		expires[q] = queue->state == QUEUE_LIVE && queue->database == database && queue->next_expiry <= now;
		if (!expires[q])
			continue;
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		queue->next_expiry = PG_INT64_MAX;	/* until its slots have been looked at */
		LWLockRelease(queue_lock(q));
		any = true;
	}
	return any;
}

static void
next_in_memory(uint32 database, TimestampTz *next)
{
	for (uint32 q = 0; q < shared->queues; q++)
		next[q] = PG_INT64_MAX;
	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		const Slot *s = &slots[i];
		uint32		q = s->queue;
		TimestampTz expires_at = s->expires_at;

		if (s->state != SLOT_FREE && s->database == database && q < shared->queues && expires_at != 0)
			next[q] = Min(next[q], expires_at);
	}
}

/* What is in the log has no slot; it may expire at any moment, until it is counted. */
static void
end_expiry(const bool *expires, const TimestampTz *next, TimestampTz began)
{
	for (uint32 q = 0; q < shared->queues; q++)
	{
		Queue	   *queue = &queues[q];
		bool		spilled;

		if (!expires[q])
			continue;
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		spilled = line_spilled(queue);
		queue->doubtful |= spilled;
		expiry_note(queue, spilled ? began : next[q]);
		LWLockRelease(queue_lock(q));
	}
}

void
depth_expire(uint32 database)
{
	bool	   *expires = palloc(shared->queues * sizeof(bool));
	TimestampTz *next = palloc(shared->queues * sizeof(TimestampTz));
	TimestampTz now = baton_now();

	if (begin_expiry(database, expires))
	{
		sweep_over(database);
		next_in_memory(database, next);
		end_expiry(expires, next, now);
	}
	pfree(expires);
	pfree(next);
}
