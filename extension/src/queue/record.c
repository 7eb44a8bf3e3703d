/*
 * queue/record.c
 *	  Writing to the log what has happened in memory already, and tidying up.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "log/append.h"
#include "log/schema.h"
#include "log/segment.h"
#include "memory/directory.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/outcomes.h"
#include "memory/slotlock.h"
#include "memory/slots.h"
#include "memory/tail.h"
#include "queue/ending.h"
#include "queue/record.h"
#include "queue/resolve.h"
#include "queue/settle.h"

#define RECORD_BATCH 256

static void
fill_event(EventRow *row, const Outcome *o, EventAction action)
{
	memset(row, 0, sizeof(*row));
	row->message_id = o->message_id;
	row->queue_id = o->queue_id;
	row->at = o->at;
	row->action = action;
	row->attempt = o->attempt;
	row->failures = o->failures;
	row->crashes = o->crashes;
	row->claimed_at = o->claimed_at;
	row->process_id = o->process_id;
	row->role = o->role;
	row->deliver_at = o->deliver_at;
	if (o->text[0] != '\0')
		row->detail = error_detail(o->text, o->sqlstate);
}

/* The rows of one outcome: what happened, and `dead` if that used a budget up.  Returns the id of the first; 0: the
 * message's table is gone. */
static int64
append_outcome(uint32 database, const Outcome *o)
{
	EventRow	rows[2];
	int			n = o->dead ? 2 : 1;
	int64		id = next_ids(database, n);
	Relation	rel = log_table_open(segments[o->segment].events, RowExclusiveLock);

	if (rel == NULL)
		return 0;				/* dropped by hand */
	/* emptied: the message was finished, and its retention is over */
	if (segments[o->segment].generation != o->segment_generation)
	{
		relation_close(rel, RowExclusiveLock);
		return 0;
	}

	fill_event(&rows[0], o, (EventAction) o->action);
	rows[0].id = id;
	if (o->dead)
	{
		fill_event(&rows[1], o, EVENT_DEAD);
		rows[1].id = id + 1;
		rows[1].deliver_at = 0;
	}
	log_append_events(rel, rows, n);
	table_close(rel, NoLock);
	return id;
}

/* It is in the log: a dead message leaves the window, one that is due late may. */
static void
finish_outcome(uint32 database, const Outcome *o)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	const Slot *s = &slots[o->slot];
	bool		in_place = slot_lock(&lock, o->slot) && s->id == o->message_id &&
						   s->queue == o->queue;

	if (o->action == EVENT_VANISHED)
		inflight_logged(database, o->message_id);
	if (in_place)
	{
		if (s->generation == o->generation)
			slots[o->slot].flags &= ~SLOT_UNRECORDED;
		if (o->dead && s->state == SLOT_CONDEMNED)
		{
			inflight_acquit(o->slot);
			count_finished(s);
			line_free(o->slot);
		}
		else if (s->state == SLOT_DELAYED && s->due == o->deliver_at)
		{
			line_take_out(o->slot);
			slot_return(o->slot, o->deliver_at, true, baton_now(), &lock.wakes);
		}
	}
	slot_unlock(&lock);
}

/*
 * Outcomes that the current transaction writes.  They are finished and leave the list in its commit callback, while
 * the lock that keeps a second writer out is still held.
 */
static Outcome batch[RECORD_BATCH];
static int64 batch_event[RECORD_BATCH];	/* id of the first row of each; 0: none was written */
static uint32 batch_count = 0;
static uint32 batch_database;

/* For those who follow the log. */
static void
announce(const Outcome *o, int64 event_id)
{
	TailEntry	entry = {event_id, o->message_id, batch_database, o->queue_id};

	tail_add(&entry);
	entry.event_id++;
	if (o->dead)
		tail_add(&entry);
}

static void
outcomes_callback(XactEvent event, void *arg)
{
	if (batch_count == 0)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		bool		followed = tail_wanted(baton_now());

		for (uint32 i = 0; i < batch_count; i++)
		{
			if (followed && batch_event[i] != 0)
				announce(&batch[i], batch_event[i]);
			finish_outcome(batch_database, &batch[i]);
		}
		outcomes_drop(batch_database, batch_count);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		batch_count = 0;
}

