/*
 * queue/segments.c
 *	  Which segment messages are written to, and the changes of segments from open to closed.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"

#include "log/registry.h"
#include "log/schema.h"
#include "log/truncate.h"
#include "memory/directory.h"
#include "queue/resolve.h"
#include "queue/segments.h"

/* So many segments is the log cut into at least, before they get larger. */
#define SEGMENTS_WANTED 64

#define SIZE_KNOWN_FOR (INT64CONST(10) * USECS_PER_SEC)

LogSegment
log_segment_of(uint32 segment)
{
	const Segment *s = &segments[segment];

	return (LogSegment) {s->number, s->messages, s->events};
}

bool
maintenance_lock(bool wait)
{
	Oid			table = log_schema(false)->segment;

	if (wait)
	{
		LockDatabaseObject(table, 0, 0, ExclusiveLock);
		return true;
	}
	return ConditionalLockDatabaseObject(table, 0, 0, ExclusiveLock);
}

/* Knowing them */

static void
raise_too_many(void)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("too many segments in the message log")));
}

static uint32
register_pair(uint32 database, const LogSegment *pair, const SegmentRow *row, bool pending,
			  bool known)
{
	Segment		entry = {
		.database = database,
		.number = pair->number,
		.messages = pair->messages,
		.events = pair->events,
		.pending = pending,
		.state = row->state,
		.survivors = row->survivors,
		.first_id = row->first_id,
		.last_id = row->state == SEGMENT_CLOSED && row->last_id > 0 ? row->last_id : ID_INFINITE,
	};
	uint32		segment = segment_register(&entry, known);

	if (segment == NONE)
		raise_too_many();
	return segment;
}

static const SegmentRow *
row_of(const SegmentRow *rows, int n, int32 number)
{
	for (int i = 0; i < n; i++)
		if (rows[i].number == number)
			return &rows[i];
	return NULL;
}

/*
 * A pair without a row came from a restore: it is read, and not written to.  Messages may have been moved out of it;
 * any snapshot sees that.
 */
static SegmentRow
row_of_stranger(int32 number)
{
	TimestampTz now = baton_now();

	return (SegmentRow) {
		.number = number,
		.state = SEGMENT_SEALED,
		.sealed_at = now,
		.moved_at = now,
	};
}

void
adopt_segments(uint32 database)
{
	Database   *d = &shared->databases[database];
	int			npairs;
	int			nrows;
	LogSegment *pairs = log_segment_list(&npairs);
	SegmentRow *rows = registry_list(&nrows);

	for (int i = 0; i < npairs; i++)
	{
		const SegmentRow *row = row_of(rows, nrows, pairs[i].number);
		SegmentRow	stranger = row_of_stranger(pairs[i].number);
		uint32		none = NONE;
		uint32		segment;

		segment = register_pair(database, &pairs[i], row ? row : &stranger, false, row != NULL);
		if (row != NULL && row->state == SEGMENT_OPEN && segments[segment].state == SEGMENT_OPEN)
			pg_atomic_compare_exchange_u32(row->survivors ? &d->survivor_segment
														  : &d->open_segment,
										   &none, segment);
	}
	pfree(pairs);
	pfree(rows);
}

static bool
table_exists(Oid table)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table));
}

/* Somebody has dropped tables of the log: what was in them is gone. */
static void
forget_dropped(uint32 database)
{
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		Segment    *s = &segments[i];

		if (!s->used || s->pending || s->database != database ||
			(table_exists(s->messages) && table_exists(s->events)))
			continue;
		ereport(LOG, (errmsg("tables of segment %d of the message log have been dropped",
							 s->number)));
		registry_delete(s->number);
		segment_forget(i);
		for (int open = 0; open < 2; open++)
		{
			uint32		expected = i;

			pg_atomic_compare_exchange_u32(open ? &shared->databases[database].open_segment
												: &shared->databases[database].survivor_segment,
										   &expected, NONE);
		}
	}
}

static bool
is_empty(Oid table)
{
	Relation	rel = table_open(table, AccessShareLock);
	bool		empty = RelationGetNumberOfBlocks(rel) == 0;

	table_close(rel, AccessShareLock);
	return empty;
}

