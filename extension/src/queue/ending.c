/*
 * queue/ending.c
 *	  What becomes of a claim that ends without being settled.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "compat.h"
#include "core/backoff.h"
#include "log/append.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/outcomes.h"
#include "queue/ending.h"

/* Claims given back by nobody's fault, in a row, for each failure of the budget. */
#define RETURNS_PER_ATTEMPT 10
#define RETURNS_MAX 65000

int64
retry_delay(const Queue *queue, int tries)
{
	return backoff_delay(queue->policy.backoff, queue->policy.backoff_max, tries,
						 BatonRandom64());
}

TimestampTz
park_after(const Queue *queue, TimestampTz now)
{
	uint32		delayed = queue->count[SLOT_DELAYED];

	if (delayed < shared->window / 4)
		return now + PARK_HORIZON;
	return delayed < shared->window / 8 * 3 ? now + PARK_HORIZON_SHORT : now;
}

bool
is_over(const Slot *s, TimestampTz now)
{
	return (s->expires_at != 0 && s->expires_at <= now) ||
		   s->id <= queues[s->queue].policy.purged_id;
}

bool
sent_before(const Queue *queue, int64 id)
{
	int64		own = queue->own_from ? queue->own_from
									  : shared->databases[queue->database].first_own_id;

	return own == 0 || id < own;
}

/*
 * What was purged has been taken off the number already, unless somebody held it; what had expired when it was
 * counted is not in it.  in_log: a snapshot shows that it is finished; what has just expired is in a count that began
 * before, whatever its snapshot.  Returns whether it counts.
 */
static bool
finish(const Slot *s, bool in_log)
{
	Queue	   *queue = &queues[s->queue];
	bool		before = sent_before(queue, s->id);

	pg_atomic_fetch_add_u64(&segments[s->segment].finished, 1);
	if ((s->id <= queue->policy.purged_id && !state_is_held(s->state)) ||
		(before && s->expires_at != 0 && s->expires_at <= queue->counted_at))
		return false;
	queue->unfinished--;
	if (s->id > queue->watch_id)
		queue->unfinished_above--;
	if (before && in_log)
		queue->finished_before++;
	return true;
}

void
count_finished(const Slot *s)
{
	finish(s, true);
}

void
expiry_note(Queue *queue, TimestampTz expires_at)
{
	if (expires_at != 0)
		queue->next_expiry = Min(queue->next_expiry, expires_at);
}

void
free_over(uint32 slot)
{
	Queue	   *queue = &queues[slots[slot].queue];

	/* nothing in the log says that this one has been counted: it may be read, and counted, once more */
	if (finish(&slots[slot], false) && line_spilled(queue))
		queue->doubtful = true;
	/* who gives a key back lets the next one go, and that may be waiting for this one */
	(void) key_acquire(slot, queues[slots[slot].queue].policy.key_in_flight);
	line_free(slot);
}

void
due_leave(Queue *queue, int64 id, TimestampTz due)
{
	queue->parked = true;
	queue->parked_id = Min(queue->parked_id, id);
	queue->parked_again = Min(queue->parked_again, id);
	queue->left_id = Min(queue->left_id, id);
	if (queue->due_cursor != queue->due_loaded)
	{
		if (due <= queue->due_cursor)
			queue->due_redo = Min(queue->due_redo, due);
	}
	else if (due <= queue->due_loaded)
		queue->due_loaded = queue->due_cursor = due - 1;
}

void
slot_return(uint32 slot, TimestampTz due, bool in_log, TimestampTz now, Wakes *wakes)
{
	Slot	   *s = &slots[slot];
	Queue	   *queue = &queues[s->queue];

	if (s->id <= queue->policy.purged_id)
	{
		count_finished(s);
		line_free(slot);
		if (line_has_ready(queue))	/* its key may have let another one go */
			waiters_wake((uint32) (queue - queues), 1, wakes);
	}
	else if (due <= now)
	{
		s->ready_at = now;
		line_ready(slot);
		waiters_wake(s->queue, 1, wakes);
	}
	else if (in_log && !(s->flags & SLOT_HOLDS_KEY) && due > park_after(queue, now))
	{
		due_leave(queue, s->id, due);
		line_free(slot);
	}
	else
		line_delay(slot, due, wakes);
}

static EventAction
action_of(EndReason reason)
{
	switch (reason)
	{
		case END_VANISHED:
			return EVENT_VANISHED;
		case END_LEASE:
			return EVENT_LEASE_EXPIRED;
		case END_FAILED:
			return EVENT_FAILED;
		case END_RETURNED:
			break;
	}
	return EVENT_RELEASED;
}

/* Counts what happened against the budgets; returns when the message may be tried again. */
static TimestampTz
count_ending(Slot *s, Queue *queue, EndReason reason, TimestampTz now)
{
	switch (reason)
	{
		case END_VANISHED:
		case END_LEASE:
			s->crashes++;
			s->returns = 0;
			if (reason == END_LEASE)
				queue->counters.lease_expired++;
			else
				queue->counters.vanished++;
			return now;
		case END_FAILED:
			s->failures++;
			s->returns = 0;
			queue->counters.failed++;
			return now + retry_delay(queue, s->failures);
		case END_RETURNED:
			queue->counters.released++;
			break;
	}
	s->returns = Min(s->returns + 1, RETURNS_MAX);
	return s->returns == 1 ? now : now + retry_delay(queue, s->returns - 1);
}

