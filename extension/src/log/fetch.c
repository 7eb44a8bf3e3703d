/*
 * log/fetch.c
 *	  Rows out of the log, by TID and by index scan, without SPI.
 *
 * What is read here isn't part of what a serializable transaction reads: whether a
 * message may be handed out is decided in shared memory, and a predicate lock on the
 * log would make every sender a conflict.  So everything is fetched with SnapshotAny,
 * which takes no predicate locks, and the caller's snapshot is asked row by row.
 * That is cheap, as rows of the log have one version each.
 *
 * Detoasting needs an active or registered snapshot in the session; every function and
 * procedure called by SQL has one, a worker must push one.
 */
#include "postgres.h"

#include "log/fetch.h"
#include "log/indexing.h"
#include "log/row.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/skey.h"
#include "access/tableam.h"
#include "baton.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

/* ---- from columns to rows ---- */

static inline int64
get_int64(Columns row, AttrNumber column)
{
	return row.isnull[column - 1] ? 0 : DatumGetInt64(row.values[column - 1]);
}

static inline int32
get_int32(Columns row, AttrNumber column)
{
	return row.isnull[column - 1] ? 0 : DatumGetInt32(row.values[column - 1]);
}

static inline int16
get_int16(Columns row, AttrNumber column)
{
	return row.isnull[column - 1] ? 0 : DatumGetInt16(row.values[column - 1]);
}

/* A detoasted copy, which doesn't depend on the row; NULL where null. */
static inline void *
get_varlena(Columns row, AttrNumber column)
{
	if (row.isnull[column - 1])
		return NULL;
	return PG_DETOAST_DATUM_COPY(row.values[column - 1]);
}

/* The columns up to the n-th. */
static inline Columns
fetch_columns(TupleTableSlot *slot, int n)
{
	slot_getsomeattrs(slot, n);
	return slot_columns(slot);
}

static void
read_message(Columns row, MessageRow *out)
{
	out->id = get_int64(row, MESSAGE_ID);
	out->queue_id = get_int32(row, MESSAGE_QUEUE_ID);
	out->sent_at = get_int64(row, MESSAGE_SENT_AT);
	out->deliver_at = get_int64(row, MESSAGE_DELIVER_AT);
	out->expires_at = get_int64(row, MESSAGE_EXPIRES_AT);
	out->priority = get_int16(row, MESSAGE_PRIORITY);
	out->key = get_varlena(row, MESSAGE_KEY);
	out->unique_key = get_varlena(row, MESSAGE_UNIQUE_KEY);
	out->origin = get_int64(row, MESSAGE_ORIGIN);
	out->headers = get_varlena(row, MESSAGE_HEADERS);
	out->payload = get_varlena(row, MESSAGE_PAYLOAD);
}

uint64
log_key_hash(int32 queue_id, const text *key)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(key),
										   VARSIZE_ANY_EXHDR(key), (uint32) queue_id);

	return hash != 0 ? hash : 1;
}

static uint64
read_key_hash(Columns row)
{
	Datum		datum = row.values[MESSAGE_KEY - 1];
	text	   *key;
	uint64		hash;

	if (row.isnull[MESSAGE_KEY - 1])
		return 0;
	key = DatumGetTextPP(datum);
	hash = log_key_hash(get_int32(row, MESSAGE_QUEUE_ID), key);
	if ((Pointer) key != DatumGetPointer(datum))
		pfree(key);
	return hash;
}

/* Stops before the payload, which may be toasted. */
static void
read_head(TupleTableSlot *slot, void *out, int n)
{
	MessageHead *head = (MessageHead *) out + n;
	Columns		row = fetch_columns(slot, MESSAGE_KEY);

	head->id = get_int64(row, MESSAGE_ID);
	head->tid = slot->tts_tid;
	head->priority = get_int16(row, MESSAGE_PRIORITY);
	head->sent_at = get_int64(row, MESSAGE_SENT_AT);
	head->deliver_at = get_int64(row, MESSAGE_DELIVER_AT);
	head->expires_at = get_int64(row, MESSAGE_EXPIRES_AT);
	head->key_hash = read_key_hash(row);
}

static void
read_due_event(TupleTableSlot *slot, void *out, int n)
{
	DueEvent   *due = (DueEvent *) out + n;
	Columns		row = fetch_columns(slot, EVENT_DELIVER_AT);

	due->message_id = get_int64(row, EVENT_MESSAGE_ID);
	due->deliver_at = get_int64(row, EVENT_DELIVER_AT);
}

