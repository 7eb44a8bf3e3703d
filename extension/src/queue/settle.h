/*
 * queue/settle.h
 *	  Ending claims: complete, fail, release; and making them last longer.
 *
 * The event is appended at once and the slot belongs to the transaction until it ends; the
 * message moves on when that commits.
 */
#ifndef BATON_QUEUE_SETTLE_H
#define BATON_QUEUE_SETTLE_H

#include "postgres.h"

#include "memory/slotlock.h"
#include "baton.h"
#include "queue/xact.h"
#include "utils/jsonb.h"

typedef struct SettleRequest
{
	EventAction action;			/* completed, failed or released */
	Jsonb	  **details;		/* one a receipt, may be NULL as a whole or one by one */
	int64		delay;			/* failed, released: microseconds until it may be tried again; -1: by the
								 * queue's backoff */
	bool		retry;			/* failed: false makes it dead */
	bool		strict;			/* all or nothing */
} SettleRequest;

/*
 * Settles n claims.  settled[i] tells which were, and due[i] when the message may be tried again
 * (0: at once, or never; dead[i]); each array may be NULL.
 * Errors: 22023 malformed receipt; with strict BT001 (positions in the detail) and 55006.
 */
extern void settle_claims(const text *const *receipts, int n, const SettleRequest *request,
						  bool *settled, TimestampTz *due, bool *dead);

/* A claim's lease ends `lease` microseconds from now; returns when.  Errors: 22023, BT001, 55006. */
extern TimestampTz claim_extend(const text *receipt, int64 lease);

/* The queue of the claim's message; false: the claim is lost, or just being settled.  Errors: 22023. */
extern bool claim_queue_name(const text *receipt, char name[BATON_QUEUE_NAME_MAX + 1]);

/* {"error": text, "sqlstate": "..."}; sqlstate 0: left out. */
extern Jsonb *error_detail(const char *text, int sqlstate);

/* Callbacks' parts; they raise nothing.  The lock, which may be held on a slot's queue already, stays so. */
extern void settles_commit(const PendingSettle *settles, uint32 n, TimestampTz now,
						   SlotLock *lock);
extern void settles_undo(const PendingSettle *settles, uint32 n);

#endif
