/*
 * queue/maintain.c
 *	  Cleaning up: closing, counting, emptying segments, moving survivors out of them.
 *
 * A closed segment is counted when memory says that it may have nothing unfinished left; if nothing in it is needed, it
 * is emptied in the same step.  What a few messages hold up is compacted.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "log/census.h"
#include "log/registry.h"
#include "log/segment.h"
#include "log/truncate.h"
#include "memory/directory.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/outcomes.h"
#include "memory/slotlock.h"
#include "memory/slots.h"
#include "queue/compact.h"
#include "queue/depth.h"
#include "queue/ending.h"
#include "queue/maintain.h"
#include "queue/segments.h"

#define SECONDS (INT64CONST(1) * USECS_PER_SEC)

/* Somebody reads a segment just now, or a snapshot may still need it: it is looked at again after this. */
#define RETRY_AFTER (1 * SECONDS)

/* Consumers get so long to finish what a sealed segment has left, before it is counted all the same. */
#define SETTLE_TIME (10 * SECONDS)
#define COMPACT_AFTER (60 * SECONDS)
#define COUNT_AGAIN_AFTER (3600 * SECONDS)

/* After an error a segment is left alone for so long, and each time for twice as long. */
#define FAILED_FIRST (60 * SECONDS)
#define FAILED_MOST (3600 * SECONDS)

/* A snapshot may need the old row of a moved message; but for no longer than this. */
#define MOVED_SNAPSHOT_WAIT (600 * SECONDS)

#define COMPACT_MOST 20000

/* How often cleanup that was asked for waits for what was just closed. */
#define CLOSINGS 3

/* So many free pairs are kept at least. */
#define FREE_RESERVE 4

typedef enum Action
{
	ACTION_NONE,
	ACTION_COUNT,				/* and empty it, if nothing in it is needed */
	ACTION_COMPACT
} Action;

/* Deciding */

/* How many messages of a segment are unfinished, as far as memory knows; -1: it doesn't. */
static int64
guess_unfinished(const Segment *s, const SegmentRow *row)
{
	int64		finished = (int64) pg_atomic_read_u64(&unconstify(Segment *, s)->finished);

	if (row->counted_at != 0)
		return Max(row->unfinished - (finished - (int64) (s->counts ? s->counted_finished : 0)), 0);
	if (s->whole && !s->survivors)
		return Max((int64) pg_atomic_read_u64(&unconstify(Segment *, s)->sent) - finished, 0);
	return -1;
}

static int64
count_survivors(const SegmentRow *row, TimestampTz now)
{
	return row->unfinished + (row->retained_until > now ? row->retained : 0);
}

/* A few messages of many; or, if that is all it has, some of a few. */
static bool
worth_compacting(const SegmentRow *row, TimestampTz now, bool forced)
{
	int64		survivors = count_survivors(row, now);

	if (survivors == 0 || survivors > COMPACT_MOST)
		return false;
	if (!forced && now - row->sealed_at < COMPACT_AFTER)
		return false;
	return survivors <= row->messages / 20 || (survivors <= 100 && survivors <= row->messages / 2);
}

static Action
decide(uint32 segment, const SegmentRow *row, TimestampTz now, bool forced)
{
	const Segment *s = &segments[segment];
	int64		guess = guess_unfinished(s, row);

	if (s->state != SEGMENT_CLOSED || row->state != SEGMENT_CLOSED)
		return ACTION_NONE;
	if (forced)
		return ACTION_COUNT;
	if (now < s->not_before)
		return ACTION_NONE;
	if (row->counted_at == 0)
		return guess <= 0 || now - row->sealed_at > COMPACT_AFTER ||
					   (guess <= UNFINISHED_LISTED && now - row->sealed_at > SETTLE_TIME)
				   ? ACTION_COUNT
				   : ACTION_NONE;
	if ((row->unfinished == 0 && row->retained_until <= now) ||
		s->recounted != pg_atomic_read_u32(&shared->databases[s->database].recount))
		return ACTION_COUNT;
	if (row->unfinished > 0 &&
		(guess <= 0 || now - row->counted_at > COUNT_AGAIN_AFTER ||
		 (row->unfinished > UNFINISHED_LISTED && guess <= UNFINISHED_LISTED)))
		return ACTION_COUNT;
	return worth_compacting(row, now, false) ? ACTION_COMPACT : ACTION_NONE;
}

static bool
any_segment(uint32 database, SegmentState state)
{
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
		if (segments[i].used && segments[i].database == database && segments[i].state == state)
			return true;
	return false;
}

static uint32
find_segment(uint32 database, int32 number)
{
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
		if (segments[i].used && !segments[i].pending && segments[i].database == database &&
			segments[i].number == number)
			return i;
	return NONE;
}

/* Emptying */

