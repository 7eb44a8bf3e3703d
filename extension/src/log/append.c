/*
 * log/append.c
 *	  Rows into the log, without SPI.
 *
 * Every message costs at least one row here, so this path is kept short: no plan,
 * no range table, no EState.  A single row goes right to heap_insert(), as segments are always heaps; more
 * go through table_multi_insert() in chunks, bounded in rows and in bytes, so that a
 * batch of large payloads isn't copied as a whole.
 *
 * Indexes are log/indexing.c's.
 */
#include "postgres.h"

#include "log/append.h"
#include "log/indexing.h"
#include "log/row.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* A chunk of a batch ends at whichever comes first. */
#define CHUNK_ROWS 1000
#define CHUNK_BYTES (64 * 1024)

/* Sets the columns of row `n` of an array; returns about how many bytes it has. */
typedef Size (*FillRow)(Columns out, const void *rows, int n);

static const char *const action_names[] = {
	[EVENT_NONE] = "none",
	[EVENT_CLAIMED] = "claimed",
	[EVENT_COMPLETED] = "completed",
	[EVENT_FAILED] = "failed",
	[EVENT_VANISHED] = "vanished",
	[EVENT_LEASE_EXPIRED] = "lease_expired",
	[EVENT_RELEASED] = "released",
	[EVENT_DEAD] = "dead",
	[EVENT_CANCELLED] = "cancelled",
	[EVENT_REQUEUED] = "requeued",
	[EVENT_MOVED] = "moved",
};

const char *
log_event_action_name(EventAction action)
{
	Assert(action < lengthof(action_names));
	return action_names[action];
}

EventAction
log_event_action_parse(const char *name, int length)
{
	for (int i = 0; i < lengthof(action_names); i++)
	{
		if (strlen(action_names[i]) == length &&
			memcmp(action_names[i], name, length) == 0)
			return (EventAction) i;
	}
	return EVENT_NONE;
}

/* ---- from rows to columns ---- */

static inline void
set(Columns row, AttrNumber column, Datum value)
{
	row.values[column - 1] = value;
	row.isnull[column - 1] = false;
}

static inline void
set_or_null(Columns row, AttrNumber column, Datum value, bool null)
{
	row.values[column - 1] = value;
	row.isnull[column - 1] = null;
}

static inline void
set_pointer(Columns row, AttrNumber column, const void *pointer)
{
	set_or_null(row, column, PointerGetDatum(pointer), pointer == NULL);
}

/* Where 0 means null. */
static inline void
set_int64_or_null(Columns row, AttrNumber column, int64 value)
{
	set_or_null(row, column, Int64GetDatum(value), value == 0);
}

static Size
fill_message(Columns out, const void *rows, int n)
{
	const MessageRow *row = (const MessageRow *) rows + n;

	set(out, MESSAGE_ID, Int64GetDatum(row->id));
	set(out, MESSAGE_QUEUE_ID, Int32GetDatum(row->queue_id));
	set(out, MESSAGE_SENT_AT, TimestampTzGetDatum(row->sent_at));
	set_int64_or_null(out, MESSAGE_DELIVER_AT, row->deliver_at);
	set_int64_or_null(out, MESSAGE_EXPIRES_AT, row->expires_at);
	set(out, MESSAGE_PRIORITY, Int16GetDatum(row->priority));
	set_pointer(out, MESSAGE_KEY, row->key);
	set_pointer(out, MESSAGE_UNIQUE_KEY, row->unique_key);
	set_int64_or_null(out, MESSAGE_ORIGIN, row->origin);
	set_pointer(out, MESSAGE_HEADERS, row->headers);
	set_pointer(out, MESSAGE_PAYLOAD, row->payload);

	return 100 + (row->payload ? VARSIZE_ANY(row->payload) : 0) +
		(row->headers ? VARSIZE_ANY(row->headers) : 0);
}

/* The role that was asked for last: mostly the next is the same. */
static Oid	last_role = InvalidOid;
static NameData last_role_name;

static void
roles_changed(Datum argument, int cache, uint32 hash)
{
	last_role = InvalidOid;
}

/* NULL: there is none, or it is gone. */
static text *
role_name(Oid role)
{
	static bool registered = false;
	char	   *name;

	if (!OidIsValid(role))
		return NULL;
	if (role != last_role)
	{
		if (!registered)
			CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
		registered = true;
		name = GetUserNameFromId(role, true);
		if (name == NULL)
			return NULL;
		namestrcpy(&last_role_name, name);
		last_role = role;
	}
	return cstring_to_text(NameStr(last_role_name));
}

