/*
 * log/fetch.h
 *	  Rows out of the log, by TID and by index scan, without SPI.
 *
 * Every function takes the snapshot that decides what is seen; NULL pointers in
 * results mean SQL null.  Results are palloc'd in the current memory context.
 * None of them takes predicate locks (an SSI transaction that reads 40 payloads
 * would otherwise be promoted to a relation lock): index scans use
 * a snapshot copy or SnapshotAny plus an explicit visibility test, or plain scans where
 * IsolationIsSerializable() is false.
 */
#ifndef BATON_LOG_FETCH_H
#define BATON_LOG_FETCH_H

#include "postgres.h"

#include "log/append.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef enum FetchVerdict
{
	FETCH_OK,
	FETCH_NOT_YET,				/* the row is there, the snapshot doesn't see it */
	FETCH_ELSEWHERE				/* no row, one of another id, or one that was deleted or updated, at
								 * this place: the table was rewritten, or changed by hand */
} FetchVerdict;

/*
 * The message `id` at *tid of rel (AccessShareLock held by the caller).
 * FETCH_OK: *out is filled, key, headers and payload detoasted copies in the
 * current memory context (payload and headers NULL where null).
 */
extern FetchVerdict log_fetch_message(Relation rel, const ItemPointerData *tid, int64 id,
									  Snapshot snapshot, MessageRow *out);

/*
 * The same by index, for a message whose place is not known: queue_id and id,
 * all priorities.  *tid gets its place if it is seen.  FETCH_ELSEWHERE: there is no such row at all.
 */
extern FetchVerdict log_find_message(Relation rel, int32 queue_id, int64 id,
									 Snapshot snapshot, MessageRow *out,
									 ItemPointer tid);

/* What a slot needs to know of a message; no payload. */
typedef struct MessageHead
{
	int64		id;
	ItemPointerData tid;
	int16		priority;
	TimestampTz sent_at;
	TimestampTz deliver_at;
	TimestampTz expires_at;
	uint64		key_hash;		/* 0: no key */
} MessageHead;

/*
 * The hash under which a key is known in memory: hash_bytes_extended of its bytes, seeded
 * with queue_id, with 0 mapped to 1.  Equal keys of a queue hash equally.
 */
extern uint64 log_key_hash(int32 queue_id, const text *key);

/*
 * Heads of one queue and priority with after < id <= upto, ascending by id, at
 * most limit of them, by index (queue_id, priority, id).  Returns how many; `out` has
 * room for limit.
 */
extern int	log_scan_lane(Relation rel, int32 queue_id, int16 priority, int64 after,
						  int64 upto, int limit, Snapshot snapshot, MessageHead *out);

/*
 * Heads of one queue whose deliver_at lies in (after, upto], ascending by
 * deliver_at, at most limit after the first skip of them, by the partial index
 * (queue_id, deliver_at).
 */
extern int	log_scan_due_messages(Relation rel, int32 queue_id, TimestampTz after,
								  TimestampTz upto, int skip, int limit,
								  Snapshot snapshot, MessageHead *out);

/* An event that gave its message a time. */
typedef struct DueEvent
{
	int64		message_id;
	TimestampTz deliver_at;
} DueEvent;

/* The same for event_log's partial index (queue_id, deliver_at). */
extern int	log_scan_due_events(Relation rel, int32 queue_id, TimestampTz after,
								TimestampTz upto, int skip, int limit,
								Snapshot snapshot, DueEvent *out);

/*
 * The latest event of a message that the snapshot sees, by index (message_id): `moved` if there is one,
 * then the message's row beside rel doesn't count any more; else
 * a terminal one if there is any, else that of the highest attempt, among those that of the claim
 * made last, then the highest id.  False: there is none.  detail (a
 * detoasted copy) and role are filled only if with_detail.
 */
extern bool log_latest_event(Relation rel, int64 message_id, Snapshot snapshot,
							 bool with_detail, EventRow *out);

/* The same for n messages by one scan: found[i] tells whether out[i] was filled.  Without detail and role. */
extern void log_latest_events(Relation rel, const int64 *message_ids, int n, Snapshot snapshot,
							  bool *found, EventRow *out);

#endif
