/*
 * queue/xact.c
 *	  What this transaction has done to the queues and nobody else may see yet.
 *
 * The callbacks here, and all they call, must not raise an error: in a commit it would be a
 * PANIC of the whole cluster.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "memory/directory.h"
#include "memory/slotlock.h"
#include "queue/admin.h"
#include "queue/compact.h"
#include "queue/ending.h"
#include "queue/receive.h"
#include "queue/segments.h"
#include "queue/send.h"
#include "queue/settle.h"
#include "queue/wait.h"
#include "queue/xact.h"

/* A growing array of one type, in TopMemoryContext. */
#define LIST(type)                                                                           \
	struct                                                                                   \
	{                                                                                        \
		type	   *item;                                                                    \
		uint32		count;                                                                   \
		uint32		room;                                                                    \
	}

static LIST(PendingSend) sends;
static LIST(LocalClaim) claims;
static LIST(PendingSettle) settles;
static LIST(PendingDdl) ddls;
static LIST(PendingSegment) segment_changes;
static LIST(PendingMove) moves;

static uint32 committed_claims = 0; /* the first so many of claims are of earlier transactions */
static Oid announced_extension = InvalidOid;

/* The last error of this transaction, for the log of what its claims failed of. */
static int	error_state = 0;
static char error_text[OUTCOME_TEXT];
static emit_log_hook_type previous_emit_log_hook = NULL;

/* Room */

#define LARGE_LIST 65536

static void *
reserve(void *item, uint32 count, uint32 *room, uint32 n, Size size)
{
	Size		wanted = (Size) count + n;

	if (wanted <= *room && !(count == 0 && *room > LARGE_LIST && n < LARGE_LIST))
		return item;
	if (count == 0 && item != NULL)
	{
		pfree(item);
		item = NULL;
		*room = 0;
	}
	wanted = Max(wanted + wanted / 2, 64);
	if (item == NULL)
		item = MemoryContextAllocHuge(TopMemoryContext, wanted * size);
	else
		item = repalloc_huge(item, wanted * size);
	*room = wanted;
	return item;
}

#define RESERVE(list, n)                                                                     \
	((list).item = reserve((list).item, (list).count, &(list).room, (n), sizeof(*(list).item)))

void
xact_reserve_sends(uint32 n)
{
	RESERVE(sends, n);
}

void
xact_add_send(const PendingSend *send)
{
	sends.item[sends.count] = *send;
	sends.item[sends.count].subxact = GetCurrentSubTransactionId();
	sends.count++;
}

static bool
claim_is_mine(const LocalClaim *claim)
{
	const Slot *s = &slots[claim->slot];

	return s->generation == claim->generation &&
		   (s->state == SLOT_CLAIMED || s->state == SLOT_SETTLING) &&
		   queues[s->queue].state != QUEUE_DROPPED;
}

/* Forgets claims of earlier transactions that have ended meanwhile. */
static void
forget_ended_claims(void)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < committed_claims; i++)
		if (claim_is_mine(&claims.item[i]))
			claims.item[kept++] = claims.item[i];
	memmove(&claims.item[kept], &claims.item[committed_claims],
			(claims.count - committed_claims) * sizeof(LocalClaim));
	claims.count -= committed_claims - kept;
	committed_claims = kept;
}

void
xact_reserve_claims(uint32 n)
{
	if (claims.count + n > claims.room)
		forget_ended_claims();
	RESERVE(claims, n);
}

void
xact_add_claim(uint32 slot, uint32 generation, bool detached)
{
	LocalClaim *claim = &claims.item[claims.count++];

	claim->slot = slot;
	claim->generation = generation;
	claim->detached = detached;
	claim->subxact = GetCurrentSubTransactionId();
}

void
xact_reserve_settles(uint32 n)
{
	RESERVE(settles, n);
}

void
xact_add_settle(uint32 slot, EventAction action, TimestampTz due)
{
	PendingSettle *settle = &settles.item[settles.count++];

	settle->slot = slot;
	settle->action = action;
	settle->due = due;
	settle->event_id = 0;
	settle->subxact = GetCurrentSubTransactionId();
}

void
xact_number_settles(uint32 n, int64 first_id)
{
	for (uint32 i = 0; i < n; i++)
		settles.item[settles.count - n + i].event_id = first_id + i;
}

void
xact_reserve_ddl(void)
{
	RESERVE(ddls, 1);
}

void
xact_add_ddl(const PendingDdl *ddl)
{
	ddls.item[ddls.count] = *ddl;
	ddls.item[ddls.count].subxact = GetCurrentSubTransactionId();
	ddls.count++;
}

void
xact_reserve_segment(void)
{
	RESERVE(segment_changes, 1);
}

void
xact_add_segment(const SegmentChange *change, bool made)
{
	segment_changes.item[segment_changes.count++] =
		(PendingSegment) {*change, made, GetCurrentSubTransactionId()};
}

void
xact_reserve_moves(uint32 n)
{
	RESERVE(moves, n);
}

