/*
 * queue/settle.c
 *	  Ending claims: complete, fail, release; and making them last longer.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "core/receipt.h"
#include "memory/directory.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/slotlock.h"
#include "memory/tail.h"
#include "queue/ending.h"
#include "queue/resolve.h"
#include "queue/segments.h"
#include "queue/settle.h"

typedef enum ClaimVerdict
{
	CLAIM_OK,
	CLAIM_LOST,
	CLAIM_BUSY					/* another transaction is settling it */
} ClaimVerdict;

/* Receipts */

static void
raise_lost(int64 id)
{
	ereport(ERROR,
			(errcode(BATON_ERR_CLAIM_LOST),
			 id ? errmsg("message " INT64_FORMAT " is no longer claimed by this receipt", id)
				: errmsg("the receipt is of no claim that is still held"),
			 errdetail("Its lease ran out, its session ended, it was settled already, or the "
					   "server was restarted."),
			 errhint("Drop the work that was done for it: the message is, or was, with another "
					 "consumer.")));
}

static void
raise_busy(int64 id)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("message " INT64_FORMAT " is just being settled by another "
						   "transaction",
						   id)));
}

/* False: not of this life of the server. */
static bool
decode(const text *receipt, Receipt *out)
{
	switch (receipt_decode(VARDATA_ANY(receipt), VARSIZE_ANY_EXHDR(receipt), shared->epoch,
						   out))
	{
		case RECEIPT_OK:
			return out->slot < shared->window;
		case RECEIPT_FOREIGN:
			return false;
		case RECEIPT_MALFORMED:
			break;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("malformed receipt"),
					errhint("Pass the receipt as receive returned it.")));
}

/* Whether a receipt's claim is there to be settled or extended; under the queue's lock. */
static ClaimVerdict
examine(const Receipt *receipt, uint32 database, TimestampTz now)
{
	const Slot *s = &slots[receipt->slot];

	if (s->generation != receipt->generation || s->id != receipt->id ||
		s->database != database)
		return CLAIM_LOST;
	if (s->state == SLOT_SETTLING)
		return s->settler == session_begin() ? CLAIM_LOST : CLAIM_BUSY;
	if (s->state != SLOT_CLAIMED || (s->due != 0 && s->due <= now) ||
		queues[s->queue].state == QUEUE_DROPPED)
		return CLAIM_LOST;
	return CLAIM_OK;
}

/* Settling */

/* When a message that goes back may be tried again; 0: at once. */
static TimestampTz
due_after(const Slot *s, const SettleRequest *request, int failures, TimestampTz now)
{
	int64		delay = request->delay;

	if (delay < 0)
		delay = retry_delay(&queues[s->queue], failures);
	return delay > 0 ? now + delay : 0;
}

/* Marks the claim as settling and fills in its event; under the queue's lock. */
static void
begin_settle(uint32 slot, const SettleRequest *request, Jsonb *detail, TimestampTz now,
			 EventRow *event)
{
	Slot	   *s = &slots[slot];

	event->message_id = s->id;
	event->queue_id = queues[s->queue].id;
	event->at = now;
	event->action = request->action;
	event->attempt = s->failures + s->crashes + 1;
	event->failures = s->failures;
	event->crashes = s->crashes;
	event->claimed_at = s->claimed_at;
	event->process_id = s->process_id;
	event->role = s->role;
	event->deliver_at = 0;
	event->detail = detail;
	if (request->action == EVENT_FAILED)
	{
		event->failures++;
		if (!request->retry || event->failures >= queues[s->queue].policy.max_attempts)
			event->action = EVENT_DEAD;
	}
	if (event->action == EVENT_FAILED || event->action == EVENT_RELEASED)
		event->deliver_at = due_after(s, request, event->failures, now);
	if (!(s->flags & SLOT_DETACHED) && s->session != session_begin())
		queues[s->queue].counters.strange++;
	line_settle(slot, session_begin());
	xact_add_settle(slot, event->action, event->deliver_at);
}

/* Appends the events of settled claims, each to the segment that holds its message. */
static void
append_events(uint32 database, EventRow *events, const uint32 *segment_of, int n)
{
	int			run;
	int64		id = n > 0 ? next_ids(database, n) : 0;

	for (int i = 0; i < n; i += run)
	{
		Relation	rel = open_event_log(segment_of[i]);

		for (run = 0; i + run < n && segment_of[i + run] == segment_of[i]; run++)
			events[i + run].id = id++;
		log_append_events(rel, &events[i], run);
		table_close(rel, NoLock);
	}
	xact_number_settles(n, id - n);
}

