/*
 * queue/marks.c
 *	  From which id on a queue has to be read when the server starts.
 *
 * Slots are looked at without a lock.  One may be given up, its message left to the log, before
 * the look comes by; so what is left to the log meanwhile is noted in Queue.left_id, and
 * the marks of the lanes are looked at both before and after.  A message never moves
 * from the log to a slot without having been below one of those marks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "log/registry.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/slots.h"
#include "queue/marks.h"
#include "queue/segments.h"

/*
 * A mark is written when this many ids have passed, or some and a while.  That of a queue where nothing happens rises with
 * the others' ids; written as often, it would make a dead row for each of ten thousand queues whenever
 * one of them is busy.
 */
#define WRITE_AFTER_IDS 20000
#define WRITE_AFTER (INT64CONST(60) * USECS_PER_SEC)
#define WRITE_IDLE_AFTER_IDS 1000000

static bool
is_ours(const Queue *queue, uint32 database)
{
	return queue->state == QUEUE_LIVE && queue->database == database;
}

static uint64
work_of(const Queue *queue)
{
	return queue->counters.sent + queue->counters.delivered + queue->counters.completed + queue->counters.failed + queue->counters.dead;
}

/* Whether the mark has risen far enough to be written. */
static bool
is_due(const Queue *queue, bool long_ago)
{
	bool		idle = queue->marked_below != 0 && work_of(queue) == queue->marked_work;
	int64		least = idle ? WRITE_IDLE_AFTER_IDS : long_ago ? 1 : WRITE_AFTER_IDS;

	return queue->finished_below >= queue->marked_below + least;
}

static void
lower(int64 *lowest, const Queue *queue)
{
	int64		left = Min(line_lowest_left(queue), queue->left_id);

	*lowest = Min(*lowest, left);
}

/* First look: lowest[] by queue, -1 for those that are none of ours. */
static void
begin_look(uint32 database, int64 *lowest)
{
	for (uint32 q = 0; q < shared->queues; q++)
	{
		lowest[q] = -1;
		if (!is_ours(&queues[q], database))
			continue;
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		if (is_ours(&queues[q], database))
		{
			lowest[q] = ID_INFINITE;
			queues[q].left_id = ID_INFINITE;
			lower(&lowest[q], &queues[q]);
		}
		LWLockRelease(queue_lock(q));
	}
}

static void
look_at_slots(uint32 database, int64 *lowest)
{
	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		const Slot *s = &slots[i];
		uint32		queue = s->queue;

		if (s->state != SLOT_FREE && s->database == database && queue < shared->queues)
			lowest[queue] = Min(lowest[queue], s->id);
	}
}

/*
 * All messages of a queue are in memory, and none of them has yet to be counted by its sender: so this is the number.
 * What expires is counted when it is come by, which may happen twice or not at all while a part is in the log only: then the
 * number is doubtful.
 */
static void
agree_on_depth(uint32 database, Queue *queue, int64 oldest_send)
{
	if (line_spilled(queue) || queue->seen_id >= oldest_send || queue->count[SLOT_MOVING] > 0 ||
		pg_atomic_read_u32(&shared->databases[database].purged) != 0)
		return;
	queue->unfinished = line_count(queue);
	queue->counted_at = 0;
	queue->own_from = 1;		/* who is still to publish, counts */
	queue->counted = true;
	queue->doubtful = queue->recounting = false;
}

/* Second look; returns whether any mark is due to be written. */
static bool
end_look(uint32 database, int64 oldest_send, int64 *lowest, bool long_ago)
{
	bool		due = false;

	for (uint32 q = 0; q < shared->queues; q++)
	{
		Queue	   *queue = &queues[q];
		int64		below;

		if (lowest[q] < 0)
			continue;
		LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
		lower(&lowest[q], queue);
		below = Min(lowest[q], oldest_send);
		if (is_ours(queue, database) && below > queue->finished_below)
			queue->finished_below = below;
		if (is_ours(queue, database))
			agree_on_depth(database, queue, oldest_send);
		due |= is_ours(queue, database) && is_due(queue, long_ago);
		LWLockRelease(queue_lock(q));
	}
	return due;
}

static void
write_marks(uint32 database, bool long_ago)
{
	QueueMark  *marks;
	uint32	   *of;
	int			n = 0;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	/* whoever adopts tables the marks don't know forgets the marks under this lock, and has all read again */
	if (maintenance_lock(false) && pg_atomic_read_u32(&shared->databases[database].reload) == 0)
	{
		marks = palloc(shared->queues * sizeof(QueueMark));
		of = palloc(shared->queues * sizeof(uint32));
		for (uint32 q = 0; q < shared->queues; q++)
		{
			if (!is_ours(&queues[q], database) || !is_due(&queues[q], long_ago))
				continue;
			of[n] = q;
			marks[n++] = (QueueMark) {queues[q].id, queues[q].finished_below};
		}
		registry_put_marks(marks, n);
		for (int i = 0; i < n; i++)
		{
			queues[of[i]].marked_below = marks[i].below;
			queues[of[i]].marked_work = work_of(&queues[of[i]]);
		}
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
marks_raise(uint32 database)
{
	static TimestampTz written_at = 0;
	bool		long_ago = baton_now() - written_at >= WRITE_AFTER;
	int64		oldest_send;
	int64	   *lowest;
	bool		due;

	if (pg_atomic_read_u32(&shared->databases[database].reload) != 0)
		return;
	lowest = MemoryContextAlloc(TopMemoryContext, shared->queues * sizeof(int64));
	oldest_send = sending_oldest(database);
	begin_look(database, lowest);
	look_at_slots(database, lowest);
	due = end_look(database, oldest_send, lowest, long_ago);
	pfree(lowest);
	if (due)
		write_marks(database, long_ago);
	if (long_ago)
		written_at = baton_now();
}
