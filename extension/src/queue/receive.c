/*
 * queue/receive.c
 *	  Claiming messages and reading them.
 *
 * Claiming is a change of memory only.  It is undone with its transaction, and the lease
 * counts from the end of that.  What the caller's snapshot doesn't see yet stays in its
 * place, so a handler never gets a message whose sender's other rows it can't see.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "log/fetch.h"
#include "log/segment.h"
#include "memory/directory.h"
#include "memory/inflight.h"
#include "memory/line.h"
#include "memory/slotlock.h"
#include "queue/ending.h"
#include "queue/load.h"
#include "queue/receive.h"
#include "queue/resolve.h"

/* How many messages one claim passes over at most (keys that are busy, suspects, what
 * the snapshot doesn't see) before it comes back with what it has. */
#define PASS_OVER_MAX 1000

/* In quarantine, when a suspect is looked at again. */
#define SUSPECT_RETRY INT64CONST(100000)

typedef struct Claim
{
	uint32		slot;
	uint32		generation;
	int64		id;
	ItemPointerData tid;
	uint16		segment;
	int32		attempt;
} Claim;

void
claim_receipt(uint32 slot, uint32 generation, int64 id, char *out)
{
	Receipt		receipt = {.slot = slot, .generation = generation, .id = id};

	receipt_encode(&receipt, shared->epoch, out);
	out[RECEIPT_LENGTH] = '\0';
}

typedef enum HandOut
{
	HAND_OUT,
	PLACED,						/* not now; it is where it belongs */
	ASIDE						/* not now, and there is no room for it where it belongs */
} HandOut;

/*
 * A message that was popped: may it be handed out?
 *
 * Those that wait for a key can't be evicted, so they may not take the window from other
 * queues: beyond a share of it they stay in their lane, and hold up what comes after them in it.
 */
static HandOut
may_hand_out(uint32 slot, TimestampTz now, Wakes *wakes)
{
	Slot	   *s = &slots[slot];
	Queue	   *queue = &queues[s->queue];

	if (is_over(s, now))
	{
		free_over(slot);
		return PLACED;
	}
	if (!key_acquire(slot, queue->policy.key_in_flight))
	{
		if (queue->count[SLOT_BLOCKED] >= shared->window / 8)
			return ASIDE;
		line_block(slot);
		return PLACED;
	}
	if (!suspect_begin(slot))
	{
		line_delay(slot, now + SUSPECT_RETRY, wakes);
		return PLACED;
	}
	return HAND_OUT;
}

static void
hand_out(uint32 slot, const ReceiveOptions *options, int64 lease, TimestampTz now,
		 Claim *claim, Wakes *wakes)
{
	Slot	   *s = &slots[slot];

	s->generation++;
	s->lease = lease;
	s->claimed_at = now;
	s->session = session_begin();
	s->session_generation = session_generation(s->session);
	s->process_id = MyProcPid;
	s->role = GetUserId();
	s->flags &= ~(SLOT_DETACHED | SLOT_DELIVERED);
	if (options->detached)
		s->flags |= SLOT_DETACHED;
	line_claim(slot, 0, wakes);
	inflight_set(slot);

	claim->slot = slot;
	claim->generation = s->generation;
	claim->id = s->id;
	claim->tid = s->tid;
	claim->segment = s->segment;
	claim->attempt = s->failures + s->crashes + 1;
}

/* Claims up to n messages; under the queue's lock. */
static int
claim_locked(uint32 q, const ReceiveOptions *options, int n, TimestampTz now, Claim *out,
			 Wakes *wakes)
{
	Queue	   *queue = &queues[q];
	int64		lease = options->lease ? options->lease : queue->policy.lease;
	uint32		aside[PASS_OVER_MAX];
	int			naside = 0;
	int			passed = 0;
	int			found = 0;
	uint32		slot;

	while (found < n && passed < PASS_OVER_MAX && (slot = line_pop(queue)) != NONE)
	{
		switch (may_hand_out(slot, now, wakes))
		{
			case HAND_OUT:
				hand_out(slot, options, lease, now, &out[found++], wakes);
				break;
			case ASIDE:
				aside[naside++] = slot;
				/* FALLTHROUGH */
			case PLACED:
				passed++;
				break;
		}
	}
	for (int i = 0; i < naside; i++)
		line_ready(aside[i]);
	queue->stalled = found == 0 && naside > 0;
	return found;
}