/* Positions of receipts that are lost, for a batch's error. */
static void
raise_lost_batch(const bool *settled, int n)
{
	StringInfoData list;
	int			lost = 0;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		if (!settled[i])
			appendStringInfo(&list, "%s%d", lost++ ? ", " : "", i + 1);
	ereport(ERROR,
			(errcode(BATON_ERR_CLAIM_LOST),
			 errmsg_plural("%d of %d receipts is of no claim that is still held",
						   "%d of %d receipts are of no claim that is still held", lost, lost, n),
			 errdetail("Positions: %s.", list.data),
			 errhint("Nothing was settled.  With strict => false the others are settled, and "
					 "the result tells which.")));
}

/* All receipts before anything is settled: a malformed one is an error.  One of another life of the server has slot
 * NONE and id 0. */
static Receipt *
decode_all(const text *const *receipts, int n)
{
	Receipt    *out = palloc(Max(n, 1) * sizeof(Receipt));

	for (int i = 0; i < n; i++)
		if (!decode(receipts[i], &out[i]))
			out[i] = (Receipt) {.slot = NONE};
	return out;
}

void
settle_claims(const text *const *receipts, int n, const SettleRequest *request,
			  bool *settled, TimestampTz *due, bool *dead)
{
	uint32		database = baton_database();
	TimestampTz now = baton_now();
	EventRow   *events = palloc0(Max(n, 1) * sizeof(EventRow));
	uint32	   *segment_of = palloc(Max(n, 1) * sizeof(uint32));
	bool	   *done = palloc0(Max(n, 1) * sizeof(bool));
	int			count = 0;
	int64		busy = 0;
	Receipt    *claim = decode_all(receipts, n);
	SlotLock	lock = SLOT_LOCK_INIT;

	PreventCommandIfReadOnly("settling a message");
	xact_session();
	xact_reserve_settles(n);
	for (int i = 0; i < n; i++)
	{
		uint32		slot = claim[i].slot;
		ClaimVerdict verdict = CLAIM_LOST;

		if (slot != NONE && slot_lock(&lock, slot))
			verdict = examine(&claim[i], database, now);
		if (verdict == CLAIM_BUSY)
			busy = claim[i].id;
		if (verdict != CLAIM_OK)
			continue;
		done[i] = true;
		segment_of[count] = slots[slot].segment;
		begin_settle(slot, request, request->details ? request->details[i] : NULL,
					 now, &events[count]);
		if (due)
			due[i] = events[count].deliver_at;
		if (dead)
			dead[i] = events[count].action == EVENT_DEAD;
		count++;
	}
	slot_unlock(&lock);
	if (request->strict && busy)
		raise_busy(busy);
	if (request->strict && count < n)
	{
		if (n == 1)
			raise_lost(claim[0].id);
		raise_lost_batch(done, n);
	}
	BATON_POINT("settle-marked");
	append_events(database, events, segment_of, count);
	BATON_POINT("settle-appended");
	if (settled)
		memcpy(settled, done, n * sizeof(bool));
	pfree(claim);
	pfree(events);
	pfree(segment_of);
	pfree(done);
}

TimestampTz
claim_extend(const text *receipt_text, int64 lease)
{
	uint32		database = baton_database();
	TimestampTz now = baton_now();
	TimestampTz until = now + lease;
	Receipt		receipt;
	ClaimVerdict verdict;
	SlotLock	lock = SLOT_LOCK_INIT;

	if (lease <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("lease must be longer than zero")));
	PreventCommandIfReadOnly("baton.extend()");
	xact_session();
	if (!decode(receipt_text, &receipt))
		raise_lost(0);
	verdict = slot_lock(&lock, receipt.slot) ? examine(&receipt, database, now) : CLAIM_LOST;
	if (verdict == CLAIM_OK)
	{
		slots[receipt.slot].lease = lease;
		if (slots[receipt.slot].due != 0)
		{
			line_take_out(receipt.slot);
			line_claim(receipt.slot, until, &lock.wakes);
		}
	}
	slot_unlock(&lock);
	if (verdict == CLAIM_BUSY)
		raise_busy(receipt.id);
	if (verdict == CLAIM_LOST)
		raise_lost(receipt.id);
	return until;
}

