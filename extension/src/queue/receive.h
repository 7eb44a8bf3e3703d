/*
 * queue/receive.h
 *	  Claiming messages and reading them.
 */
#ifndef BATON_QUEUE_RECEIVE_H
#define BATON_QUEUE_RECEIVE_H

#include "postgres.h"

#include "core/receipt.h"
#include "log/append.h"
#include "memory/slotlock.h"
#include "queue/xact.h"

/* Most messages in one call. */
#define RECEIVE_MAX 10000

typedef struct ReceiveOptions
{
	int32		max;
	int64		lease;			/* microseconds; 0: the queue's */
	bool		detached;
} ReceiveOptions;

/* One message handed out; the row's parts are in the caller's memory context. */
typedef struct Delivery
{
	char		receipt[RECEIPT_LENGTH + 1];
	int32		attempt;
	MessageRow	row;
} Delivery;

/*
 * Claims up to options->max messages of a queue that the active snapshot sees, and returns them
 * as a palloc'd array of *n.  Writes nothing.  Errors: as resolve_queue; 22023 for max and
 * lease; 25006 in a read-only transaction.
 */
extern Delivery *queue_receive(const char *name, const ReceiveOptions *options, int *n);

/* The receipt of a claim. */
extern void claim_receipt(uint32 slot, uint32 generation, int64 id, char *out);

/* Commit callback: the claims of this transaction are leased from now on.  The lock as for settles_commit. */
extern void claims_start_leases(const LocalClaim *claims, uint32 n, TimestampTz now,
								SlotLock *lock);

#endif