/* Fetches the columns up to the attempt. */
static EventAction
read_action(TupleTableSlot *slot)
{
	Columns		row = fetch_columns(slot, EVENT_ATTEMPT);
	text	   *action;

	if (row.isnull[EVENT_ACTION - 1])
		return EVENT_NONE;
	action = DatumGetTextPP(row.values[EVENT_ACTION - 1]);
	return log_event_action_parse(VARDATA_ANY(action), VARSIZE_ANY_EXHDR(action));
}

/* The role's Oid, InvalidOid if it is null or gone. */
static Oid
read_role(Columns row)
{
	if (row.isnull[EVENT_ROLE - 1])
		return InvalidOid;
	return get_role_oid(TextDatumGetCString(row.values[EVENT_ROLE - 1]), true);
}

static void
read_event(TupleTableSlot *slot, EventAction action, bool with_detail, EventRow *out)
{
	Columns		row = fetch_columns(slot, EVENT_COLUMNS);

	out->id = get_int64(row, EVENT_ID);
	out->message_id = get_int64(row, EVENT_MESSAGE_ID);
	out->queue_id = get_int32(row, EVENT_QUEUE_ID);
	out->at = get_int64(row, EVENT_AT);
	out->action = action;
	out->attempt = get_int32(row, EVENT_ATTEMPT);
	out->failures = get_int32(row, EVENT_FAILURES);
	out->crashes = get_int32(row, EVENT_CRASHES);
	out->claimed_at = get_int64(row, EVENT_CLAIMED_AT);
	out->process_id = get_int32(row, EVENT_PROCESS_ID);
	out->role = with_detail ? read_role(row) : InvalidOid;
	out->deliver_at = get_int64(row, EVENT_DELIVER_AT);
	out->detail = with_detail ? get_varlena(row, EVENT_DETAIL) : NULL;
}

/* ---- by TID ---- */

/*
 * Whether the table reaches as far as tid.  What the storage manager remembers of its
 * length saves the system call: under a lock on the table it can't have become shorter,
 * since who truncates it locks it exclusively and invalidates that number.
 */
static inline bool
block_exists(Relation rel, const ItemPointerData *tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);
	BlockNumber known = BatonSmgr(rel)->smgr_cached_nblocks[MAIN_FORKNUM];

	if (known != InvalidBlockNumber && block < known)
		return true;
	return block < RelationGetNumberOfBlocks(rel);
}

static bool
is_seen(HeapTuple tuple, Buffer buffer, Snapshot snapshot)
{
	bool		seen;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	seen = HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return seen;
}

/* Why the caller's snapshot doesn't see a row: the latest one does, or somebody deleted or updated it by hand. */
static FetchVerdict
why_unseen(HeapTuple tuple, Buffer buffer)
{
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	bool		seen = is_seen(tuple, buffer, latest);

	UnregisterSnapshot(latest);
	return seen ? FETCH_NOT_YET : FETCH_ELSEWHERE;
}

/* Without a slot, which would take longer to make than the row to be read; segments are always heaps. */
FetchVerdict
log_fetch_message(Relation rel, const ItemPointerData *tid, int64 id, Snapshot snapshot, MessageRow *out)
{
	FetchVerdict verdict;
	Datum		values[MaxHeapAttributeNumber];
	bool		isnull[MaxHeapAttributeNumber];
	Columns		row = {values, isnull};
	HeapTupleData tuple = {.t_self = *tid};
	Buffer		buffer;

	if (!ItemPointerIsValid(tid) || !block_exists(rel, tid) ||
		!BatonHeapFetch(rel, SnapshotAny, &tuple, &buffer))
		return FETCH_ELSEWHERE;
	heap_deform_tuple(&tuple, RelationGetDescr(rel), values, isnull);
	if (get_int64(row, MESSAGE_ID) != id)
		verdict = FETCH_ELSEWHERE;
	else if (!is_seen(&tuple, buffer, snapshot))
		verdict = why_unseen(&tuple, buffer);
	else
	{
		read_message(row, out);
		verdict = FETCH_OK;
	}
	ReleaseBuffer(buffer);
	return verdict;
}

/* ---- by index ---- */

/* One scan of an index of a segment's table. */
typedef struct LogScan
{
	Relation	table;
	Relation	index;
	IndexScanDesc desc;
	TupleTableSlot *slot;
	Snapshot	snapshot;		/* decides what is seen */
} LogScan;

/*
 * Whether index is a valid btree that leads with these columns and has every row,
 * or every row where `not_null` isn't null.
 */
