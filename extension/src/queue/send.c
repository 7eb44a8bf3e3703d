/*
 * queue/send.c
 *	  Appending messages, and publishing them when their transaction has committed.
 *
 * A message is only published by its own commit if that can't overtake what is still in the
 * log: see Lane in memory/memory.h.  Otherwise the loader brings it in.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "log/fetch.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/slotlock.h"
#include "memory/slots.h"
#include "queue/ending.h"
#include "queue/load.h"
#include "queue/segments.h"
#include "queue/send.h"

#define APPEND_RUN 1000

static void
check_size(const MessageRow *row)
{
	Size		size = VARSIZE_ANY(row->payload);

	if (row->headers != NULL)
		size += VARSIZE_ANY(row->headers);
	if (size > (Size) baton_max_message_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("message is too large"),
				 errdetail("Payload and headers have %zu bytes; at most %zu are allowed.", size,
						   (Size) baton_max_message_size * 1024),
				 errhint("Store large data elsewhere and send a reference to it, or raise "
						 "baton.max_message_size.")));
}

static void
remember(const QueueRef *ref, const MessageRow *row, const ItemPointerData *tid,
		 uint32 segment)
{
	PendingSend send = {
		.id = row->id,
		.sent_at = row->sent_at,
		.deliver_at = row->deliver_at,
		.expires_at = row->expires_at,
		.key_hash = row->key ? log_key_hash(row->queue_id, row->key) : 0,
		.queue = ref->queue,
		.queue_generation = ref->generation,
		.tid = *tid,
		.segment = segment,
		.priority = row->priority,
	};

	xact_add_send(&send);
}

void
queue_send(const char *name, MessageRow *rows, int n)
{
	QueueRef	ref = resolve_queue(name);
	uint32		database = baton_database();
	ItemPointerData tids[APPEND_RUN];
	uint32		segment;
	Relation	rel;
	int64		id;

	PreventCommandIfReadOnly("baton.send()");
	for (int i = 0; i < n; i++)
		check_size(&rows[i]);
	xact_session();
	xact_reserve_sends(n);
	sending_begin(database);

	rel = open_message_log(database, &segment);
	for (int done = 0; done < n; done += APPEND_RUN)
	{
		int			run = Min(n - done, APPEND_RUN);

		CHECK_FOR_INTERRUPTS();
		id = next_ids(database, run);
		for (int i = done; i < done + run; i++)
		{
			rows[i].id = id++;
			rows[i].queue_id = ref.id;
		}
		log_append_messages(rel, rows + done, run, tids);
		for (int i = 0; i < run; i++)
			remember(&ref, &rows[done + i], &tids[i], segment);
	}
	table_close(rel, NoLock);
}

void
sends_check(const PendingSend *sends, uint32 n)
{
	uint32		checked = NONE;

	for (uint32 i = 0; i < n; i++)
	{
		if (sends[i].queue == checked)
			continue;
		checked = sends[i].queue;
		if (sends[i].id <= queues[checked].policy.purged_id)
			ereport(ERROR,
					(errcode(BATON_ERR_PURGED),
					 errmsg("queue \"%s\" was purged after this transaction had sent to it",
							queues[checked].name),
					 errhint("Run the transaction again.")));
		if (queues[checked].generation != sends[i].queue_generation)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("a queue was dropped that this transaction has sent to")));
	}
	BATON_POINT("send-checked");
}

/* Publishing */

static void
fill_slot(uint32 slot, const PendingSend *send)
{
	Slot	   *s = &slots[slot];

	s->id = send->id;
	s->sent_at = send->sent_at;
	s->expires_at = send->expires_at;
	s->due = 0;
	s->ready_at = Max(send->sent_at, send->deliver_at);
	s->claimed_at = 0;
	s->lease = 0;
	s->key_hash = send->key_hash;
	s->database = queues[send->queue].database;
	s->queue = send->queue;
	s->session = NONE;
	s->session_generation = 0;
	s->settler = NONE;
	s->process_id = 0;
	s->role = InvalidOid;
	s->tid = send->tid;
	s->segment = send->segment;
	s->failures = s->crashes = s->returns = 0;
	s->suspicion = 0;
	s->flags = 0;
	s->priority = send->priority;
}

