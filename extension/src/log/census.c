/*
 * log/census.c
 *	  Over all messages of a segment: counting what is still needed, copying it elsewhere.
 *
 * Plain SQL: a hash join over two tables is what it's best at.
 */
#include "postgres.h"

#include "log/census.h"
#include "log/fetch.h"
#include "log/statement.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * FROM clause: one row a message that has not been moved out, with id, ctid, queue_id, priority, key, expires_at, finished, and
 * until, when its retention is over.  $1 is the time; listed: only those whose ids are in $2.
 */
static char *
messages_of(const LogSegment *segment, bool listed)
{
	const char *messages = statement_table(segment->messages);
	const char *events = statement_table(segment->events);
	const char *queues = quote_qualified_identifier(
		get_namespace_name(log_schema(false)->namespace), "queue_definition");

	return psprintf(
		"(SELECT m.id, m.ctid, m.queue_id, m.priority, m.key, m.expires_at,"
		"	q.id IS NULL OR e.message_id IS NOT NULL"
		"		OR coalesce(m.expires_at <= $1, false) OR m.id <= q.purged_id AS finished,"
		"	CASE WHEN q.id IS NULL THEN '-infinity'"
		"		ELSE coalesce(e.at, m.expires_at, m.sent_at) + q.retention END AS until"
		" FROM ONLY %s m"
		" LEFT JOIN %s q ON q.id = m.queue_id"
		" LEFT JOIN (SELECT message_id, at FROM ONLY %s"
		"	WHERE action IN ('completed', 'dead', 'cancelled')%s) e ON e.message_id = m.id"
		" WHERE NOT EXISTS (SELECT FROM ONLY %s x"
		"	WHERE x.message_id = m.id AND x.action = 'moved'%s)%s) AS message",
		messages, queues, events, listed ? " AND message_id = ANY ($2)" : "", events,
		listed ? " AND x.message_id = ANY ($2)" : "", listed ? " AND m.id = ANY ($2)" : "");
}

static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

static int64
int64_column(uint64 row, int number)
{
	bool		isnull;
	Datum		datum = column(row, number, &isnull);

	return isnull ? 0 : DatumGetInt64(datum);
}

static int64 *
ids_column(uint64 row, int number, int64 expected, MemoryContext context)
{
	bool		isnull;
	Datum		datum = column(row, number, &isnull);
	int64	   *ids = MemoryContextAlloc(context, sizeof(int64) * (expected + 1));
	Datum	   *elements;
	bool	   *nulls;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(datum), INT8OID, 8, FLOAT8PASSBYVAL,
						  TYPALIGN_DOUBLE, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt64(elements[i]);
	return ids;
}

void
census_take(const LogSegment *segment, TimestampTz now, SegmentRow *row)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(now)};
	Statement	statement;

	statement_begin(&statement);
	statement_plan_for_scan();
	statement_run_as_of(GetLatestSnapshot(),
						psprintf("SELECT count(*), count(*) FILTER (WHERE finished IS NOT TRUE),"
								 " count(*) FILTER (WHERE finished AND until > $1),"
								 " max(until) FILTER (WHERE finished AND until > $1),"
								 " array_agg(id ORDER BY id) FILTER (WHERE finished IS NOT TRUE)"
								 " FROM %s",
								 messages_of(segment, false)),
						1, types, values, SPI_OK_SELECT);
	row->counted_at = now;
	row->messages = int64_column(0, 1);
	row->unfinished = int64_column(0, 2);
	row->retained = int64_column(0, 3);
	row->retained_until = int64_column(0, 4);
	row->unfinished_ids = NULL;
	if (row->unfinished <= UNFINISHED_LISTED)
		row->unfinished_ids = ids_column(0, 5, row->unfinished, statement.caller);
	statement_end(&statement);
}

QueueCount *
census_by_queue(const LogSegment *segment, const int64 *queue_ids, const int64 *below, int n,
				TimestampTz now, Snapshot snapshot, int *count)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID};
	Datum		values[] = {TimestampTzGetDatum(now), registry_ids(queue_ids, n),
							registry_ids(below, n)};
	Statement	statement;
	QueueCount *out;

	statement_begin(&statement);
	statement_plan_for_scan();
	*count = (int) statement_run_as_of(
		snapshot,
		psprintf("SELECT queue_id::bigint, count(*), min(expires_at) FROM %s"
				 " JOIN unnest($2, $3) AS counted (queue, below) ON queue_id = queue AND id < below"
				 " WHERE finished IS NOT TRUE GROUP BY queue_id",
				 messages_of(segment, false)),
		3, types, values, SPI_OK_SELECT);
	out = MemoryContextAlloc(statement.caller, sizeof(QueueCount) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		out[i].queue_id = (int32) int64_column(i, 1);
		out[i].unfinished = int64_column(i, 2);
		out[i].next_expiry = int64_column(i, 3);
	}
	statement_end(&statement);
	return out;
}