static bool
index_fits(Relation index, const AttrNumber *columns, int ncolumns, AttrNumber not_null)
{
	Form_pg_index form = index->rd_index;
	List	   *predicate;

	if (!form->indisvalid || index->rd_rel->relam != BTREE_AM_OID ||
		form->indnkeyatts < ncolumns)
		return false;
	for (int i = 0; i < ncolumns; i++)
	{
		if (form->indkey.values[i] != columns[i])
			return false;
	}
	predicate = RelationGetIndexPredicate(index);
	return predicate == NIL || (not_null != 0 && log_predicate_column(predicate) == not_null);
}

/* The lock on the index is kept, like the one on its table. */
static Relation
open_index(Relation table, const AttrNumber *columns, int ncolumns, AttrNumber not_null)
{
	List	   *oids = RelationGetIndexList(table);
	ListCell   *cell;

	foreach(cell, oids)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index_fits(index, columns, ncolumns, not_null))
		{
			list_free(oids);
			return index;
		}
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" lacks an index that Baton made with it",
					RelationGetRelationName(table)),
			 errhint("Compare its indexes with those of other tables of the log, and create "
					 "the one that is missing.")));
	return NULL;
}

/*
 * Opens a scan by the index whose first columns are `columns`.  begin_scan() must be
 * called before the first next_row(), and can be called again with other keys.
 */
static void
open_scan(LogScan *scan, Relation table, const AttrNumber *columns, int ncolumns,
		  AttrNumber not_null, Snapshot snapshot, int nkeys)
{
	scan->table = table;
	scan->index = open_index(table, columns, ncolumns, not_null);
	scan->desc = BatonIndexBeginScan(table, scan->index, SnapshotAny, nkeys);
	scan->slot = table_slot_create(table, NULL);
	scan->snapshot = snapshot;
}

static void
begin_scan(LogScan *scan, ScanKey keys, int nkeys)
{
	index_rescan(scan->desc, keys, nkeys, NULL, 0);
}

/* The next row whether it is seen or not; false at the end. */
static inline bool
next_row(LogScan *scan)
{
	return index_getnext_slot(scan->desc, ForwardScanDirection, scan->slot);
}

static inline bool
row_is_seen(LogScan *scan)
{
	return table_tuple_satisfies_snapshot(scan->table, scan->slot, scan->snapshot);
}

static void
close_scan(LogScan *scan)
{
	ExecDropSingleTupleTableSlot(scan->slot);
	index_endscan(scan->desc);
	index_close(scan->index, NoLock);
}

/*
 * Runs a scan to its end or until `limit` rows that are seen, after the first `skip` of them,
 * went through `read`.
 */
static int
collect(LogScan *scan, ScanKey keys, int nkeys, int skip, int limit,
		void (*read) (TupleTableSlot *slot, void *out, int n), void *out)
{
	int			n = 0;

	if (limit <= 0)
		return 0;
	begin_scan(scan, keys, nkeys);
	while (n < limit && next_row(scan))
	{
		CHECK_FOR_INTERRUPTS();
		if (row_is_seen(scan) && skip-- <= 0)
			read(scan->slot, out, n++);
	}
	return n;
}

static const AttrNumber lane_columns[] = {MESSAGE_QUEUE_ID, MESSAGE_PRIORITY, MESSAGE_ID};
static const AttrNumber due_message_columns[] = {MESSAGE_QUEUE_ID, MESSAGE_DELIVER_AT};
static const AttrNumber due_event_columns[] = {EVENT_QUEUE_ID, EVENT_DELIVER_AT};
static const AttrNumber event_message_columns[] = {EVENT_MESSAGE_ID};

static void
lane_keys(ScanKey keys, int32 queue_id, int16 priority)
{
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(priority));
}

FetchVerdict
log_find_message(Relation rel, int32 queue_id, int64 id, Snapshot snapshot,
				 MessageRow *out, ItemPointer tid)
{
	FetchVerdict verdict = FETCH_ELSEWHERE;
	LogScan		scan;
	ScanKeyData keys[3];

	open_scan(&scan, rel, lane_columns, 3, 0, snapshot, 3);
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	for (int priority = 0; priority < BATON_PRIORITIES && verdict != FETCH_OK; priority++)
	{
		lane_keys(keys, queue_id, priority);
		begin_scan(&scan, keys, 3);
		while (verdict != FETCH_OK && next_row(&scan))
		{
			FetchVerdict here = log_fetch_message(rel, &scan.slot->tts_tid, id, snapshot, out);

			if (here == FETCH_OK)
				*tid = scan.slot->tts_tid;
			if (here != FETCH_ELSEWHERE)
				verdict = here;
		}
	}
	close_scan(&scan);
	return verdict;
}