static bool
is_needed(const SegmentRow *row, TimestampTz now)
{
	return count_survivors(row, now) > 0;
}

/* A look at all slots takes a millisecond or more, whatever is in them. */
void
sweep_over(uint32 database)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	TimestampTz now = baton_now();

	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		Slot	   *s = &slots[i];

		if (s->state == SLOT_FREE || s->database != database || !is_over(s, now))
			continue;
		if (!slot_lock(&lock, i) || s->database != database || !is_over(s, now) ||
			(s->state != SLOT_READY && s->state != SLOT_BLOCKED && s->state != SLOT_DELAYED))
			continue;
		line_take_out(i);
		free_over(i);
		if (line_has_ready(&queues[lock.queue]))	/* its key may have let another one go */
			waiters_wake(lock.queue, 1, &lock.wakes);
	}
	slot_unlock(&lock);
}

void
sweep_purged_if_needed(uint32 database)
{
	if (pg_atomic_exchange_u32(&shared->databases[database].purged, 0) != 0)
		sweep_over(database);
}

/* Whether memory has a message of the segment, or an event to be written to it. */
static bool
memory_refers_to(uint32 database, uint32 segment)
{
	for (uint32 i = 0, end = slots_end(); i < end; i++)
		if (slots[i].state != SLOT_FREE && slots[i].database == database &&
			slots[i].segment == segment)
			return true;
	return outcome_pending_for(database, segment);
}

/* TRUNCATE is not MVCC-safe: who has an older snapshot than a move sees the message in the old place only. */
static bool
snapshot_needs(uint32 segment, const SegmentRow *row)
{
	Relation	rel;
	TransactionId horizon;
	bool		needs;

	if (row->moved_at == 0 || baton_now() - row->moved_at >= MOVED_SNAPSHOT_WAIT)
		return false;
	rel = table_open(segments[segment].messages, AccessShareLock);
	horizon = GetOldestNonRemovableTransactionId(rel);
	needs = !TransactionIdFollows(horizon, XidFromFullTransactionId(
											   FullTransactionIdFromU64(row->moved_xid)));
	table_close(rel, AccessShareLock);
	return needs;
}

static bool
lock_exclusively(Oid relation, List **locked)
{
	if (!ConditionalLockRelationOid(relation, AccessExclusiveLock))
		return false;
	*locked = lappend_oid(*locked, relation);
	return true;
}

/* A table and what TRUNCATE locks with it: an autovacuum of the TOAST table has no lock on the table itself. */
static bool
lock_with_parts(Oid table, List **locked)
{
	bool		got = lock_exclusively(table, locked);
	Relation	rel = got ? try_relation_open(table, NoLock) : NULL;
	ListCell   *cell;

	if (rel == NULL)
		return false;
	foreach(cell, RelationGetIndexList(rel))
		got = got && lock_exclusively(lfirst_oid(cell), locked);
	if (got && OidIsValid(rel->rd_rel->reltoastrelid))
		got = lock_with_parts(rel->rd_rel->reltoastrelid, locked);
	relation_close(rel, NoLock);
	return got;
}

static void
unlock_all(List *locked)
{
	ListCell   *cell;

	foreach(cell, locked)
		UnlockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
	list_free(locked);
}

/* AccessExclusiveLock on both tables of a pair, without waiting; *locked is for unlock_all(). */
static bool
lock_pair(uint32 segment, List **locked)
{
	*locked = NIL;
	if (lock_with_parts(segments[segment].messages, locked) &&
		lock_with_parts(segments[segment].events, locked))
		return true;
	unlock_all(*locked);
	return false;
}

/* Nobody rewrites it just now, or can begin to before the transaction ends. */
static bool
lock_for_reading(uint32 segment)
{
	return ConditionalLockRelationOid(segments[segment].messages, AccessShareLock) &&
		   ConditionalLockRelationOid(segments[segment].events, AccessShareLock);
}

static BlockNumber
table_blocks(Oid table)
{
	Relation	rel = table_open(table, AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, AccessShareLock);
	return blocks;
}

/*
 * Truncates a segment that was counted, when its tables had so many blocks, and isn't needed.  False: not now.  Whoever
 * holds one of its messages must not wait for the lock, so memory is asked before, too.
 */
static bool
empty(uint32 database, uint32 segment, const SegmentRow *row, const BeforeCount *before,
	  const BlockNumber *blocks)
{
	LogSegment	tables = log_segment_of(segment);
	List	   *locked;

	if (snapshot_needs(segment, row) || memory_refers_to(database, segment) ||
		!lock_pair(segment, &locked))
		return false;
	BATON_POINT("reclaim-locked");
	if (memory_refers_to(database, segment) ||
		before->finished != pg_atomic_read_u64(&segments[segment].finished) ||
		blocks[0] != table_blocks(tables.messages) || blocks[1] != table_blocks(tables.events))
	{
		unlock_all(locked);
		return false;
	}
	log_segment_truncate(&tables);
	BATON_POINT("reclaim-truncated");
	return true;
}