bool
claim_queue_name(const text *receipt_text, char name[BATON_QUEUE_NAME_MAX + 1])
{
	uint32		database = baton_database();
	Receipt		receipt;
	SlotLock	lock = SLOT_LOCK_INIT;
	bool		held;

	if (!decode(receipt_text, &receipt))
		return false;
	held = slot_lock(&lock, receipt.slot) &&
		   examine(&receipt, database, baton_now()) == CLAIM_OK;
	if (held)
		strlcpy(name, queues[slots[receipt.slot].queue].name, BATON_QUEUE_NAME_MAX + 1);
	slot_unlock(&lock);
	return held;
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, string);
	v.val.string.len = strlen(string);
	pushJsonbValue(state, token, &v);
}

Jsonb *
error_detail(const char *error, int sqlstate)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string(&state, WJB_KEY, "error");
	push_string(&state, WJB_VALUE, error);
	if (sqlstate != 0)
	{
		push_string(&state, WJB_KEY, "sqlstate");
		push_string(&state, WJB_VALUE, unpack_sql_state(sqlstate));
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Callbacks' parts */

static void
end_flight(uint32 slot)
{
	inflight_clear(slot);
	suspect_end(slot);
}

/* A message goes dead by a failure that used its budget up, so that counts too. */
static void
count_terminal(Queue *queue, EventAction action, int64 time_in_work)
{
	if (action == EVENT_COMPLETED)
	{
		queue->counters.completed++;
		histogram_add(&queue->counters.time_in_work, time_in_work);
	}
	else
	{
		queue->counters.failed++;
		queue->counters.dead++;
	}
}

static void
commit_one(const PendingSettle *settle, TimestampTz now, Wakes *wakes)
{
	uint32		slot = settle->slot;
	Slot	   *s = &slots[slot];
	Queue	   *queue = &queues[s->queue];

	end_flight(slot);
	claim_delivered(slot);
	s->returns = 0;
	if (s->suspicion > 0)		/* the event has the crashes, too */
		inflight_logged(s->database, s->id);
	if (log_event_is_terminal(settle->action) || queue->state == QUEUE_DROPPED)
	{
		count_terminal(queue, settle->action, now - s->claimed_at);
		inflight_acquit(slot);
		count_finished(s);
		line_free(slot);
	}
	else if (settle->action == EVENT_FAILED)
	{
		s->failures++;
		queue->counters.failed++;
		slot_return(slot, settle->due, true, now, wakes);
	}
	else
	{
		queue->counters.released++;
		key_release(slot);
		slot_return(slot, settle->due, true, now, wakes);
	}
	if (queue->waiting > 0 && line_has_ready(queue))	/* its key may have let others go */
		waiters_wake((uint32) (queue - queues), 1, wakes);
}

/* For those who follow the log.  A slot that is settling belongs to this transaction, so no lock is needed to read it. */
static void
announce(const PendingSettle *settles, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		const Slot *s = &slots[settles[i].slot];
		TailEntry	entry = {settles[i].event_id, s->id, s->database, queues[s->queue].id};

		tail_add(&entry);
	}
}

void
settles_commit(const PendingSettle *settles, uint32 n, TimestampTz now, SlotLock *lock)
{
	if (tail_wanted(now))
	{
		slot_unlock(lock);		/* latches are set without locks */
		announce(settles, n);
	}
	for (uint32 i = 0; i < n; i++)
	{
		slot_lock(lock, settles[i].slot);
		commit_one(&settles[i], now, &lock->wakes);
	}
}

/*
 * The claim as it was, if its holder is still there; else it ends now.  A claim of the transaction that is
 * being undone (due 0) is looked at by who undoes that.
 */
static void
undo_one(uint32 slot, TimestampTz now, Wakes *wakes)
{
	Slot	   *s = &slots[slot];
	TimestampTz due = s->due;

	if (queues[s->queue].state == QUEUE_DROPPED)
	{
		end_flight(slot);
		line_free(slot);
	}
	else if (due != 0 && due <= now)
		claim_end(slot, END_LEASE, 0, NULL, now, wakes);
	else if (!(s->flags & SLOT_DETACHED) &&
			 session_generation(s->session) != s->session_generation)
		claim_end(slot, END_VANISHED, 0, NULL, now, wakes);
	else if (s->flags & SLOT_ORPHAN)
		claim_end(slot, END_RETURNED, 0, "transaction rolled back", now, wakes);
	else
		line_claim(slot, due, wakes);
}

void
settles_undo(const PendingSettle *settles, uint32 n)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	TimestampTz now = baton_now();

	for (uint32 i = n; i-- > 0;)
	{
		slot_lock(&lock, settles[i].slot);
		undo_one(settles[i].slot, now, &lock.wakes);
	}
	slot_unlock(&lock);
}