static Size
fill_event(Columns out, const void *rows, int n)
{
	const EventRow *row = (const EventRow *) rows + n;

	set(out, EVENT_ID, Int64GetDatum(row->id));
	set(out, EVENT_MESSAGE_ID, Int64GetDatum(row->message_id));
	set(out, EVENT_QUEUE_ID, Int32GetDatum(row->queue_id));
	set(out, EVENT_AT, TimestampTzGetDatum(row->at));
	set_pointer(out, EVENT_ACTION, cstring_to_text(log_event_action_name(row->action)));
	set(out, EVENT_ATTEMPT, Int32GetDatum(row->attempt));
	set(out, EVENT_FAILURES, Int32GetDatum(row->failures));
	set(out, EVENT_CRASHES, Int32GetDatum(row->crashes));
	set_int64_or_null(out, EVENT_CLAIMED_AT, row->claimed_at);
	set_or_null(out, EVENT_PROCESS_ID, Int32GetDatum(row->process_id), row->process_id == 0);
	set_pointer(out, EVENT_ROLE, role_name(row->role));
	set_int64_or_null(out, EVENT_DELIVER_AT, row->deliver_at);
	set_pointer(out, EVENT_DETAIL, row->detail);

	return 100 + (row->detail ? VARSIZE_ANY(row->detail) : 0);
}

/* ---- appending ---- */

/* Columns that somebody added by hand stay null: ours come first, and only they are filled. */
static void
clear(Columns row, TupleDesc desc)
{
	memset(row.isnull, true, desc->natts * sizeof(bool));
}

/* One row needs no slot, and little memory, which goes with what the caller allocates. */
static void
append_one(Relation rel, const TableIndexes *indexes, FillRow fill, const void *row, ItemPointerData *tid)
{
	Datum		values[MaxHeapAttributeNumber];
	bool		isnull[MaxHeapAttributeNumber];
	Columns		columns = {values, isnull};
	HeapTuple	tuple;

	clear(columns, RelationGetDescr(rel));
	fill(columns, row, 0);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, isnull);
	heap_insert(rel, tuple, GetCurrentCommandId(true), 0, NULL);
	log_index_row(rel, indexes, columns, &tuple->t_self);
	if (tid != NULL)
		*tid = tuple->t_self;
	heap_freetuple(tuple);
}

/* Virtual, as the indexes then find the columns in it; one of the table's own kind would be taken apart again. */
static TupleTableSlot *
make_slot(TupleDesc desc)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);

	clear(slot_columns(slot), desc);
	return slot;
}

/*
 * Fills slots with rows from `first` on until the chunk is full; returns how many.
 * Slots are made in slot_context when they are first needed.
 */
static int
fill_chunk(TupleDesc desc, FillRow fill, const void *rows, int first, int n,
		   TupleTableSlot **slots, MemoryContext slot_context)
{
	int			count = 0;
	Size		bytes = 0;

	while (first + count < n && count < CHUNK_ROWS && bytes < CHUNK_BYTES)
	{
		if (slots[count] == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(slot_context);

			slots[count] = make_slot(desc);
			MemoryContextSwitchTo(old);
		}
		else
			ExecClearTuple(slots[count]);
		bytes += fill(slot_columns(slots[count]), rows, first + count);
		ExecStoreVirtualTuple(slots[count]);
		count++;
	}
	return count;
}

/*
 * What a chunk allocates, but for the slots, is freed before the next.  The slots share a copy of the
 * descriptor, since each use of the relation's own would be counted; so there is nothing to drop.
 */
static void
append_many(Relation rel, FillRow fill, const void *rows, int n, ItemPointerData *tids)
{
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(rel));
	TupleTableSlot **slots = palloc0(sizeof(TupleTableSlot *) * Min(n, CHUNK_ROWS));
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext scratch;
	int			count;

	scratch = AllocSetContextCreate(outer, "baton append chunk", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(scratch);
	for (int first = 0; first < n; first += count)
	{
		CHECK_FOR_INTERRUPTS();
		count = fill_chunk(desc, fill, rows, first, n, slots, outer);
		table_multi_insert(rel, slots, count, GetCurrentCommandId(true), 0, NULL);
		log_index_rows(rel, slots, count);
		for (int i = 0; tids != NULL && i < count; i++)
			tids[first + i] = slots[i]->tts_tid;
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(outer);
}

static void
append(Relation rel, FillRow fill, const void *rows, int n, ItemPointerData *tids)
{
	const TableIndexes *indexes = n == 1 ? log_plain_indexes(rel) : NULL;
	MemoryContext context;
	MemoryContext old;

	if (n == 0)
		return;
	if (indexes != NULL)
	{
		append_one(rel, indexes, fill, rows, tids);
		return;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "baton append",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	append_many(rel, fill, rows, n, tids);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
log_append_messages(Relation rel, const MessageRow *rows, int n, ItemPointerData *tids)
{
	append(rel, fill_message, rows, n, tids);
}

void
log_append_events(Relation rel, const EventRow *rows, int n)
{
	append(rel, fill_event, rows, n, NULL);
}