/*
 * Counts a segment, and empties it if nothing in it is needed.  The count takes a while and needs no lock; what it said is
 * still true under the lock if nothing has been appended or finished, since what is finished stays so: but a consumer may
 * just have completed a message that had expired in its hands, and its result is to be retained.
 */
static void
count_segment(Cleanup *cleanup, uint32 segment, SegmentRow *row)
{
	LogSegment	tables = log_segment_of(segment);
	BeforeCount before;
	BlockNumber blocks[2];
	int64		bytes;

	before.finished = pg_atomic_read_u64(&segments[segment].finished);
	before.recount = pg_atomic_read_u32(&shared->databases[cleanup->database].recount);
	blocks[0] = table_blocks(tables.messages);
	blocks[1] = table_blocks(tables.events);
	census_take(&tables, baton_now(), row);
	if (is_needed(row, baton_now()))
	{
		put_segment(segment, row, SEGMENT_COUNTED, &before);
		return;
	}
	if (blocks[0] == 0 && blocks[1] > 0)	/* a restore is just bringing them */
	{
		segments[segment].not_before = baton_now() + COUNT_AGAIN_AFTER;
		return;
	}
	BATON_POINT("reclaim-counted");
	cleanup_nap(cleanup->pause_ms);
	bytes = segment_bytes(segment);
	if (!empty(cleanup->database, segment, row, &before, blocks))
	{
		segments[segment].not_before = baton_now() + RETRY_AFTER;
		put_segment(segment, row, SEGMENT_COUNTED, &before);
		return;
	}
	cleanup->report.segments_emptied++;
	cleanup->report.messages_removed += row->messages;
	cleanup->report.bytes_freed += bytes;
	*row = (SegmentRow) {.number = row->number, .state = SEGMENT_FREE};
	put_segment(segment, row, SEGMENT_EMPTIED, NULL);
}

/* Somebody has the segment open: no need to count it once more for that. */
static bool
may_be_emptied(uint32 segment)
{
	List	   *locked;

	if (!lock_pair(segment, &locked))
		return false;
	unlock_all(locked);
	return true;
}

/* A time of many segments is over: pairs that are free beyond a reserve are dropped. */
static uint32
find_surplus(uint32 database)
{
	uint32		last = NONE;
	int			nfree = 0;
	int			used = 0;

	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		const Segment *s = &segments[i];

		if (!s->used || s->pending || s->database != database)
			continue;
		if (s->state != SEGMENT_FREE)
			used++;
		else
		{
			nfree++;
			if (last == NONE || s->number > segments[last].number)
				last = i;
		}
	}
	return nfree > Max(FREE_RESERVE, used / 2) ? last : NONE;
}

static bool
drop_surplus(uint32 database)
{
	uint32		segment = find_surplus(database);
	List	   *locked;

	/* nobody is about to choose it */
	if (segment == NONE || !log_segment_lock_if_free() || !lock_pair(segment, &locked))
		return false;
	if (table_blocks(segments[segment].messages) > 0 || table_blocks(segments[segment].events) > 0)
	{
		unlock_all(locked);		/* a restore has filled it, and the keeper hasn't seen that yet */
		return false;
	}
	drop_segment(segment);
	return true;
}

/* Steps */

bool
cleanup_needed(uint32 database)
{
	TimestampTz now = baton_now();
	bool		needed = false;
	SegmentRow *rows;
	int			n;

	if (depth_unknown(database) || find_surplus(database) != NONE)
		return true;
	if (!any_segment(database, SEGMENT_CLOSED))
		return false;
	rows = registry_list(&n);
	for (int i = 0; i < n && !needed; i++)
	{
		uint32		segment = find_segment(database, rows[i].number);

		needed = segment != NONE && decide(segment, &rows[i], now, false) != ACTION_NONE;
	}
	pfree(rows);
	return needed;
}

void
cleanup_begin(Cleanup *cleanup, uint32 database, bool forced)
{
	memset(cleanup, 0, sizeof(*cleanup));
	cleanup->database = database;
	cleanup->forced = forced;
	cleanup->rotated = !forced;
	cleanup->current = NONE;
}