/*
 * A transaction that has written to it holds RowExclusiveLock to its end, and its commit callback has run by then.  The lock
 * is given back at once; from now on nobody has, or can get, a row into it.
 */
static bool
nobody_writes(Oid table)
{
	if (!ConditionalLockRelationOid(table, ShareLock))
		return false;
	UnlockRelationOid(table, ShareLock);
	return true;
}

/*
 * Rows that came into a free pair by other ways than a send, when a restore brought the tables first and the data later: they
 * have to be read.  A restore brings events before messages, by name.
 */
static bool
adopt_filled(uint32 database)
{
	bool		any = false;

	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		const Segment *s = &segments[i];
		SegmentRow	row = row_of_stranger(s->number);

		if (!s->used || s->pending || s->database != database || s->state != SEGMENT_FREE ||
			!table_exists(s->messages) || !table_exists(s->events) || is_empty(s->messages) ||
			!nobody_writes(s->messages) || !nobody_writes(s->events))
			continue;
		put_segment(i, &row, SEGMENT_CHANGED, NULL);
		pg_atomic_write_u32(&shared->databases[database].reload, 1);
		any = true;
	}
	return any;
}

static bool
is_registered(uint32 database, int32 number)
{
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
		if (segments[i].used && segments[i].database == database && segments[i].number == number)
			return true;
	return false;
}

/* A pair that became complete since adopt_segments() looked is for the next time: with a row it would pass for read. */
void
adopt_rows(uint32 database)
{
	int			npairs;
	int			nrows;
	LogSegment *pairs = log_segment_list(&npairs);
	SegmentRow *rows = registry_list(&nrows);
	bool		any = false;

	for (int i = 0; i < npairs; i++)
	{
		SegmentRow	stranger = row_of_stranger(pairs[i].number);

		if (row_of(rows, nrows, pairs[i].number) != NULL ||
			!is_registered(database, pairs[i].number))
			continue;
		registry_put(&stranger);
		log_segment_adopt(&pairs[i]);
		any = true;
	}
	if (adopt_filled(database) || any)
		registry_forget_marks();
	forget_dropped(database);
	pfree(pairs);
	pfree(rows);
}

/* Opening */

/* Memory's part, at commit.  Raises nothing, given room. */
static void
change_segment(uint32 segment, const SegmentRow *row, SegmentEvent event,
			   const BeforeCount *before)
{
	const Segment *s = &segments[segment];
	SegmentChange change = {
		.database = s->database,
		.segment = segment,
		.generation = s->generation,
		.state = row->state,
		.survivors = row->survivors,
		.emptied = event == SEGMENT_EMPTIED,
		.counted = event == SEGMENT_COUNTED,
		.first_id = row->first_id,
		.last_id = row->state == SEGMENT_CLOSED && row->last_id > 0 ? row->last_id : ID_INFINITE,
		.finished = before ? before->finished : 0,
		.recount = before ? before->recount : 0,
	};

	xact_add_segment(&change, s->pending);
}

void
put_segment(uint32 segment, const SegmentRow *row, SegmentEvent event,
			const BeforeCount *before)
{
	xact_reserve_segment();
	registry_put(row);
	change_segment(segment, row, event, before);
}

void
drop_segment(uint32 segment)
{
	const Segment *s = &segments[segment];
	LogSegment	tables = log_segment_of(segment);
	SegmentChange change = {
		.database = s->database,
		.segment = segment,
		.generation = s->generation,
		.dropped = true,
	};

	xact_reserve_segment();
	registry_delete(s->number);
	log_segment_drop(&tables);
	xact_add_segment(&change, false);
}

/* A pair that is free, and really empty; NONE: there is none. */
static uint32
find_free(uint32 database)
{
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		const Segment *s = &segments[i];

		if (s->used && !s->pending && s->database == database && s->state == SEGMENT_FREE &&
			table_exists(s->messages) && table_exists(s->events) && is_empty(s->messages) &&
			is_empty(s->events))
			return i;
	}
	return NONE;
}

