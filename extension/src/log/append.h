/*
 * log/append.h
 *	  Rows into the log, without SPI.
 *
 * Dropped on purpose, since the callers have done their own: permission checks,
 * RLS, triggers, constraints, defaults.  Kept: WAL, TOAST, logical decoding,
 * indexes, SSI conflict checks, statistics.
 */
#ifndef BATON_LOG_APPEND_H
#define BATON_LOG_APPEND_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* A row of message_log.  Absent times are 0 (DT null), absent pointers NULL, no origin 0. */
typedef struct MessageRow
{
	int64		id;
	int32		queue_id;
	TimestampTz sent_at;
	TimestampTz deliver_at;		/* 0: at once */
	TimestampTz expires_at;		/* 0: never */
	int16		priority;
	text	   *key;			/* order */
	text	   *unique_key;		/* always NULL for now */
	int64		origin;			/* 0: none */
	Jsonb	   *headers;
	Jsonb	   *payload;
} MessageRow;

/* What an event says happened.  The text form, in `action`, is the enum's name in lower case. */
typedef enum EventAction
{
	EVENT_NONE,
	EVENT_CLAIMED,
	EVENT_COMPLETED,
	EVENT_FAILED,
	EVENT_VANISHED,				/* its holder's session, or the server, is gone */
	EVENT_LEASE_EXPIRED,
	EVENT_RELEASED,
	EVENT_DEAD,
	EVENT_CANCELLED,
	EVENT_REQUEUED,
	EVENT_MOVED
} EventAction;

/* A row of event_log.  0 and NULL mean SQL null, except for counts. */
typedef struct EventRow
{
	int64		id;
	int64		message_id;
	int32		queue_id;
	TimestampTz at;
	EventAction action;
	int32		attempt;		/* of the claim this event ended */
	int32		failures;		/* after this event */
	int32		crashes;		/* after this event */
	TimestampTz claimed_at;
	int32		process_id;		/* of the holder */
	Oid			role;			/* of the holder; stored by name; InvalidOid: null */
	TimestampTz deliver_at;		/* when it may be tried again; 0: at once */
	Jsonb	   *detail;			/* the result, or the error */
} EventRow;

extern const char *log_event_action_name(EventAction action);

/* completed, dead, cancelled: nothing may follow, at most one a message. */
static inline bool
log_event_is_terminal(EventAction action)
{
	return action == EVENT_COMPLETED || action == EVENT_DEAD || action == EVENT_CANCELLED;
}

/*
 * Appends n rows; rel is opened with RowExclusiveLock by the caller, who keeps
 * the lock to the end of the transaction.  tids (n of them, may be NULL) gets
 * where each row went.  What a batch takes of memory is freed before return.  Errors: what heap and index
 * inserts raise; PreventCommand...() checks are the caller's.
 */
extern void log_append_messages(Relation rel, const MessageRow *rows, int n,
								ItemPointerData *tids);
extern void log_append_events(Relation rel, const EventRow *rows, int n);

#endif