/*
 * Whether the loader's snapshots may have seen this transaction, between its becoming visible and this callback.  Then
 * its messages may have been loaded, handed out and finished, and only the loader can tell: it reads them
 * again.  A snapshot that sees a transaction has a higher xmax than its xid.
 */
static bool
maybe_loaded(const Queue *queue, int64 id, TransactionId xid)
{
	return id <= queue->seen_id && TransactionIdIsValid(queue->seen_xmax) &&
		   TransactionIdPrecedes(xid, queue->seen_xmax);
}

/*
 * One message, under its queue's lock.  spare: slots that were got for the run.  Returns whether
 * it can be handed out now.
 */
static bool
publish_one(const PendingSend *send, TransactionId xid, TimestampTz now, uint32 *spare,
			uint32 *nspare, Wakes *wakes)
{
	Queue	   *queue = &queues[send->queue];
	Lane	   *lane = &queue->lanes[send->priority];
	bool		later = send->deliver_at > now;
	uint32		slot;

	queue->counters.sent++;
	if (send->id <= queue->policy.purged_id)
	{
		pg_atomic_fetch_add_u64(&segments[send->segment].finished, 1);
		return false;
	}
	if (!sent_before(queue, send->id))
		queue->unfinished++;
	if (send->id > queue->watch_id)
		queue->unfinished_above++;
	expiry_note(queue, send->expires_at);
	if (later && send->deliver_at > Min(queue->due_cursor, park_after(queue, now)))
	{
		due_leave(queue, send->id, send->deliver_at);
		return false;
	}
	if (!later && send->id > lane->cursor)
		return false;
	/* what is of lower priority can wait in the log: this one is the next to be received */
	if (*nspare == 0 && !later && send->priority > 0)
		*nspare = line_evict(queue, 1, send->priority - 1, -1, spare);
	if (*nspare == 0 || maybe_loaded(queue, send->id, xid))
	{
		if (later)
			due_leave(queue, send->id, send->deliver_at);
		else if (*nspare == 0)
			lane_leave(queue, send->priority, send->id);
		else
			lane_leave_gap(queue, send->priority, send->id);
		return false;
	}
	slot = spare[*nspare - 1];
	fill_slot(slot, send);
	if (!slot_hash_insert(slot))
		return false;			/* the loader was faster */
	(*nspare)--;
	if (later)
	{
		line_delay(slot, send->deliver_at, wakes);
		return false;
	}
	line_ready(slot);
	return send->id <= lane_limit(lane);
}

/* How many of them need a slot, as far as can be told without the lock: not those that a spilled
 * lane leaves to the loader. */
static uint32
count_slots_needed(const PendingSend *sends, uint32 n)
{
	uint32		needed = 0;

	for (uint32 i = 0; i < n; i++)
		needed += sends[i].deliver_at != 0 ||
				  sends[i].id <= queues[sends[i].queue].lanes[sends[i].priority].cursor;
	return needed;
}

/* Up to SLOT_RUN messages of one queue. */
static void
publish_run(const PendingSend *sends, uint32 n)
{
	uint32		queue = sends->queue;
	uint32		spare[SLOT_RUN];
	uint32		nspare = line_obtain(queue, count_slots_needed(sends, n), spare);
	uint32		available = 0;
	TimestampTz now = baton_now();
	TransactionId xid = GetTopTransactionIdIfAny();
	Wakes		wakes = {0};
	bool		load;

	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	if (queues[queue].generation == sends->queue_generation &&
		queues[queue].state == QUEUE_LIVE)
		for (uint32 i = 0; i < n; i++)
		{
			available += publish_one(&sends[i], xid, now, spare, &nspare, &wakes);
			pg_atomic_fetch_add_u64(&segments[sends[i].segment].sent, 1);
		}
	load = available < n && (load_needed(&queues[queue]) ||
							 queues[queue].due_loaded < now + PARK_HORIZON / 2);
	waiters_wake(queue, available, &wakes);
	LWLockRelease(queue_lock(queue));

	wakes_send(&wakes);
	while (nspare > 0)
		slot_give_back(spare[--nspare]);
	if (load)
		keeper_wake(queues[queue].database);
}

void
sends_publish(const PendingSend *sends, uint32 n)
{
	uint32		run;

	for (uint32 i = 0; i < n; i += run)
	{
		for (run = 1; i + run < n && run < SLOT_RUN && sends[i + run].queue == sends[i].queue;
			 run++)
			;
		publish_run(&sends[i], run);
	}
}