void
cleanup_nap(long ms)
{
	if (ms == 0)
		return;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 BatonWaitEvent("BatonCleaner"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static bool
was_looked_at(const Cleanup *cleanup, uint32 segment)
{
	return (cleanup->looked[segment / 32] & ((uint32) 1 << (segment % 32))) != 0;
}

static void
look_at(Cleanup *cleanup, uint32 segment)
{
	cleanup->looked[segment / 32] |= (uint32) 1 << (segment % 32);
}

/* Whether half of what it has, or more, isn't needed. */
static bool
half_can_go(uint32 segment)
{
	SegmentRow	row = {0};
	LogSegment	tables;

	if (segment == NONE)
		return false;
	tables = log_segment_of(segment);
	census_take(&tables, baton_now(), &row);
	return row.messages > 0 && count_survivors(&row, baton_now()) <= row.messages / 2;
}

/* Asked for: those that are still written to are closed too, if it is worth it. */
static void
rotate_if_worth(Cleanup *cleanup)
{
	Database   *d = &shared->databases[cleanup->database];
	bool		open = half_can_go(pg_atomic_read_u32(&d->open_segment));
	bool		survivors = half_can_go(pg_atomic_read_u32(&d->survivor_segment));

	cleanup->rotated = true;
	if (open || survivors)
		rotate_segment(cleanup->database, open, survivors);
}

static void
compact(Cleanup *cleanup, uint32 segment, SegmentRow *row)
{
	bool		left;
	int			moved = compact_segment(cleanup->database, segment, row, &left);

	cleanup->report.messages_moved += moved;
	if (row->moved_at > row->counted_at && !left)
		row->counted_at = 0;	/* what is left has to be counted */
	if (moved > 0 || !left)
		put_segment(segment, row, SEGMENT_CHANGED, NULL);
	if (moved == 0 && !left)
		segments[segment].not_before = baton_now() + COMPACT_AFTER;
}

/* What to do with a segment next. */
static Action
next_action(const Cleanup *cleanup, uint32 segment, const SegmentRow *row, TimestampTz now)
{
	bool		looked = was_looked_at(cleanup, segment);
	Action		action = decide(segment, row, now, cleanup->forced && !looked);

	if (action == ACTION_NONE && cleanup->forced && looked && now >= segments[segment].not_before &&
		segments[segment].state == SEGMENT_CLOSED && row->counted_at != 0 &&
		worth_compacting(row, now, true))
		action = ACTION_COMPACT;
	return action;
}

bool
cleanup_step(Cleanup *cleanup)
{
	TimestampTz now = baton_now();
	SegmentRow *rows;
	int			n;

	cleanup->current = NONE;
	maintenance_lock(true);
	if (!cleanup->rotated)
	{
		rotate_if_worth(cleanup);
		cleanup->until = baton_now();
		return true;
	}
	if (close_segments(cleanup->database) > 0 &&
		(cleanup->until == 0 || cleanup->closings++ < CLOSINGS))
		return true;
	if (!cleanup->swept)
	{
		sweep_over(cleanup->database);
		cleanup->swept = true;
	}
	rows = registry_list(&n);
	for (int i = 0; i < n; i++)
	{
		uint32		segment = find_segment(cleanup->database, rows[i].number);
		Action		action;

		if (segment == NONE || (cleanup->until != 0 && rows[i].sealed_at > cleanup->until))
			continue;
		action = next_action(cleanup, segment, &rows[i], now);
		cleanup->current = segment;
		if (action != ACTION_NONE && !lock_for_reading(segment))
		{
			look_at(cleanup, segment);
			segments[segment].not_before = now + RETRY_AFTER;
			continue;
		}
		switch (action)
		{
			case ACTION_COUNT:
				look_at(cleanup, segment);
				if (rows[i].counted_at != 0 && !is_needed(&rows[i], now) && !may_be_emptied(segment))
				{
					segments[segment].not_before = now + RETRY_AFTER;
					continue;
				}
				count_segment(cleanup, segment, &rows[i]);
				return true;
			case ACTION_COMPACT:
				compact(cleanup, segment, &rows[i]);
				return true;
			case ACTION_NONE:
				break;
		}
	}
	cleanup->current = NONE;
	if (drop_surplus(cleanup->database))
		return true;
	return depth_count(cleanup->database);
}

/* What was in the way may be gone in a minute, or have come to stay. */
void
cleanup_failed(Cleanup *cleanup)
{
	Segment    *s;

	if (cleanup->current == NONE)
		return;
	look_at(cleanup, cleanup->current);
	s = &segments[cleanup->current];
	s->not_before = baton_now() + Min(FAILED_FIRST << Min(s->failures, 16), FAILED_MOST);
	s->failures++;
}

void
cleanup_succeeded(Cleanup *cleanup)
{
	if (cleanup->current != NONE)
		segments[cleanup->current].failures = 0;
}

void
cleanup_end(Cleanup *cleanup)
{
	cleanup->report.segments_kept = 0;
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
		if (segments[i].used && segments[i].database == cleanup->database &&
			(segments[i].state == SEGMENT_SEALED || segments[i].state == SEGMENT_CLOSED))
			cleanup->report.segments_kept++;
}