/* Memory comes last: nothing may fail between the new entry and what takes it back at abort. */
static uint32
make_pair(uint32 database, SegmentRow *row)
{
	SegmentRow	unused = {.state = SEGMENT_FREE};
	LogSegment	pair;
	uint32		segment;

	xact_session();
	xact_reserve_segment();
	pair = log_segment_create(log_segment_next_number());
	row->number = pair.number;
	registry_put(row);
	BATON_POINT("segment-made");
	segment = register_pair(database, &pair, &unused, true, true);
	change_segment(segment, row, SEGMENT_CHANGED, NULL);
	return segment;
}

/* A free pair, or a new one, as the one that is open; at commit. */
static uint32
open_another(uint32 database, bool survivors)
{
	uint32		segment = find_free(database);
	SegmentRow	row = {
		.state = SEGMENT_OPEN,
		.survivors = survivors,
		.first_id = survivors ? 0 : next_ids(database, 1),
		.opened_at = baton_now(),
	};

	if (segment == NONE)
		return make_pair(database, &row);
	row.number = segments[segment].number;
	put_segment(segment, &row, SEGMENT_CHANGED, NULL);
	return segment;
}

/*
 * Memory knows of no open segment: takes over the one that the table has, else opens one.  Two who want to open one
 * meet at the lock; the second finds the first one's.
 */
static uint32
find_or_open(uint32 database)
{
	pg_atomic_uint32 *open = &shared->databases[database].open_segment;
	uint32		opened = xact_opened_segment(database);

	if (opened != NONE)
		return opened;
	adopt_segments(database);
	if (pg_atomic_read_u32(open) != NONE)
		return pg_atomic_read_u32(open);

	log_segment_lock();
	adopt_segments(database);
	if (pg_atomic_read_u32(open) == NONE)
		return open_another(database, false);
	/* this transaction may stay open for long, and must not keep the keeper from rotating */
	log_segment_unlock();
	return pg_atomic_read_u32(open);
}

void
ensure_segment(uint32 database)
{
	if (pg_atomic_read_u32(&shared->databases[database].open_segment) == NONE)
		find_or_open(database);
}

static void
raise_dropped(uint32 segment)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("tables of segment %d of the message log have been dropped",
					segments[segment].number),
			 errdetail("The messages in it are lost."),
			 errhint("The keeper notices within seconds; then new messages go to another one.")));
}

Relation
open_event_log(uint32 segment)
{
	Relation	rel = log_table_open(segments[segment].events, RowExclusiveLock);

	if (rel == NULL)
		raise_dropped(segment);
	return rel;
}

Relation
open_message_log(uint32 database, uint32 *segment)
{
	pg_atomic_uint32 *open = &shared->databases[database].open_segment;

	for (;;)
	{
		uint32		seg = pg_atomic_read_u32(open);
		Relation	rel;

		if (seg == NONE)
			seg = find_or_open(database);
		BATON_POINT("send-segment-chosen");
		rel = log_table_open(segments[seg].messages, RowExclusiveLock);
		BATON_POINT("send-locked");
		/* one that this transaction has opened isn't known to others yet */
		if (pg_atomic_read_u32(open) == seg || xact_opened_segment(database) == seg)
		{
			if (rel == NULL)
				raise_dropped(seg);
			*segment = seg;
			return rel;
		}
		if (rel != NULL)
			table_close(rel, RowExclusiveLock);
		CHECK_FOR_INTERRUPTS();
	}
}

uint32
open_survivor_segment(uint32 database)
{
	uint32		segment = pg_atomic_read_u32(&shared->databases[database].survivor_segment);

	if (segment != NONE)
		return segment;
	return log_segment_lock_if_free() ? open_another(database, true) : NONE;
}

/* Rotation */

int64
segment_bytes(uint32 segment)
{
	int64		bytes = 0;
	Oid			tables[] = {segments[segment].messages, segments[segment].events};

	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!table_exists(tables[i]) || !ConditionalLockRelationOid(tables[i], AccessShareLock))
			continue;
		bytes += DatumGetInt64(
			DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(tables[i])));
		UnlockRelationOid(tables[i], AccessShareLock);
	}
	return bytes;
}

/*
 * Segments get larger with the log, or a large one would have too many to look at.  How large it is needn't be
 * known to the second.
 */
