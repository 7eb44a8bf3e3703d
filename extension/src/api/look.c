/*
 * api/look.c
 *	  SQL functions that look: one message, claims, queues, health; and check_hung_messages.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "api/args.h"
#include "log/definition.h"
#include "log/fetch.h"
#include "log/schema.h"
#include "log/segment.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/slots.h"
#include "queue/record.h"
#include "queue/resolve.h"
#include "queue/segments.h"
#include "queue/xact.h"

PG_FUNCTION_INFO_V1(baton_get);
PG_FUNCTION_INFO_V1(baton__claims);
PG_FUNCTION_INFO_V1(baton__queues);
PG_FUNCTION_INFO_V1(baton__health);
PG_FUNCTION_INFO_V1(baton__installed);
PG_FUNCTION_INFO_V1(baton_library_version);
PG_FUNCTION_INFO_V1(baton_check_hung_messages);

/* One message */

/* A message's claim, copied from its slot; false: nobody holds it. */
static bool
claim_of(uint32 database, int64 id, Slot *out)
{
	uint32		queue;
	uint32		slot = slot_hash_find(database, id, &queue);

	if (slot == NONE)
		return false;
	LWLockAcquire(queue_lock(queue), LW_SHARED);
	*out = slots[slot];
	LWLockRelease(queue_lock(queue));
	return out->id == id && out->database == database &&
		   (out->state == SLOT_CLAIMED || out->state == SLOT_SETTLING);
}

/* The queue that is asked for. */
typedef struct AskedQueue
{
	const char *name;
	int32		id;
	int64		purged_id;
} AskedQueue;

static const char *
status_of(const AskedQueue *queue, const MessageRow *row, const EventRow *event, bool claimed,
		  TimestampTz now)
{
	TimestampTz due = event ? event->deliver_at : row->deliver_at;

	if (event && log_event_is_terminal(event->action))
		return log_event_action_name(event->action);
	if (claimed)
		return "running";
	if (row->id <= queue->purged_id)
		return "cancelled";
	if (row->expires_at != 0 && row->expires_at <= now)
		return "expired";
	return due > now ? "scheduled" : "pending";
}

static void
put_time(Datum *values, bool *nulls, int i, TimestampTz time)
{
	values[i] = TimestampTzGetDatum(time);
	nulls[i] = time == 0;
}

static void
put_text(Datum *values, bool *nulls, int i, const char *string)
{
	nulls[i] = string == NULL;
	if (string != NULL)
		values[i] = CStringGetTextDatum(string);
}

static void
put_pointer(Datum *values, bool *nulls, int i, void *pointer)
{
	nulls[i] = pointer == NULL;
	values[i] = PointerGetDatum(pointer);
}

static Jsonb *
error_field(Jsonb *detail)
{
	JsonbValue	v;

	if (detail == NULL || !JB_ROOT_IS_OBJECT(detail) ||
		getKeyJsonValueFromContainer(&detail->root, "error", 5, &v) == NULL ||
		v.type != jbvString)
		return NULL;
	return (Jsonb *) cstring_to_text_with_len(v.val.string.val, v.val.string.len);
}

