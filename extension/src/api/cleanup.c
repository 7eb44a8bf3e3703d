/*
 * api/cleanup.c
 *	  SQL: cleanup_queue(), and what the views need to know of segments.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "api/args.h"
#include "log/fetch.h"
#include "log/registry.h"
#include "log/segment.h"
#include "memory/directory.h"
#include "queue/maintain.h"
#include "queue/resolve.h"
#include "queue/xact.h"

PG_FUNCTION_INFO_V1(baton_cleanup_queue);
PG_FUNCTION_INFO_V1(baton__last_event);
PG_FUNCTION_INFO_V1(baton__was_moved);

/* Each step has a transaction of its own. */
static void
next_transaction(void)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	SPI_finish();
	EnsurePortalSnapshotExists();
}

Datum
baton_cleanup_queue(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	Cleanup    *cleanup = palloc(sizeof(Cleanup));
	MemoryContext context;
	bool		more;
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (call == NULL || !IsA(call, CallContext) || call->atomic ||
		(MyXactFlags & XACT_FLAGS_PIPELINING))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("baton.cleanup_queue() cannot run inside a transaction block"),
				 errhint("Call it outside of BEGIN ... COMMIT: it commits each of its steps.")));
	PreventCommandIfReadOnly("baton.cleanup_queue()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	BlessTupleDesc(desc);

	cleanup_begin(cleanup, baton_database(), true);
	xact_session();
	context = AllocSetContextCreate(CurrentMemoryContext, "baton cleanup step",
									ALLOCSET_DEFAULT_SIZES);
	do
	{
		MemoryContext old;

		next_transaction();
		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(context);
		more = cleanup_step(cleanup);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	} while (more);
	next_transaction();
	cleanup_end(cleanup);

	values[0] = Int64GetDatum(cleanup->report.segments_emptied);
	values[1] = Int64GetDatum(cleanup->report.messages_removed);
	values[2] = Int64GetDatum(cleanup->report.messages_moved);
	values[3] = Int64GetDatum(cleanup->report.bytes_freed);
	values[4] = Int64GetDatum(cleanup->report.segments_kept);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* ---- for the views ---- */

/* The events beside a table of messages, opened; NULL: it is no table of the log, or they are gone. */
static Relation
open_events(Oid table)
{
	LogSegment	segment;

	return log_segment_of_table(table, &segment)
			   ? try_relation_open(segment.events, AccessShareLock)
			   : NULL;
}

Datum
baton__last_event(PG_FUNCTION_ARGS)
{
	Relation	events = open_events(PG_GETARG_OID(0));
	Datum		values[11];
	bool		nulls[11];
	EventRow	event;
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	if (events != NULL)
	{
		if (log_latest_event(events, PG_GETARG_INT64(1), GetActiveSnapshot(), true, &event))
		{
			memset(nulls, false, sizeof(nulls));
			values[0] = Int64GetDatum(event.id);
			values[1] = CStringGetTextDatum(log_event_action_name(event.action));
			values[2] = BoolGetDatum(log_event_is_terminal(event.action));
			values[3] = TimestampTzGetDatum(event.at);
			values[4] = Int32GetDatum(event.attempt);
			values[5] = Int32GetDatum(event.failures);
			values[6] = Int32GetDatum(event.crashes);
			values[7] = TimestampTzGetDatum(event.claimed_at);
			nulls[7] = event.claimed_at == 0;
			values[8] = Int32GetDatum(event.process_id);
			nulls[8] = event.process_id == 0;
			values[9] = TimestampTzGetDatum(event.deliver_at);
			nulls[9] = event.deliver_at == 0;
			values[10] = PointerGetDatum(event.detail);
			nulls[10] = event.detail == NULL;
		}
		relation_close(events, AccessShareLock);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* What a call remembers of the table of the call before: a scan goes through one after the other. */
typedef struct LastTable
{
	Oid			table;
	bool		compacted;		/* messages may have been moved out of its segment */
} LastTable;

/* One that came from a restore and isn't known yet may be, too. */
static bool
may_be_compacted(Oid table)
{
	LogSegment	segment;
	SegmentRow	row;

	return log_segment_of_table(table, &segment) &&
		   (!registry_get(segment.number, &row) || row.moved_at != 0);
}

Datum
baton__was_moved(PG_FUNCTION_ARGS)
{
	LastTable  *last = fcinfo->flinfo->fn_extra;
	Oid			table = PG_GETARG_OID(0);
	Relation	events;
	EventRow	event;
	bool		moved = false;

	if (last == NULL)
		fcinfo->flinfo->fn_extra = last =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(LastTable));
	if (last->table != table)
	{
		last->compacted = may_be_compacted(table);
		last->table = table;
	}
	if (!last->compacted || (events = open_events(table)) == NULL)
		PG_RETURN_BOOL(false);
	moved = log_latest_event(events, PG_GETARG_INT64(1), GetActiveSnapshot(), false, &event) &&
			event.action == EVENT_MOVED;
	relation_close(events, AccessShareLock);
	PG_RETURN_BOOL(moved);
}