/* Claims up to n messages in memory. */
static int
claim_run(const QueueRef *ref, const ReceiveOptions *options, int n, Claim *out)
{
	Queue	   *queue = &queues[ref->queue];
	TimestampTz now = baton_now();
	Wakes		wakes = {0};
	int			found = 0;
	bool		low;

	LWLockAcquire(queue_lock(ref->queue), LW_EXCLUSIVE);
	pg_atomic_write_u64(&queue->received_at, (uint64) now);
	if (queue_current(ref) && queue->state == QUEUE_LIVE && !queue->policy.paused)
	{
		advance_timers(ref->queue, now, SLOT_RUN, &wakes);
		found = claim_locked(ref->queue, options, n, now, out, &wakes);
		if (found == 0 && line_lose_patience(queue, now))
			found = claim_locked(ref->queue, options, n, now, out, &wakes);
		if (queue->waiting > 0 && line_has_ready(queue))
			waiters_wake(ref->queue, 1, &wakes);
	}
	low = load_needed(queue);
	LWLockRelease(queue_lock(ref->queue));
	wakes_send(&wakes);
	if (low)
		keeper_wake(queue->database);
	return found;
}

/* Puts back what the snapshot doesn't see: as if it had never been claimed. */
static void
unclaim(const Claim *claim)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	const Slot *s = &slots[claim->slot];

	if (slot_lock(&lock, claim->slot) && s->state == SLOT_CLAIMED && s->generation == claim->generation)
		claim_give_back(claim->slot, &lock.wakes);
	slot_unlock(&lock);
}

/*
 * Forgets a claimed message whose row is not in the log: somebody removed it by hand.  If that may be this
 * transaction, it may be undone: then the loader looks for the row once more.
 */
static void
forget(const Claim *claim)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	const Slot *s = &slots[claim->slot];
	bool		mine = TransactionIdIsValid(GetTopTransactionIdIfAny());

	if (slot_lock(&lock, claim->slot) && s->state == SLOT_CLAIMED && s->generation == claim->generation)
		claim_forget(claim->slot, mine, &lock.wakes);
	slot_unlock(&lock);
}

/* The relation of a segment, kept open for a run of messages of the same one. */
typedef struct OpenSegment
{
	uint32		segment;
	Relation	rel;
} OpenSegment;

/* The lock is kept, as a settle keeps its one: releasing it here costs more than the transaction's end does. */
static void
close_segment(OpenSegment *open)
{
	if (open->rel == NULL)
		return;
	table_close(open->rel, NoLock);
	open->rel = NULL;
}

/* NULL: it, or its table of events, was dropped by hand. */
static Relation
open_segment(OpenSegment *open, uint32 segment)
{
	if (open->rel != NULL && open->segment == segment)
		return open->rel;
	close_segment(open);
	if (!segments[segment].used)
		return NULL;
	open->rel = log_table_open(segments[segment].messages, AccessShareLock);
	open->segment = segment;
	return open->rel;
}

/* Reads a claimed message, where it is or where it was moved to by a rewrite of its table. */
static FetchVerdict
read_message(const Claim *claim, const QueueRef *ref, OpenSegment *open, Snapshot snapshot,
			 Delivery *out)
{
	Relation	rel = open_segment(open, claim->segment);
	ItemPointerData tid;
	FetchVerdict verdict;

	if (rel == NULL)
		return FETCH_ELSEWHERE;
	verdict = log_fetch_message(rel, &claim->tid, claim->id, snapshot, &out->row);
	if (verdict == FETCH_ELSEWHERE)
	{
		verdict = log_find_message(rel, ref->id, claim->id, snapshot, &out->row, &tid);
		if (verdict == FETCH_OK)
			slots[claim->slot].tid = tid;
	}
	if (verdict == FETCH_OK)
	{
		out->attempt = claim->attempt;
		claim_receipt(claim->slot, claim->generation, claim->id, out->receipt);
	}
	return verdict;
}