static void
put_message(Rows *rows, const AskedQueue *queue, const MessageRow *row, const EventRow *event,
			const Slot *claim)
{
	Datum		values[19];
	bool		nulls[19] = {false};
	TimestampTz due = event ? event->deliver_at : row->deliver_at;
	bool		terminal = event && log_event_is_terminal(event->action);
	int			failures = claim ? claim->failures : event ? event->failures : 0;
	int			crashes = claim ? claim->crashes : event ? event->crashes : 0;

	values[0] = Int64GetDatum(row->id);
	put_text(values, nulls, 1, queue->name);
	put_text(values, nulls, 2, status_of(queue, row, event, claim != NULL, baton_now()));
	put_pointer(values, nulls, 3, row->payload);
	put_pointer(values, nulls, 4, row->headers);
	values[5] = Int32GetDatum(row->priority);
	put_pointer(values, nulls, 6, row->key);
	values[7] = Int32GetDatum(claim ? failures + crashes + 1 : event ? event->attempt : 0);
	values[8] = Int32GetDatum(failures);
	values[9] = Int32GetDatum(crashes);
	put_time(values, nulls, 10, row->sent_at);
	put_time(values, nulls, 11, due);
	put_time(values, nulls, 12, row->expires_at);
	put_time(values, nulls, 13, claim ? claim->claimed_at : event ? event->claimed_at : 0);
	put_time(values, nulls, 14, terminal ? event->at : 0);
	values[15] = Int32GetDatum(claim ? claim->process_id : event ? event->process_id : 0);
	nulls[15] = DatumGetInt32(values[15]) == 0;
	put_pointer(values, nulls, 16,
				event && event->action == EVENT_COMPLETED ? event->detail : NULL);
	put_pointer(values, nulls, 17,
				event && event->action != EVENT_COMPLETED ? error_field(event->detail) : NULL);
	values[18] = Int64GetDatum(row->origin);
	nulls[18] = row->origin == 0;
	rows_put(rows, values, nulls);
}

/* From its table where there is no memory to ask. */
static AskedQueue
find_queue(const char *name, uint32 database)
{
	QueueDefinition definition;

	if (database != NONE)
	{
		QueueRef	ref = resolve_queue(name);

		return (AskedQueue) {name, ref.id, queues[ref.queue].policy.purged_id};
	}
	(void) log_schema(false);
	if (!log_definition_get(name, false, &definition))
		raise_no_queue(name);
	return (AskedQueue) {name, definition.id, definition.policy.purged_id};
}

/* Looks for a message in one pair of tables; puts its row. */
static bool
get_from(const LogSegment *segment, uint32 database, const AskedQueue *queue, int64 id, Rows *rows)
{
	Relation	messages = log_table_open(segment->messages, AccessShareLock);
	MessageRow	row;
	ItemPointerData tid;
	bool		found;

	if (messages == NULL)
		return false;
	found = log_find_message(messages, queue->id, id, GetActiveSnapshot(), &row, &tid) == FETCH_OK;
	if (found)
	{
		Relation	events = table_open(segment->events, AccessShareLock);
		EventRow	event;
		Slot		claim;
		bool		has_event =
			log_latest_event(events, row.id, GetActiveSnapshot(), true, &event);
		bool		claimed = database != NONE && claim_of(database, row.id, &claim);

		found = !has_event || event.action != EVENT_MOVED;
		if (found)
			put_message(rows, queue, &row, has_event ? &event : NULL, claimed ? &claim : NULL);
		table_close(events, AccessShareLock);
	}
	table_close(messages, AccessShareLock);
	return found;
}

/* Mostly one. */
static LogSegment *
segments_that_may_have(uint32 database, int64 id, int *count)
{
	uint32	   *all = palloc(sizeof(uint32) * MAX_SEGMENTS);
	LogSegment *list;
	uint32		n;

	if (pg_atomic_read_u32(&shared->databases[database].open_segment) == NONE)
		adopt_segments(database);
	n = segment_list(database, all, MAX_SEGMENTS);
	list = palloc(sizeof(LogSegment) * Max(n, 1));
	*count = 0;
	for (uint32 i = 0; i < n; i++)
		if (segments[all[i]].state != SEGMENT_FREE && segments[all[i]].first_id <= id &&
			segments[all[i]].last_id >= id)
			list[(*count)++] = log_segment_of(all[i]);
	pfree(all);
	return list;
}