static bool
used_up(const Slot *s, const Queue *queue)
{
	return s->failures >= queue->policy.max_attempts ||
		   s->crashes >= queue->policy.max_crashes ||
		   s->returns > Min((int64) queue->policy.max_attempts * RETURNS_PER_ATTEMPT,
							RETURNS_MAX - 1);
}

static void
fill_outcome(Outcome *o, uint32 slot, EndReason reason, int sqlstate, const char *text,
			 TimestampTz now)
{
	const Slot *s = &slots[slot];

	o->queue = s->queue;
	o->queue_generation = queues[s->queue].generation;
	o->queue_id = queues[s->queue].id;
	o->slot = slot;
	o->generation = s->generation;
	o->message_id = s->id;
	o->segment = s->segment;
	o->segment_generation = segments[s->segment].generation;
	o->action = action_of(reason);
	o->attempt = s->failures + s->crashes + 1;
	o->at = now;
	o->claimed_at = s->claimed_at;
	o->process_id = s->process_id;
	o->role = s->role;
	o->sqlstate = sqlstate;
	o->text[0] = '\0';
	if (text != NULL)
	{
		int			length = pg_mbcliplen(text, strlen(text), OUTCOME_TEXT - 1);

		memcpy(o->text, text, length);
		o->text[length] = '\0';
	}
}

void
claim_delivered(uint32 slot)
{
	Slot	   *s = &slots[slot];
	QueueCounters *counters = &queues[s->queue].counters;

	if (s->flags & SLOT_DELIVERED)
		return;
	s->flags |= SLOT_DELIVERED;
	counters->delivered++;
	histogram_add(&counters->time_in_queue, s->claimed_at - s->ready_at);
}

void
claim_end(uint32 slot, EndReason reason, int sqlstate, const char *text, TimestampTz now,
		  Wakes *wakes)
{
	Slot	   *s = &slots[slot];
	Queue	   *queue = &queues[s->queue];
	uint32		database = s->database;
	Outcome		outcome;
	TimestampTz due;

	fill_outcome(&outcome, slot, reason, sqlstate, text, now);
	line_take_out(slot);
	inflight_clear(slot);
	suspect_end(slot);
	claim_delivered(slot);
	due = count_ending(s, queue, reason, now);
	outcome.failures = s->failures;
	outcome.crashes = s->crashes;
	outcome.deliver_at = due > now ? due : 0;
	outcome.dead = used_up(s, queue);
	if (queue->state != QUEUE_LIVE)
	{
		line_free(slot);
		return;
	}
	if (outcome_post(database, &outcome))
		s->flags |= SLOT_UNRECORDED;
	if (outcome.dead)
	{
		queue->counters.dead++;
		key_release(slot);
		line_condemn(slot);
		waiters_wake(s->queue, 1, wakes);	/* its key may have let another one go */
	}
	else
		slot_return(slot, due, false, now, wakes);
	waiters_wake_session(shared->databases[database].keeper_session, wakes);
}

void
claim_give_back(uint32 slot, Wakes *wakes)
{
	Slot	   *s = &slots[slot];

	inflight_clear(slot);
	suspect_end(slot);
	line_take_out(slot);
	if (s->failures + s->crashes + s->returns == 0)
		key_release(slot);
	if (s->flags & SLOT_DELIVERED)
		queues[s->queue].counters.released++;
	slot_return(slot, 0, false, 0, wakes);
}

void
claim_forget(uint32 slot, bool look_again, Wakes *wakes)
{
	Slot	   *s = &slots[slot];
	uint32		q = s->queue;
	Queue	   *queue = &queues[q];

	inflight_clear(slot);
	suspect_end(slot);
	line_take_out(slot);
	if (look_again)
	{
		lane_leave_gap(queue, s->priority, s->id);
		waiters_wake_session(shared->databases[queue->database].keeper_session, wakes);
	}
	else
		count_finished(s);
	line_free(slot);
	if (line_has_ready(queue))	/* its key may have let another one go */
		waiters_wake(q, 1, wakes);
}

void
condemned_post(uint32 slot, TimestampTz now)
{
	Outcome		outcome;

	fill_outcome(&outcome, slot, END_VANISHED, 0, NULL, now);
	outcome.attempt = slots[slot].failures + slots[slot].crashes;
	outcome.failures = slots[slot].failures;
	outcome.crashes = slots[slot].crashes;
	outcome.deliver_at = 0;
	outcome.dead = true;
	outcome_post(slots[slot].database, &outcome);
}

bool
advance_timers(uint32 queue, TimestampTz now, uint32 n, Wakes *wakes)
{
	Queue	   *q = &queues[queue];
	uint32		slot;

	while (n-- > 0)
	{
		slot = line_pop_due(q, now);
		if (slot == NONE)
			return false;
		if (slots[slot].state == SLOT_DELAYED)
		{
			line_ready(slot);
			waiters_wake(queue, 1, wakes);
		}
		else
		{
			slots[slot].due = 0;
			claim_end(slot, END_LEASE, 0, NULL, now, wakes);
		}
	}
	return true;
}

void
advance_timers_if_due(uint32 queue, TimestampTz now)
{
	Wakes		wakes = {0};

	if ((int64) pg_atomic_read_u64(&queues[queue].next_due) > now)
		return;
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	advance_timers(queue, now, 256, &wakes);
	LWLockRelease(queue_lock(queue));
	wakes_send(&wakes);
}
