/*
 * log/segment.h
 *	  The pairs of tables that make up the log: which there are, and making one.
 *
 * A segment is message_log_N with event_log_N, plain inheritance children of
 * message_log and event_log.  The registry is pg_inherits: a pair counts once
 * both tables exist and have all their indexes (a restore makes those last).
 * Children are not members of the extension but depend on it automatically
 * (DEPENDENCY_AUTO), so that they are dumped whole and DROP EXTENSION works.
 */
#ifndef BATON_LOG_SEGMENT_H
#define BATON_LOG_SEGMENT_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef struct LogSegment
{
	int32		number;
	Oid			messages;		/* message_log_N */
	Oid			events;			/* event_log_N */
} LogSegment;

/*
 * All complete pairs, ascending by number, as a palloc'd array of *count in the
 * current memory context.  Uses a fresh catalog snapshot.  Raises nothing of its own.
 */
extern LogSegment *log_segment_list(int *count);

/* The pair that a table, one of messages or of events, belongs to; false: none, or it is not complete. */
extern bool log_segment_of_table(Oid table, LogSegment *out);

/*
 * A table of a segment, locked with `mode`, to be given back by relation_close().  NULL, and not locked: somebody has
 * dropped it by hand.  Raises 55000 if somebody has given it another access method: rows are written and read as a heap's.
 */
extern Relation log_table_open(Oid table, LOCKMODE mode);

/*
 * Takes the lock that serializes the making of segments: ShareUpdateExclusiveLock
 * on the parent of messages, held to the end of the transaction.  Callers list
 * again under it before they create.
 */
extern void log_segment_lock(void);

/* Gives it back before the end: nothing was made. */
extern void log_segment_unlock(void);

/* The same lock without waiting; false: somebody has it. */
extern bool log_segment_lock_if_free(void);

/*
 * A number no table of the log has, whether its pair is complete or not: one more than the
 * highest.  The caller holds log_segment_lock().
 */
extern int32 log_segment_next_number(void);

/*
 * Makes pair `number` with its indexes and dependencies, as the extension's owner, in the
 * caller's transaction.  The caller holds log_segment_lock().  On return the
 * pair is usable by this transaction (CommandCounterIncrement done).
 */
extern LogSegment log_segment_create(int32 number);

/*
 * Makes the tables of a pair depend on the extension, if they don't yet: those that a
 * restore made do not, and DROP EXTENSION would ask for CASCADE.  The
 * caller holds log_segment_lock().
 */
extern void log_segment_adopt(const LogSegment *segment);

#endif