Datum
baton_get(PG_FUNCTION_ARGS)
{
	char	   *name = queue_name_arg(PG_ARGISNULL(0),
									  PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0));
	Rows		rows;
	uint32		database = baton_database_if_any();
	AskedQueue	queue = find_queue(name, database);
	int			n;
	LogSegment *list = NULL;
	bool		found = false;

	rows_begin(fcinfo, NULL, &rows);
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("id must not be null")));
	list = database == NONE ? log_segment_list(&n)
							: segments_that_may_have(database, PG_GETARG_INT64(1), &n);
	while (n-- > 0 && !found)
		found = get_from(&list[n], database, &queue, PG_GETARG_INT64(1), &rows);
	return (Datum) 0;
}

/* Views on memory */

Datum
baton__claims(PG_FUNCTION_ARGS)
{
	uint32		database = baton_database_if_any();
	Rows		rows;

	rows_begin(fcinfo, NULL, &rows);
	if (database == NONE)
		return (Datum) 0;
	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		Slot		s;
		Datum		values[8];
		bool		nulls[8] = {false};
		char	   *role;

		/* read without a lock; what changes meanwhile is shown as it was or as it is */
		if (slots[i].database != database ||
			(slots[i].state != SLOT_CLAIMED && slots[i].state != SLOT_SETTLING))
			continue;
		s = slots[i];
		if (queues[s.queue].state != QUEUE_LIVE)
			continue;
		role = GetUserNameFromId(s.role, true);
		values[0] = Int64GetDatum(s.id);
		values[1] = Int32GetDatum(queues[s.queue].id);
		values[2] = Int32GetDatum(s.failures + s.crashes + 1);
		values[3] = Int32GetDatum(s.process_id);
		nulls[4] = role == NULL;
		if (role != NULL)
			values[4] = DirectFunctionCall1(namein, CStringGetDatum(role));
		values[5] = BoolGetDatum((s.flags & SLOT_DETACHED) != 0);
		values[6] = TimestampTzGetDatum(s.claimed_at);
		put_time(values, nulls, 7, s.due);
		rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

/* When the oldest of those that could be handed out was sent; 0: there is none. */
static TimestampTz
oldest_ready(const Queue *queue)
{
	TimestampTz oldest = 0;

	for (int i = 0; i < BATON_PRIORITIES; i++)
	{
		uint32		slot = lane_first(&queue->lanes[i]);

		if (slot != NONE && (oldest == 0 || slots[slot].sent_at < oldest))
			oldest = slots[slot].sent_at;
	}
	return oldest;
}

static int64
depth_of(const Queue *queue)
{
	if (queue->counted)
		return Max(queue->unfinished, 0);
	return queue->recounting ? Max(queue->carried + queue->unfinished, 0) : line_count(queue);
}

static void
put_queue(Rows *rows, uint32 i)
{
	const Queue *queue = &queues[i];
	Datum		values[15];
	bool		nulls[15] = {false};
	bool		all_here = !line_spilled(queue);

	values[0] = Int32GetDatum(queue->id);
	values[1] = Int64GetDatum(queue->count[SLOT_READY]);
	values[2] = Int64GetDatum(queue->count[SLOT_DELAYED]);
	values[3] = Int64GetDatum(queue->count[SLOT_CLAIMED] + queue->count[SLOT_SETTLING]);
	values[4] = Int64GetDatum(queue->count[SLOT_BLOCKED]);
	values[5] = BoolGetDatum(!all_here);
	put_time(values, nulls, 6, oldest_ready(queue));
	values[7] = Int64GetDatum(queue->counters.sent);
	values[8] = Int64GetDatum(queue->counters.delivered);
	values[9] = Int64GetDatum(queue->counters.completed);
	values[10] = Int64GetDatum(queue->counters.failed);
	values[11] = Int64GetDatum(queue->counters.vanished + queue->counters.lease_expired);
	values[12] = Int64GetDatum(queue->counters.dead);
	values[13] = Int64GetDatum(depth_of(queue));
	nulls[13] = !all_here && !queue->counted && !queue->recounting;
	values[14] = BoolGetDatum(!nulls[13] && !queue->doubtful && !queue->recounting);
	/* the counts are read under one lock, the row is made after it */
	LWLockRelease(queue_lock(i));
	rows_put(rows, values, nulls);
	LWLockAcquire(queue_lock(i), LW_SHARED);
}

Datum
baton__queues(PG_FUNCTION_ARGS)
{
	uint32		database = baton_database_if_any();
	Rows		rows;

	rows_begin(fcinfo, NULL, &rows);
	if (database == NONE)
		return (Datum) 0;
	for (uint32 i = 0; i < shared->queues; i++)
	{
		LWLockAcquire(queue_lock(i), LW_SHARED);
		if (queues[i].state == QUEUE_LIVE && queues[i].database == database)
			put_queue(&rows, i);
		LWLockRelease(queue_lock(i));
	}
	return (Datum) 0;
}

static void
put_health(Rows *rows, const char *item, const char *value, bool ok, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	put_text(values, nulls, 0, item);
	put_text(values, nulls, 1, value);
	values[2] = BoolGetDatum(ok);
	put_text(values, nulls, 3, ok ? NULL : hint);
	rows_put(rows, values, nulls);
}

static uint64
count_strange(uint32 database)
{
	uint64		strange = 0;

	for (uint32 i = 0; i < shared->queues; i++)
		if (queues[i].state == QUEUE_LIVE && queues[i].database == database)
			strange += queues[i].counters.strange;
	return strange;
}

Datum
baton__health(PG_FUNCTION_ARGS)
{
	uint32		database = baton_database_if_any();
	const Database *d;
	Rows		rows;
	uint64		strange;

	rows_begin(fcinfo, NULL, &rows);
	put_health(&rows, "preloaded", memory_ready() ? "yes" : "no", memory_ready(),
			   "Add baton to shared_preload_libraries and restart the server.");
	if (database == NONE)
		return (Datum) 0;
	d = &shared->databases[database];
	put_health(&rows, "launcher",
			   pg_atomic_read_u32(&shared->launcher_session) != NONE ? "yes" : "none",
			   pg_atomic_read_u32(&shared->launcher_session) != NONE,
			   "Raise max_worker_processes and restart the server: nothing is read from the log.");
	put_health(&rows, "keeper", d->keeper_pid ? psprintf("%d", d->keeper_pid) : "none",
			   d->keeper_pid != 0, "Raise max_worker_processes; see the server's log.");
	put_health(&rows, "window",
			   psprintf("%u of %u slots free", slots_free(), shared->window),
			   slots_free() > shared->window / 16,
			   "More messages wait than fit in memory; they are read from the log as they are "
			   "needed.  baton.window_size makes room for more.");
	put_health(&rows, "events not recorded", psprintf(UINT64_FORMAT, d->outcomes_dropped),
			   d->outcomes_dropped == 0,
			   "So many claims ended at once that some have no row in queue_log.");
	strange = count_strange(database);
	put_health(&rows, "bound claims settled by other sessions", psprintf(UINT64_FORMAT, strange),
			   strange == 0,
			   "It looks as if a pooler in transaction mode is in between: a claim ends with the "
			   "server's session.  Receive with detached => true.");
	put_health(&rows, "quarantine", shared->quarantine ? "on" : "off", !shared->quarantine,
			   "The server crashed twice within ten minutes: messages that were in flight are "
			   "handed out one at a time.");
	return (Datum) 0;
}

Datum
baton_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(BATON_VERSION));
}

/* Commands */

Datum
baton__installed(PG_FUNCTION_ARGS)
{
	const LogSchema *schema = log_schema(true);

	if (memory_ready() && schema != NULL)	/* an older version has nothing to serve yet */
		xact_announce_extension(schema->extension);
	PG_RETURN_VOID();
}

Datum
baton_check_hung_messages(PG_FUNCTION_ARGS)
{
	uint32		database = baton_database();
	int64		freed = end_hung_claims(database);
	TupleDesc	desc;
	Datum		value = Int64GetDatum(freed);
	bool		null = false;

	keeper_wake(database);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &value, &null));
}