static int64
wanted_bytes(uint32 database)
{
	static uint32 all[MAX_SEGMENTS];
	static TimestampTz known_until = 0;
	static uint32 known_of;
	static int64 known;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	uint32		n;
	int64		total = 0;

	if (now < known_until && known_until <= now + SIZE_KNOWN_FOR && known_of == database)
		return known;
	n = segment_list(database, all, MAX_SEGMENTS);
	if (n > SEGMENTS_WANTED / 2)
		for (uint32 i = 0; i < n; i++)
			total += segment_bytes(all[i]);
	known = Max((int64) baton_segment_size * 1024, total / SEGMENTS_WANTED);
	known_of = database;
	known_until = now + SIZE_KNOWN_FOR;
	return known;
}

static bool
wants_rotation(uint32 database, uint32 segment, const SegmentRow *row, bool forced)
{
	int64		bytes = segment_bytes(segment);

	if (is_empty(segments[segment].messages))
		return false;
	if (forced ||
		(bytes >= (int64) baton_segment_size * 1024 && bytes >= wanted_bytes(database)))
		return true;
	return baton_segment_age > 0 && row->opened_at != 0 &&
		   baton_now() - row->opened_at >= (int64) baton_segment_age * USECS_PER_SEC;
}

/* The row as the table has it; an error where somebody has removed it. */
static SegmentRow
get_row(uint32 segment)
{
	SegmentRow	row;

	if (!registry_get(segments[segment].number, &row))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("baton.segment lacks the row of segment %d",
							   segments[segment].number)));
	return row;
}

static void
seal(uint32 segment, SegmentRow *row)
{
	row->state = SEGMENT_SEALED;
	row->sealed_at = baton_now();
	put_segment(segment, row, SEGMENT_CHANGED, NULL);
}

void
rotate_segment(uint32 database, bool forced, bool forced_survivors)
{
	uint32		open = pg_atomic_read_u32(&shared->databases[database].open_segment);
	uint32		survivors = pg_atomic_read_u32(&shared->databases[database].survivor_segment);
	SegmentRow	row;

	if (survivors != NONE && table_exists(segments[survivors].messages))
	{
		row = get_row(survivors);
		/* the next step of compaction opens another one */
		if (wants_rotation(database, survivors, &row, forced_survivors))
			seal(survivors, &row);
	}
	if (open == NONE || !table_exists(segments[open].messages))
		return;
	row = get_row(open);
	/* without waiting: an ANALYZE of the whole log has that lock too */
	if (wants_rotation(database, open, &row, forced) && log_segment_lock_if_free())
	{
		seal(open, &row);
		BATON_POINT("rotate-sealed");
		open_another(database, false);
	}
}

int
close_segments(uint32 database)
{
	int			closed = 0;

	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		const Segment *s = &segments[i];
		SegmentRow	row;

		if (!s->used || s->pending || s->database != database || s->state != SEGMENT_SEALED ||
			!table_exists(s->messages) || !registry_get(s->number, &row) ||
			!nobody_writes(s->messages))
			continue;
		BATON_POINT("close-lock-given-back");
		row.state = SEGMENT_CLOSED;
		row.last_id = s->first_id > 0 ? next_ids(database, 1) : 0;
		put_segment(i, &row, SEGMENT_CHANGED, NULL);
		closed++;
	}
	return closed;
}

/* Callbacks' parts */

void
segments_commit(const PendingSegment *changes, uint32 n)
{
	/* the one that opens first: senders find one at every moment */
	for (uint32 i = 0; i < n; i++)
		if (changes[i].change.state == SEGMENT_OPEN && !changes[i].change.dropped)
			segment_change(&changes[i].change);
	for (uint32 i = 0; i < n; i++)
		if (changes[i].change.state != SEGMENT_OPEN || changes[i].change.dropped)
			segment_change(&changes[i].change);
}

void
segments_undo(const PendingSegment *changes, uint32 n)
{
	for (uint32 i = n; i-- > 0;)
	{
		const SegmentChange *change = &changes[i].change;
		const Segment *s = &segments[change->segment];

		if (changes[i].made && s->pending && s->database == change->database &&
			s->generation == change->generation)
			segment_forget(change->segment);
	}
}
