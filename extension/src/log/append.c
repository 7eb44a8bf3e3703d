/*
 * log/append.c
 *	  Rows into the log, by the table access method and without SPI.
 *
 * Every message costs at least one row here, so this path is kept short: no plan,
 * no range table, no EState.  A single row goes through table_tuple_insert(); more
 * go through table_multi_insert() in chunks, bounded in rows and in bytes, so that a
 * batch of large payloads isn't copied as a whole.
 *
 * Indexes are log/indexing.c's.
 */
#include "postgres.h"

#include "log/append.h"
#include "log/indexing.h"
#include "log/row.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* A chunk of a batch ends at whichever comes first. */
#define CHUNK_ROWS 1000
#define CHUNK_BYTES (64 * 1024)

/* Writes row `n` of an array into slot; returns about how many bytes it has. */
typedef Size (*FillSlot)(TupleTableSlot *slot, const void *rows, int n);

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

/* ---- from rows to slots ---- */

static inline void
set_pointer(TupleTableSlot *slot, AttrNumber column, const void *pointer)
{
	slot->tts_values[column - 1] = PointerGetDatum(pointer);
	slot->tts_isnull[column - 1] = pointer == NULL;
}

static inline void
set_int64(TupleTableSlot *slot, AttrNumber column, int64 value)
{
	slot->tts_values[column - 1] = Int64GetDatum(value);
	slot->tts_isnull[column - 1] = false;
}

/* Where 0 means null. */
static inline void
set_int64_or_null(TupleTableSlot *slot, AttrNumber column, int64 value)
{
	slot->tts_values[column - 1] = Int64GetDatum(value);
	slot->tts_isnull[column - 1] = value == 0;
}

static inline void
set_int32(TupleTableSlot *slot, AttrNumber column, int32 value)
{
	slot->tts_values[column - 1] = Int32GetDatum(value);
	slot->tts_isnull[column - 1] = false;
}

static Size
fill_message(TupleTableSlot *slot, const void *rows, int n)
{
	const MessageRow *row = (const MessageRow *) rows + n;

	set_int64(slot, MESSAGE_ID, row->id);
	set_int32(slot, MESSAGE_QUEUE_ID, row->queue_id);
	set_int64(slot, MESSAGE_SENT_AT, row->sent_at);
	set_int64_or_null(slot, MESSAGE_DELIVER_AT, row->deliver_at);
	set_int64_or_null(slot, MESSAGE_EXPIRES_AT, row->expires_at);
	slot->tts_values[MESSAGE_PRIORITY - 1] = Int16GetDatum(row->priority);
	slot->tts_isnull[MESSAGE_PRIORITY - 1] = false;
	set_pointer(slot, MESSAGE_KEY, row->key);
	set_pointer(slot, MESSAGE_UNIQUE_KEY, row->unique_key);
	set_int64_or_null(slot, MESSAGE_ORIGIN, row->origin);
	set_pointer(slot, MESSAGE_HEADERS, row->headers);
	set_pointer(slot, MESSAGE_PAYLOAD, row->payload);

	return 100 + (row->payload ? VARSIZE_ANY(row->payload) : 0) +
		(row->headers ? VARSIZE_ANY(row->headers) : 0);
}

static Size
fill_event(TupleTableSlot *slot, const void *rows, int n)
{
	const EventRow *row = (const EventRow *) rows + n;
	char	   *role = OidIsValid(row->role) ? GetUserNameFromId(row->role, true) : NULL;

	set_int64(slot, EVENT_ID, row->id);
	set_int64(slot, EVENT_MESSAGE_ID, row->message_id);
	set_int32(slot, EVENT_QUEUE_ID, row->queue_id);
	set_int64(slot, EVENT_AT, row->at);
	set_pointer(slot, EVENT_ACTION, cstring_to_text(log_event_action_name(row->action)));
	set_int32(slot, EVENT_ATTEMPT, row->attempt);
	set_int32(slot, EVENT_FAILURES, row->failures);
	set_int32(slot, EVENT_CRASHES, row->crashes);
	set_int64_or_null(slot, EVENT_CLAIMED_AT, row->claimed_at);
	set_int32(slot, EVENT_PROCESS_ID, row->process_id);
	slot->tts_isnull[EVENT_PROCESS_ID - 1] = row->process_id == 0;
	set_pointer(slot, EVENT_ROLE, role ? cstring_to_text(role) : NULL);
	set_int64_or_null(slot, EVENT_DELIVER_AT, row->deliver_at);
	set_pointer(slot, EVENT_DETAIL, row->detail);

	return 100 + (row->detail ? VARSIZE_ANY(row->detail) : 0);
}

/* ---- appending ---- */

/* Virtual, as the indexes then find the columns in it; one of the table's own kind would be taken apart again. */
static TupleTableSlot *
make_slot(TupleDesc desc)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);

	/* columns that somebody added by hand stay null: ours come first, and only they are filled */
	memset(slot->tts_isnull, true, desc->natts * sizeof(bool));
	return slot;
}

static void
append_one(Relation rel, FillSlot fill, const void *rows, ItemPointerData *tids)
{
	TupleTableSlot *slot = make_slot(RelationGetDescr(rel));

	fill(slot, rows, 0);
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
	log_index_rows(rel, &slot, 1);
	if (tids != NULL)
		tids[0] = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Fills slots with rows from `first` on until the chunk is full; returns how many.
 * Slots are made in slot_context when they are first needed.
 */
static int
fill_chunk(TupleDesc desc, FillSlot fill, const void *rows, int first, int n,
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
		bytes += fill(slots[count], rows, first + count);
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
append_many(Relation rel, FillSlot fill, const void *rows, int n, ItemPointerData *tids)
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

/* One row needs little memory, which goes with what its caller allocates for the call. */
static void
append(Relation rel, FillSlot fill, const void *rows, int n, ItemPointerData *tids)
{
	MemoryContext context;
	MemoryContext old;

	if (n == 0)
		return;
	if (n == 1)
	{
		append_one(rel, fill, rows, tids);
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