Survivor *
census_survivors(const LogSegment *segment, const SegmentRow *row, TimestampTz now, int limit,
				 int *count)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8ARRAYOID, INT8OID};
	bool		listed = row->counted_at != 0 && row->unfinished_ids != NULL && row->retained == 0;
	Datum		values[] = {TimestampTzGetDatum(now),
							registry_ids(row->unfinished_ids, listed ? (int) row->unfinished : 0),
							Int64GetDatum(limit)};
	Statement	statement;
	Survivor   *out;

	statement_begin(&statement);
	statement_plan_for_scan();
	*count = (int) statement_run_as_of(
		GetLatestSnapshot(),
		psprintf("SELECT id, queue_id::bigint, ctid, priority::bigint, finished, key FROM %s"
				 " WHERE finished IS NOT TRUE OR until > $1 ORDER BY id LIMIT $3",
				 messages_of(segment, listed)),
		3, types, values, SPI_OK_SELECT);
	out = MemoryContextAlloc(statement.caller, sizeof(Survivor) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bool		isnull;
		Datum		key;

		out[i].id = int64_column(i, 1);
		out[i].queue_id = (int32) int64_column(i, 2);
		ItemPointerCopy((ItemPointer) DatumGetPointer(column(i, 3, &isnull)), &out[i].tid);
		out[i].priority = (int16) int64_column(i, 4);
		out[i].finished = DatumGetBool(column(i, 5, &isnull));
		key = column(i, 6, &isnull);
		out[i].key_hash = isnull ? 0 : log_key_hash(out[i].queue_id, DatumGetTextPP(key));
	}
	statement_end(&statement);
	return out;
}

/*
 * The columns of an event table, and what a copy has in them: the same, but for xid, which says who
 * wrote the event where xmin no longer does.  It isn't there before ALTER EXTENSION UPDATE; others may be,
 * made by hand.
 */
static void
event_columns(Oid events, StringInfo names, StringInfo values)
{
	Relation	rel = table_open(events, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(column->attname));
		const char *comma = names->len > 0 ? ", " : "";

		if (column->attisdropped || column->attgenerated != '\0')
			continue;
		appendStringInfo(names, "%s%s", comma, name);
		appendStringInfo(values, namestrcmp(&column->attname, "xid") == 0 ? "%scoalesce(%s, xmin)" : "%s%s", comma,
						 name);
	}
	table_close(rel, NoLock);
}

static Datum
places_of(const Survivor *const *survivors, int n)
{
	Datum	   *places = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		places[i] = PointerGetDatum(&survivors[i]->tid);
	return PointerGetDatum(construct_array(places, n, TIDOID, sizeof(ItemPointerData), false,
										   TYPALIGN_SHORT));
}

/* Which of the survivors, by their ids, a row of the result is of. */
static int
survivor_of(uint64 row, const Survivor *const *survivors, int n)
{
	int64		id = int64_column(row, 1);

	for (int i = 0; i < n; i++)
		if (survivors[i]->id == id)
			return i;
	elog(ERROR, "copied a message that nobody asked for");
}

static void
copy_events(Oid from, Oid to, const int64 *ids, int n)
{
	static const Oid types[] = {INT8ARRAYOID};
	Datum		values[] = {registry_ids(ids, n)};
	StringInfoData names;
	StringInfoData copies;

	initStringInfo(&names);
	initStringInfo(&copies);
	event_columns(from, &names, &copies);
	statement_run_as_of(GetLatestSnapshot(),
						psprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s"
								 " WHERE message_id = ANY ($1) AND action <> 'moved' ORDER BY id",
								 statement_table(to), names.data, copies.data, statement_table(from)),
						1, types, values, SPI_OK_INSERT);
}

void
census_copy(const LogSegment *from, const LogSegment *to, const Survivor *const *survivors,
			int n, ItemPointerData *tids)
{
	static const Oid types[] = {INT8ARRAYOID, TIDARRAYOID};
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));
	Datum		values[2];
	Statement	statement;
	int			copied;

	for (int i = 0; i < n; i++)
	{
		ids[i] = survivors[i]->id;
		ItemPointerSetInvalid(&tids[i]);
	}
	values[0] = registry_ids(ids, n);
	values[1] = places_of(survivors, n);
	statement_begin(&statement);
	copied = (int) statement_run_as_of(
		GetLatestSnapshot(),
		psprintf("INSERT INTO %s SELECT * FROM ONLY %s"
				 " WHERE ctid = ANY ($2) AND id = ANY ($1) RETURNING id, ctid",
				 statement_table(to->messages), statement_table(from->messages)),
		2, types, values, SPI_OK_INSERT_RETURNING);
	for (int row = 0; row < copied; row++)
	{
		int			i = survivor_of(row, survivors, n);
		bool		isnull;

		ids[row] = survivors[i]->id;
		ItemPointerCopy((ItemPointer) DatumGetPointer(column(row, 2, &isnull)), &tids[i]);
	}
	if (copied > 0)
		copy_events(from->events, to->events, ids, copied);
	statement_end(&statement);
	pfree(ids);
}