static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(outcomes_callback, NULL);
	registered = true;
}

bool
record_outcomes(uint32 database)
{
	uint32		n;

	if (shared->databases[database].outcomes_head == NONE)
		return false;
	register_callback();
	StartTransactionCommand();
	/* one writer at a time, so that no row is written twice */
	if (!ConditionalLockRelationOid(log_schema(false)->event_parent, ShareUpdateExclusiveLock))
	{
		CommitTransactionCommand();
		return false;
	}
	PushActiveSnapshot(GetTransactionSnapshot());	/* a row may need its TOAST table */
	n = outcomes_peek(database, batch, RECORD_BATCH);
	for (uint32 i = 0; i < n; i++)
		batch_event[i] = queues[batch[i].queue].generation == batch[i].queue_generation
							 ? append_outcome(database, &batch[i])
							 : 0;
	PopActiveSnapshot();
	BATON_POINT("record-before-commit");
	batch_database = database;
	batch_count = n;
	CommitTransactionCommand();
	return n == RECORD_BATCH;
}

void
record_recover(uint32 database)
{
	shared->databases[database].outcomes_lost = false;
	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		SlotLock	lock = SLOT_LOCK_INIT;
		Slot	   *s = &slots[i];

		if (s->state != SLOT_CONDEMNED || s->database != database)
			continue;
		if (slot_lock(&lock, i) && s->state == SLOT_CONDEMNED && s->database == database &&
			!outcome_death_pending(database, s->id))
			condemned_post(i, baton_now());
		slot_unlock(&lock);
	}
}

/* Whether a claim has lost its holder. */
static bool
is_hung(const Slot *s, TimestampTz now)
{
	if (s->state != SLOT_CLAIMED)
		return false;
	if (s->due != 0 && s->due <= now)
		return true;
	return !(s->flags & SLOT_DETACHED) &&
		   session_generation(s->session) != s->session_generation;
}

int64
end_hung_claims(uint32 database)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	TimestampTz now = baton_now();
	int64		ended = 0;

	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		Slot	   *s = &slots[i];

		if (s->database != database || !is_hung(s, now))
			continue;
		if (slot_lock(&lock, i) && s->database == database && is_hung(s, now))
		{
			claim_end(i, s->due != 0 && s->due <= now ? END_LEASE : END_VANISHED, 0, NULL, now,
					  &lock.wakes);
			ended++;
		}
	}
	slot_unlock(&lock);
	for (uint32 q = 0; q < shared->queues; q++)
		if (queues[q].state == QUEUE_LIVE && queues[q].database == database)
			advance_timers_if_due(q, now);
	return ended;
}

static void
sweep_queue(uint32 queue, uint32 generation)
{
	SlotLock	lock = SLOT_LOCK_INIT;

	for (uint32 i = 0, end = slots_end(); i < end; i++)
	{
		Slot	   *s = &slots[i];

		if (s->queue != queue || s->state == SLOT_FREE)
			continue;
		/* a settling one belongs to its transaction, an arriving one to the loader; they free it */
		if (slot_lock(&lock, i) && s->queue == queue &&
			queues[queue].state == QUEUE_DROPPED && queues[queue].generation == generation &&
			s->state != SLOT_SETTLING && s->state != SLOT_ARRIVING &&
			s->state != SLOT_MOVING)
		{
			pg_atomic_fetch_add_u64(&segments[s->segment].finished, 1);
			line_take_out(i);
			inflight_clear(i);
			suspect_end(i);
			line_free(i);
		}
	}
	slot_unlock(&lock);
}

void
sweep_dropped(uint32 database)
{
	for (uint32 q = 0; q < shared->queues; q++)
	{
		uint32		generation = queues[q].generation;

		if (queues[q].state != QUEUE_DROPPED || queues[q].database != database)
			continue;
		if (queues[q].slots > 0)
			sweep_queue(q, generation);
		queue_reclaim(q, generation);
		CHECK_FOR_INTERRUPTS();
	}
}
