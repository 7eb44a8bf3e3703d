/*
 * queue/depth.c
 *	  How many messages of a queue are unfinished, in memory and in the log.
 *
 * Those sent before the server started can only be finished: at any moment there are as many as a snapshot of then
 * shows, less those finished since.  Those that had expired are in neither number, from before the snapshot is taken
 * on: see count_finished.  A commit becomes visible a little before it counts, so the number of those finished is read on both sides of the snapshot, with nothing being settled, if such a
 * moment can be found; else it may be wrong by the few that were just committing.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "log/census.h"
#include "memory/directory.h"
#include "queue/depth.h"
#include "queue/resolve.h"
#include "queue/segments.h"

#define TRIES 20

typedef struct Count
{
	uint32		queue;
	uint32		generation;
	int32		id;
	int64		below;			/* ids to be counted in the log */
	int64		finished_before;
	int64		unfinished;
} Count;

static bool
is_uncounted(uint32 q, uint32 database)
{
	return queues[q].state == QUEUE_LIVE && queues[q].database == database && !queues[q].counted;
}

bool
depth_unknown(uint32 database)
{
	for (uint32 q = 0; q < shared->queues; q++)
		if (is_uncounted(q, database))
			return true;
	return false;
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
			counts[n] = (Count) {.queue = q, .generation = queues[q].generation, .id = queues[q].id};
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
snapshot_in_quiet(Count *counts, int n)
{
	Snapshot	snapshot = NULL;
	bool		quiet = false;

	for (int try = 0; try < TRIES && !quiet; try++)
	{
		CHECK_FOR_INTERRUPTS();
		if (snapshot != NULL)
			UnregisterSnapshot(snapshot);
		quiet = read_finished(counts, n);
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		quiet = read_finished(counts, n) && quiet;
	}
	return snapshot;
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
				counts[j].unfinished += found[i].unfinished;
	pfree(found);
}

static void
set_count(const Count *count)
{
	Queue	   *queue = &queues[count->queue];

	LWLockAcquire(queue_lock(count->queue), LW_EXCLUSIVE);
	if (queue->generation == count->generation && !queue->counted &&
		(queue->own_from == 0 || queue->own_from == count->below))
	{
		queue->unfinished += count->unfinished + count->finished_before;
		queue->counted = true;
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
	bool		settled = true;	/* those with ids to be counted have committed or rolled back */
	int			n;
	uint32		nsegments;
	Snapshot	snapshot;

	if (!depth_unknown(database))
		return false;
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
	snapshot = snapshot_in_quiet(counts, n);
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
	for (int i = 0; i < n; i++)
		set_count(&counts[i]);
	pfree(counts);
	return false;
}
