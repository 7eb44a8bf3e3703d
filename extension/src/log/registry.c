/*
 * log/registry.c
 *	  What is written down about segments and queues: tables baton.segment and baton.queue_mark.
 */
#include "postgres.h"

#include "log/registry.h"
#include "log/statement.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/xid8.h"

#define ROW_COLUMNS \
	"number, state, survivors, first_id, last_id, opened_at, sealed_at, counted_at, messages, " \
	"unfinished, unfinished_ids, retained, retained_until, moved_at, moved_xid"
#define ROW_TYPES \
	INT4OID, TEXTOID, BOOLOID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, \
	INT8OID, INT8OID, INT8ARRAYOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID
#define ROW_VALUES 15

static const char *const state_names[] = {
	[SEGMENT_FREE] = "free",
	[SEGMENT_OPEN] = "open",
	[SEGMENT_SEALED] = "sealed",
	[SEGMENT_CLOSED] = "closed",
};

const char *
segment_state_name(SegmentState state)
{
	return state_names[state];
}

static SegmentState
parse_state(const char *name)
{
	for (int i = 0; i < lengthof(state_names); i++)
		if (strcmp(name, state_names[i]) == 0)
			return (SegmentState) i;
	return SEGMENT_SEALED;		/* the safe one: nothing is written to it, nothing is believed of it */
}

/* ---- rows ---- */

/* Int64 and times, where 0 stands for null. */
static void
set_value(Datum *values, char *nulls, int i, int64 value)
{
	values[i] = Int64GetDatum(value);
	nulls[i] = value == 0 ? 'n' : ' ';
}