int
log_scan_lane(Relation rel, int32 queue_id, int16 priority, int64 after, int64 upto,
			  int limit, Snapshot snapshot, MessageHead *out)
{
	LogScan		scan;
	ScanKeyData keys[4];
	int			n;

	open_scan(&scan, rel, lane_columns, 3, 0, snapshot, 4);
	lane_keys(keys, queue_id, priority);
	ScanKeyInit(&keys[2], 3, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	ScanKeyInit(&keys[3], 3, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(upto));
	n = collect(&scan, keys, 4, 0, limit, read_head, out);
	close_scan(&scan);
	return n;
}

static int
scan_due(Relation rel, const AttrNumber *columns, int32 queue_id, TimestampTz after,
		 TimestampTz upto, int skip, int limit, Snapshot snapshot,
		 void (*read) (TupleTableSlot *slot, void *out, int n), void *out)
{
	LogScan		scan;
	ScanKeyData keys[3];
	int			n;

	open_scan(&scan, rel, columns, 2, columns[1], snapshot, 3);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
				TimestampTzGetDatum(after));
	ScanKeyInit(&keys[2], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
				TimestampTzGetDatum(upto));
	n = collect(&scan, keys, 3, skip, limit, read, out);
	close_scan(&scan);
	return n;
}

int
log_scan_due_messages(Relation rel, int32 queue_id, TimestampTz after, TimestampTz upto,
					  int skip, int limit, Snapshot snapshot, MessageHead *out)
{
	return scan_due(rel, due_message_columns, queue_id, after, upto, skip, limit, snapshot,
					read_head, out);
}

int
log_scan_due_events(Relation rel, int32 queue_id, TimestampTz after, TimestampTz upto,
					int skip, int limit, Snapshot snapshot, DueEvent *out)
{
	return scan_due(rel, due_event_columns, queue_id, after, upto, skip, limit, snapshot,
					read_due_event, out);
}

/* When the claim began that an event ended; an event without a claim stands for itself. */
static TimestampTz
began_at(TimestampTz claimed_at, TimestampTz at)
{
	return claimed_at != 0 ? claimed_at : at;
}

/*
 * Whether the event in slot is later than *best.  The keeper may write the end of one claim after
 * the end of the next, so ids alone don't tell.
 */
static bool
event_is_later(TupleTableSlot *slot, EventAction action, const EventRow *best)
{
	bool		terminal = log_event_is_terminal(action);
	Columns		row = fetch_columns(slot, EVENT_CLAIMED_AT);
	int32		attempt = get_int32(row, EVENT_ATTEMPT);
	TimestampTz began;
	TimestampTz best_began = began_at(best->claimed_at, best->at);

	if (terminal != log_event_is_terminal(best->action))
		return terminal;
	if (attempt != best->attempt)
		return attempt > best->attempt;
	began = began_at(get_int64(row, EVENT_CLAIMED_AT), get_int64(row, EVENT_AT));
	return began != best_began ? began > best_began : get_int64(row, EVENT_ID) > best->id;
}

/* The latest one of a scan that is open. */
static bool
find_latest(LogScan *scan, int64 message_id, bool with_detail, EventRow *out)
{
	ScanKeyData key;
	bool		found = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(message_id));
	begin_scan(scan, &key, 1);
	while (next_row(scan))
	{
		EventAction action = read_action(scan->slot);
		bool		moved = action == EVENT_MOVED;

		if ((found && !moved && !event_is_later(scan->slot, action, out)) || !row_is_seen(scan))
			continue;
		if (found && out->detail != NULL)
			pfree(out->detail);
		read_event(scan->slot, action, with_detail, out);
		found = true;
		if (moved)
			break;
	}
	return found;
}

bool
log_latest_event(Relation rel, int64 message_id, Snapshot snapshot, bool with_detail,
				 EventRow *out)
{
	LogScan		scan;
	bool		found;

	open_scan(&scan, rel, event_message_columns, 1, 0, snapshot, 1);
	found = find_latest(&scan, message_id, with_detail, out);
	close_scan(&scan);
	return found;
}

void
log_latest_events(Relation rel, const int64 *message_ids, int n, Snapshot snapshot, bool *found,
				  EventRow *out)
{
	LogScan		scan;

	open_scan(&scan, rel, event_message_columns, 1, 0, snapshot, 1);
	for (int i = 0; i < n; i++)
		found[i] = find_latest(&scan, message_ids[i], false, &out[i]);
	close_scan(&scan);
}
