/*
 * queue/xact.h
 *	  What this transaction has done to the queues and nobody else may see yet.
 *
 * Verbs append to backend-local lists, which may raise an error; the commit callback
 * publishes them, the abort callback undoes them, and neither allocates, waits or
 * raises an error.  Each entry knows its subtransaction: a rolled back savepoint undoes just its
 * own.  PREPARE TRANSACTION is refused while any list has an entry; parallel workers
 * never get here, the functions are parallel unsafe.
 */
#ifndef BATON_QUEUE_XACT_H
#define BATON_QUEUE_XACT_H

#include "postgres.h"

#include "core/policy.h"
#include "log/append.h"
#include "memory/directory.h"
#include "memory/memory.h"
#include "memory/waiters.h"

/* A message sent, published at commit. */
typedef struct PendingSend
{
	int64		id;
	TimestampTz sent_at;
	TimestampTz deliver_at;		/* 0: at once */
	TimestampTz expires_at;		/* 0: never */
	uint64		key_hash;
	uint32		queue;
	uint32		queue_generation;
	ItemPointerData tid;
	uint16		segment;
	uint8		priority;
	SubTransactionId subxact;
} PendingSend;

/* A claim of this session.  It ends with its subtransaction until that has committed, and with the
 * session unless it is detached. */
typedef struct LocalClaim
{
	uint32		slot;
	uint32		generation;		/* of the claim */
	bool		detached;
	SubTransactionId subxact;	/* InvalidSubTransactionId: committed */
} LocalClaim;

/* A claim that this transaction has settled. */
typedef struct PendingSettle
{
	uint32		slot;
	EventAction action;			/* completed, failed, released or dead */
	TimestampTz due;			/* failed, released: when it may be tried again; 0: at once */
	int64		event_id;		/* 0: not appended yet */
	SubTransactionId subxact;
} PendingSettle;

typedef enum DdlKind
{
	DDL_CREATE,
	DDL_ALTER,
	DDL_DROP
} DdlKind;

typedef struct PendingDdl
{
	DdlKind		kind;
	uint32		queue;
	uint32		generation;
	int32		id;
	QueuePolicy policy;
	uint32		database;
	SubTransactionId subxact;
} PendingDdl;

/* What was done to a segment. */
typedef struct PendingSegment
{
	SegmentChange change;
	bool		made;			/* its tables were made by this transaction */
	SubTransactionId subxact;
} PendingSegment;

/* A message whose row was copied to another segment; see queue/compact.c. */
typedef struct PendingMove
{
	uint32		slot;
	bool		borrowed;		/* the slot was taken for the move only */
	bool		key_taken;		/* it holds its key only for the move, so that none of its key overtakes it */
	bool		copied;			/* to this place; else the old one stays */
	uint32		segment;
	ItemPointerData tid;
	bool		known;			/* the slot is filled in, and what follows is valid */
	bool		finished;		/* it is not to be delivered */
	TimestampTz due;			/* when it may be delivered; 0: at once */
	SubTransactionId subxact;
} PendingMove;

/* In _PG_init under preload: registers the callbacks. */
extern void xact_define(void);

/* This backend's session, made ready: its exit will give its claims back. */
extern uint32 xact_session(void);

/*
 * Room for n more entries, so that the xact_add_... that follow can't fail.  The
 * current subtransaction is filled in by them.
 */
extern void xact_reserve_sends(uint32 n);
extern void xact_add_send(const PendingSend *send);
extern void xact_reserve_claims(uint32 n);
extern void xact_add_claim(uint32 slot, uint32 generation, bool detached);
extern void xact_reserve_settles(uint32 n);
extern void xact_add_settle(uint32 slot, EventAction action, TimestampTz due);

/* The events of the last n claims settled have been appended, under ids from first_id on. */
extern void xact_number_settles(uint32 n, int64 first_id);
extern void xact_reserve_ddl(void);
extern void xact_add_ddl(const PendingDdl *ddl);

/* What this transaction did to a queue's definition: the last entry of that kind that fits; NULL: none. */
extern const PendingDdl *xact_find_ddl(DdlKind kind, uint32 database, int32 queue_id);
extern const PendingDdl *xact_find_created(uint32 database, const char *name);

/* The segment this transaction has opened for messages; NONE: none. */
extern uint32 xact_opened_segment(uint32 database);

extern void xact_reserve_segment(void);
extern void xact_add_segment(const SegmentChange *change, bool made);
extern void xact_reserve_moves(uint32 n);

/* Returns the entry, good until the next reserve. */
extern PendingMove *xact_add_move(const PendingMove *move);

/* Claims of this session that are still good, for held(); the array is the callers to read only. */
extern const LocalClaim *xact_claims(uint32 *count);

/* Ends all claims of the session that are bound to it, as if it had ended. */
extern void xact_end_claims(void);

/* Gives back at once, using up nothing, all claims that are bound to the session.  Returns how many. */
extern uint32 xact_release_claims(void);

/* The extension was installed by this transaction: at commit its keeper is started. */
extern void xact_announce_extension(Oid extension);

#endif