PendingMove *
xact_add_move(const PendingMove *move)
{
	PendingMove *added = &moves.item[moves.count++];

	*added = *move;
	added->subxact = GetCurrentSubTransactionId();
	return added;
}

/* Looking */

const PendingDdl *
xact_find_ddl(DdlKind kind, uint32 database, int32 queue_id)
{
	for (uint32 i = ddls.count; i-- > 0;)
	{
		const PendingDdl *ddl = &ddls.item[i];

		if (ddl->kind == kind && ddl->database == database && ddl->id == queue_id)
			return ddl;
	}
	return NULL;
}

const PendingDdl *
xact_find_created(uint32 database, const char *name)
{
	for (uint32 i = ddls.count; i-- > 0;)
	{
		const PendingDdl *ddl = &ddls.item[i];

		if (ddl->kind == DDL_CREATE && ddl->database == database &&
			strcmp(queues[ddl->queue].name, name) == 0 &&
			xact_find_ddl(DDL_DROP, database, ddl->id) == NULL)
			return ddl;
	}
	return NULL;
}

uint32
xact_opened_segment(uint32 database)
{
	for (uint32 i = segment_changes.count; i-- > 0;)
	{
		const SegmentChange *change = &segment_changes.item[i].change;

		if (change->database == database && change->state == SEGMENT_OPEN && !change->survivors &&
			!change->dropped)
			return change->segment;
	}
	return NONE;
}

const LocalClaim *
xact_claims(uint32 *count)
{
	forget_ended_claims();
	*count = claims.count;
	return claims.item;
}

void
xact_announce_extension(Oid extension)
{
	announced_extension = extension;
}

/* Claims that end */

/* Errors that are nobody's fault: the same work may well succeed when tried again. */
static bool
error_is_soft(int sqlstate)
{
	return sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		   sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		   sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_QUERY_CANCELED ||
		   sqlstate == ERRCODE_ADMIN_SHUTDOWN;
}

/* Ends the claims from `first` on. */
static void
end_claims(uint32 first, EndReason reason, int sqlstate, const char *text)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	TimestampTz now = baton_now();

	for (uint32 i = first; i < claims.count; i++)
	{
		uint32		slot = claims.item[i].slot;

		if (!slot_lock(&lock, slot) || slots[slot].generation != claims.item[i].generation)
			continue;
		if (slots[slot].state == SLOT_CLAIMED)
			claim_end(slot, reason, sqlstate, text, now, &lock.wakes);
		else if (slots[slot].state == SLOT_SETTLING && reason == END_VANISHED)
			slots[slot].session_generation = 0; /* of no session that lives */
		else if (slots[slot].state == SLOT_SETTLING)
			slots[slot].flags |= SLOT_ORPHAN;
	}
	slot_unlock(&lock);
	claims.count = first;
	committed_claims = Min(committed_claims, first);
}

static void
end_claims_of_abort(uint32 first)
{
	if (first == claims.count)
		return;
	if (proc_exit_inprogress)
		end_claims(first, END_VANISHED, 0, NULL);
	else if (error_state == 0)
		end_claims(first, END_RETURNED, 0, "transaction rolled back");
	else
		end_claims(first, error_is_soft(error_state) ? END_RETURNED : END_FAILED, error_state,
				   error_text);
}

void
xact_end_claims(void)
{
	end_claims(0, END_VANISHED, 0, NULL);
}

uint32
xact_release_claims(void)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	uint32		given = 0;
	uint32		kept = 0;
	uint32		kept_committed = 0;

	for (uint32 i = 0; i < claims.count; i++)
	{
		LocalClaim	claim = claims.item[i];

		if (!slot_lock(&lock, claim.slot) || !claim_is_mine(&claim))
			continue;
		if (slots[claim.slot].state == SLOT_CLAIMED && !claim.detached)
		{
			claim_give_back(claim.slot, &lock.wakes);
			given++;
			continue;
		}
		/* one that is being settled comes back if that is undone */
		claims.item[kept++] = claim;
		if (i < committed_claims)
			kept_committed++;
	}
	slot_unlock(&lock);
	claims.count = kept;
	committed_claims = kept_committed;
	return given;
}

/* The transaction's claims are now leased; those not bound to the session are none of its business. */
static void
commit_claims(TimestampTz now, SlotLock *lock)
{
	uint32		kept = committed_claims;

	if (committed_claims == claims.count)
		return;
	claims_start_leases(claims.item + committed_claims, claims.count - committed_claims, now,
						lock);
	for (uint32 i = committed_claims; i < claims.count; i++)
		if (!claims.item[i].detached)
			claims.item[kept++] = claims.item[i];
	claims.count = committed_claims = kept;
}

/* Mostly of one queue: its lock is taken once. */
static void
end_and_begin_claims(void)
{
	SlotLock	lock = SLOT_LOCK_INIT;
	TimestampTz now;

	if (settles.count == 0 && claims.count == committed_claims)
		return;
	now = baton_now();
	settles_commit(settles.item, settles.count, now, &lock);
	commit_claims(now, &lock);
	slot_unlock(&lock);
}