Datum
registry_ids(const int64 *ids, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(construct_array(elements, n, INT8OID, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static void
row_values(const SegmentRow *row, Datum *values, char *nulls)
{
	memset(nulls, ' ', ROW_VALUES);
	values[0] = Int32GetDatum(row->number);
	values[1] = CStringGetTextDatum(segment_state_name(row->state));
	values[2] = BoolGetDatum(row->survivors);
	values[3] = Int64GetDatum(row->first_id);
	set_value(values, nulls, 4, row->last_id);
	set_value(values, nulls, 5, row->opened_at);
	set_value(values, nulls, 6, row->sealed_at);
	set_value(values, nulls, 7, row->counted_at);
	set_value(values, nulls, 12, row->retained_until);
	set_value(values, nulls, 13, row->moved_at);
	values[14] = FullTransactionIdGetDatum(FullTransactionIdFromU64(row->moved_xid));
	nulls[14] = row->moved_xid == 0 ? 'n' : ' ';
	values[8] = Int64GetDatum(row->messages);
	values[9] = Int64GetDatum(row->unfinished);
	values[11] = Int64GetDatum(row->retained);
	if (row->counted_at == 0)
		nulls[8] = nulls[9] = nulls[11] = 'n';
	if (row->counted_at == 0 || row->unfinished_ids == NULL)
		nulls[10] = 'n';
	else
		values[10] = registry_ids(row->unfinished_ids, (int) row->unfinished);
}

static int64
get_value(const Datum *values, const bool *isnull, int i)
{
	return isnull[i] ? 0 : DatumGetInt64(values[i]);
}

/* The array's elements, if they are as many as was counted. */
static int64 *
read_ids(Datum datum, int64 expected)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int64	   *ids;

	deconstruct_array(DatumGetArrayTypeP(datum), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &n);
	if (n != expected)
		return NULL;
	ids = palloc(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
		ids[i] = nulls[i] ? 0 : DatumGetInt64(elements[i]);
	return ids;
}

static void
read_row(uint64 n, MemoryContext context, SegmentRow *out)
{
	Datum		values[ROW_VALUES];
	bool		isnull[ROW_VALUES];
	MemoryContext old = MemoryContextSwitchTo(context);

	heap_deform_tuple(SPI_tuptable->vals[n], SPI_tuptable->tupdesc, values, isnull);
	memset(out, 0, sizeof(*out));
	out->number = DatumGetInt32(values[0]);
	out->state = parse_state(TextDatumGetCString(values[1]));
	out->survivors = DatumGetBool(values[2]);
	out->first_id = DatumGetInt64(values[3]);
	out->last_id = get_value(values, isnull, 4);
	out->opened_at = get_value(values, isnull, 5);
	out->sealed_at = get_value(values, isnull, 6);
	out->counted_at = get_value(values, isnull, 7);
	out->messages = get_value(values, isnull, 8);
	out->unfinished = get_value(values, isnull, 9);
	if (out->counted_at != 0 && !isnull[10])
		out->unfinished_ids = read_ids(values[10], out->unfinished);
	out->retained = get_value(values, isnull, 11);
	out->retained_until = get_value(values, isnull, 12);
	out->moved_at = get_value(values, isnull, 13);
	if (!isnull[14])
		out->moved_xid = U64FromFullTransactionId(DatumGetFullTransactionId(values[14]));
	MemoryContextSwitchTo(old);
}

/* ---- segments ---- */

SegmentRow *
registry_list(int *count)
{
	Statement	statement;
	SegmentRow *list;

	statement_begin(&statement);
	*count = (int) statement_run("SELECT " ROW_COLUMNS " FROM %1$s.segment ORDER BY number", 0,
								 NULL, NULL, NULL, SPI_OK_SELECT);
	list = MemoryContextAlloc(statement.caller, sizeof(SegmentRow) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		read_row(i, statement.caller, &list[i]);
	statement_end(&statement);
	return list;
}

bool
registry_get(int32 number, SegmentRow *out)
{
	static const Oid types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(number)};
	Statement	statement;
	bool		found;

	statement_begin(&statement);
	found = statement_run("SELECT " ROW_COLUMNS " FROM %1$s.segment WHERE number = $1", 1, types,
						  values, NULL, SPI_OK_SELECT) > 0;
	if (found)
		read_row(0, statement.caller, out);
	statement_end(&statement);
	return found;
}

void
registry_put(const SegmentRow *row)
{
	static const Oid types[] = {ROW_TYPES};
	Datum		values[ROW_VALUES];
	char		nulls[ROW_VALUES];
	Statement	statement;

	statement_begin(&statement);
	row_values(row, values, nulls);
	if (statement_run("UPDATE %1$s.segment SET (" ROW_COLUMNS ") ="
					  " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
					  " WHERE number = $1",
					  ROW_VALUES, types, values, nulls, SPI_OK_UPDATE) == 0)
		statement_run("INSERT INTO %1$s.segment (" ROW_COLUMNS ")"
					  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
					  ROW_VALUES, types, values, nulls, SPI_OK_INSERT);
	statement_end(&statement);
}

void
registry_delete(int32 number)
{
	static const Oid types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(number)};
	Statement	statement;

	statement_begin(&statement);
	statement_run("DELETE FROM %1$s.segment WHERE number = $1", 1, types, values, NULL,
				  SPI_OK_DELETE);
	statement_end(&statement);
}

/* ---- marks ---- */

int64
registry_mark(int32 queue_id)
{
	static const Oid types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(queue_id)};
	Statement	statement;
	int64		below = 0;
	bool		isnull;

	statement_begin(&statement);
	if (statement_run("SELECT below FROM %1$s.queue_mark WHERE queue_id = $1", 1, types, values,
					  NULL, SPI_OK_SELECT) > 0)
		below = DatumGetInt64(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	statement_end(&statement);
	return below;
}

/* A queue that was dropped meanwhile keeps no mark. */
void
registry_put_marks(const QueueMark *marks, int n)
{
	static const Oid types[] = {INT8ARRAYOID, INT8ARRAYOID};
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));
	int64	   *below = palloc(sizeof(int64) * Max(n, 1));
	Datum		values[2];
	Statement	statement;

	for (int i = 0; i < n; i++)
	{
		ids[i] = marks[i].queue_id;
		below[i] = marks[i].below;
	}
	statement_begin(&statement);
	values[0] = registry_ids(ids, n);
	values[1] = registry_ids(below, n);
	statement_run("INSERT INTO %1$s.queue_mark AS m SELECT id::int, below"
				  " FROM unnest($1, $2) AS new (id, below)"
				  " WHERE id IN (SELECT q.id FROM %1$s.queue_definition q)"
				  " ON CONFLICT (queue_id) DO UPDATE SET below = excluded.below",
				  2, types, values, NULL, SPI_OK_INSERT);
	statement_end(&statement);
}

void
registry_forget_marks(void)
{
	Statement	statement;

	statement_begin(&statement);
	statement_run("DELETE FROM %1$s.queue_mark", 0, NULL, NULL, NULL, SPI_OK_DELETE);
	statement_end(&statement);
}