static void
check_options(const ReceiveOptions *options)
{
	if (options->max < 1 || options->max > RECEIVE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max must be between 1 and %d", RECEIVE_MAX)));
	if (options->lease < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("lease must be longer than zero")));
}

/* What became of a receive; unseen: claimed messages that the snapshot doesn't see, made when the
 * first one turns up; gone: how many aren't in the log any more, and the first one's id. */
typedef struct Reception
{
	int			found;
	Claim	   *unseen;
	int			nunseen;
	int			ngone;
	int64		first_gone;
} Reception;

static void
take_delivery(Reception *r, const Claim *claim, FetchVerdict verdict)
{
	switch (verdict)
	{
		case FETCH_OK:
			r->found++;
			break;
		case FETCH_NOT_YET:
			if (r->unseen == NULL)
				r->unseen = palloc(PASS_OVER_MAX * sizeof(Claim));
			r->unseen[r->nunseen++] = *claim;
			break;
		case FETCH_ELSEWHERE:
			if (r->ngone++ == 0)
				r->first_gone = claim->id;
			forget(claim);
			break;
	}
}

/* Claims and reads up to options->max; what can't be seen yet is still claimed afterwards. */
static void
receive_visible(const QueueRef *ref, const ReceiveOptions *options, Claim *claims,
				Delivery *out, Reception *r)
{
	OpenSegment open = {NONE, NULL};
	Snapshot	snapshot = GetActiveSnapshot();

	while (r->found < options->max && r->nunseen < PASS_OVER_MAX)
	{
		int			want = Min(options->max - r->found, PASS_OVER_MAX - r->nunseen);
		int			n;

		xact_reserve_claims(want);
		n = claim_run(ref, options, want, claims);
		for (int i = 0; i < n; i++)
			xact_add_claim(claims[i].slot, claims[i].generation, options->detached);
		BATON_POINT("receive-claimed");
		for (int i = 0; i < n; i++)
			take_delivery(r, &claims[i],
						  read_message(&claims[i], ref, &open, snapshot, &out[r->found]));
		if (n < want)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	close_segment(&open);
}

static void
say_gone(const char *queue, const Reception *r)
{
	ereport(LOG,
			(errmsg_plural("%d message of queue \"%s\" is not in the log any more",
						   "%d messages of queue \"%s\" are not in the log any more", r->ngone,
						   r->ngone, queue),
			 errdetail("Its row, or its table, was removed by hand; the first is message " INT64_FORMAT ".",
					   r->first_gone)));
}

Delivery *
queue_receive(const char *name, const ReceiveOptions *options, int *n)
{
	QueueRef	ref;
	Delivery   *out;
	Claim	   *claims;
	Reception	reception = {0};

	check_options(options);
	ref = resolve_queue(name);
	PreventCommandIfReadOnly("baton.receive()");
	xact_session();
	out = palloc(options->max * sizeof(Delivery));
	claims = palloc(options->max * sizeof(Claim));
	receive_visible(&ref, options, claims, out, &reception);
	for (int i = reception.nunseen; i-- > 0;)
		unclaim(&reception.unseen[i]);
	if (reception.ngone > 0)
		say_gone(name, &reception);
	pfree(claims);
	*n = reception.found;
	return out;
}

void
claims_start_leases(const LocalClaim *claims, uint32 n, TimestampTz now, SlotLock *lock)
{
	for (uint32 i = 0; i < n; i++)
	{
		Slot	   *s = &slots[claims[i].slot];

		if (!slot_lock(lock, claims[i].slot) || s->generation != claims[i].generation || s->due != 0)
			continue;
		if (s->state == SLOT_CLAIMED || s->state == SLOT_SETTLING)
			claim_delivered(claims[i].slot);
		if (s->state == SLOT_CLAIMED)
			line_claim(claims[i].slot, now + s->lease, &lock->wakes);
		else if (s->state == SLOT_SETTLING)
			s->due = now + s->lease;	/* by another session; counts if that is undone */
	}
}