/* Callbacks */

static bool
anything_pending(void)
{
	return sends.count > 0 || settles.count > 0 || ddls.count > 0 || segment_changes.count > 0 ||
		   moves.count > 0 || claims.count > committed_claims;
}

static void
forget_transaction(void)
{
	sends.count = settles.count = ddls.count = segment_changes.count = moves.count = 0;
	announced_extension = InvalidOid;
	error_state = 0;
}

static void
on_commit(void)
{
	if (segment_changes.count > 0)
		segments_commit(segment_changes.item, segment_changes.count);
	if (ddls.count > 0)
		ddl_commit(ddls.item, ddls.count);
	if (sends.count > 0)
	{
		BATON_POINT_NOFAIL("commit-before-publish");
		sends_publish(sends.item, sends.count);
	}
	if (moves.count > 0)
		moves_commit(moves.item, moves.count);
	end_and_begin_claims();
	if (OidIsValid(announced_extension))
	{
		database_find(MyDatabaseId, announced_extension, true);
		launcher_wake();
	}
	forget_transaction();
}

static void
on_abort(void)
{
	wait_leave();
	if (settles.count > 0)
		settles_undo(settles.item, settles.count);
	end_claims_of_abort(committed_claims);
	if (moves.count > 0)
		moves_undo(moves.item, moves.count);
	if (ddls.count > 0)
		ddl_undo(ddls.item, ddls.count);
	if (segment_changes.count > 0)
		segments_undo(segment_changes.item, segment_changes.count);
	sending_end();
	forget_transaction();
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (sends.count > 0)
				sends_check(sends.item, sends.count);
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (anything_pending())
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has used a baton queue"),
						 errdetail("Who holds and who sent a message is known to this session "
								   "only until it commits.")));
			break;
		case XACT_EVENT_COMMIT:
			if (anything_pending() || OidIsValid(announced_extension))
				on_commit();
			sending_end();
			error_state = 0;
			break;
		case XACT_EVENT_ABORT:
			on_abort();
			break;
		default:
			break;				/* parallel workers have nothing pending */
	}
}

/* Entries of the subtransaction, or of those in it, are the last ones of each list. */
#define FIRST_OF_SUBXACT(list, sub, first)                                                   \
	for ((first) = (list).count; (first) > 0 && (list).item[(first) - 1].subxact >= (sub);   \
		 (first)--)                                                                          \
	;

static void
abort_subxact(SubTransactionId sub)
{
	uint32		first;

	FIRST_OF_SUBXACT(settles, sub, first);
	if (first < settles.count)
		settles_undo(settles.item + first, settles.count - first);
	settles.count = first;

	for (first = claims.count; first > committed_claims &&
							   claims.item[first - 1].subxact >= sub;
		 first--)
		;
	end_claims_of_abort(first);

	FIRST_OF_SUBXACT(ddls, sub, first);
	if (first < ddls.count)
		ddl_undo(ddls.item + first, ddls.count - first);
	ddls.count = first;

	FIRST_OF_SUBXACT(moves, sub, first);
	if (first < moves.count)
		moves_undo(moves.item + first, moves.count - first);
	moves.count = first;

	FIRST_OF_SUBXACT(segment_changes, sub, first);
	if (first < segment_changes.count)
		segments_undo(segment_changes.item + first, segment_changes.count - first);
	segment_changes.count = first;

	FIRST_OF_SUBXACT(sends, sub, first);
	sends.count = first;
}

#define RELABEL(list, from, to)                                                              \
	for (uint32 i = (list).count; i-- > 0 && (list).item[i].subxact >= (from);)              \
	(list).item[i].subxact = (to)

static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_START_SUB)
		error_state = 0;		/* after ROLLBACK TO: that error was dealt with */
	if (!anything_pending())
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		abort_subxact(mine);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		RELABEL(sends, mine, parent);
		RELABEL(settles, mine, parent);
		RELABEL(ddls, mine, parent);
		RELABEL(segment_changes, mine, parent);
		RELABEL(moves, mine, parent);
		for (uint32 i = claims.count; i-- > committed_claims;)
			if (claims.item[i].subxact >= mine)
				claims.item[i].subxact = parent;
	}
}

/* Remembers why a transaction that holds claims is about to fail. */
static void
remember_error(ErrorData *edata)
{
	if (edata->elevel == ERROR && claims.count > committed_claims)
	{
		error_state = edata->sqlerrcode;
		strlcpy(error_text, edata->message ? edata->message : "", sizeof(error_text));
	}
	if (previous_emit_log_hook)
		previous_emit_log_hook(edata);
}

static void
session_exit(int code, Datum arg)
{
	wait_leave();
	end_claims(0, END_VANISHED, 0, NULL);
	session_end();
}

uint32
xact_session(void)
{
	static bool registered = false;
	uint32		session = session_begin();

	if (!registered)
	{
		on_shmem_exit(session_exit, 0);
		registered = true;
	}
	return session;
}

void
xact_define(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	previous_emit_log_hook = emit_log_hook;
	emit_log_hook = remember_error;
}
