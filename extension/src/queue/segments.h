/*
 * queue/segments.h
 *	  Which segment messages are written to, and the changes of segments from open to closed.
 *
 * baton.segment has the state of each, memory a copy that changes in the commit callback of who
 * changed the row.  Between the two, writers still go by what memory says, which does
 * no harm: a segment is closed only when nobody has it open for writing.
 */
#ifndef BATON_QUEUE_SEGMENTS_H
#define BATON_QUEUE_SEGMENTS_H

#include "postgres.h"

#include "log/registry.h"
#include "log/segment.h"
#include "queue/xact.h"
#include "utils/rel.h"

/*
 * message_log of the open segment, locked RowExclusive; made if there is none.  The lock is taken
 * first and the segment checked again under it, so it can't be emptied in between.  Close with
 * NoLock.
 */
extern Relation open_message_log(uint32 database, uint32 *segment);

/* event_log of a segment, locked RowExclusive; raises 55000 where it was dropped by hand.  Close with NoLock. */
extern Relation open_event_log(uint32 segment);

/* The segment for survivors, opened if there is none; NONE: not now.  The caller has maintenance_lock(). */
extern uint32 open_survivor_segment(uint32 database);

/* Makes sure that there is an open segment. */
extern void ensure_segment(uint32 database);

/* Registers the log's pairs of tables that exist; the keeper then reads those that are new. */
extern void adopt_segments(uint32 database);

/*
 * The keeper's part of that, in a transaction that has maintenance_lock(): rows for pairs that have none,
 * and entries of tables that are gone are forgotten.
 */
extern void adopt_rows(uint32 database);

/*
 * One change of segments at a time: held to the end of the transaction, so until memory knows.
 * Waits for others, whose transactions are short.  False: it is taken, and wait was false.
 */
extern bool maintenance_lock(bool wait);

/*
 * Opens another segment if the one that is open is large or old enough, or, forced, has any message: a free
 * pair, or a new one.  The one for survivors is only sealed, likewise.  In a transaction of the caller's, who has
 * maintenance_lock().
 */
extern void rotate_segment(uint32 database, bool forced, bool forced_survivors);

/* Closes sealed segments that nobody is writing to.  Likewise.  Returns how many. */
extern int	close_segments(uint32 database);

/* As log/ knows it. */
extern LogSegment log_segment_of(uint32 segment);

typedef enum SegmentEvent
{
	SEGMENT_CHANGED,
	SEGMENT_EMPTIED,
	SEGMENT_COUNTED
} SegmentEvent;

/* What memory knew before a segment was counted. */
typedef struct BeforeCount
{
	uint64		finished;		/* Segment.finished */
	uint32		recount;		/* Database.recount */
} BeforeCount;

/* Drops a free pair, in a transaction that has maintenance_lock() and AccessExclusiveLock on both tables. */
extern void drop_segment(uint32 segment);

/* Writes the row, and memory at commit.  before: for SEGMENT_COUNTED. */
extern void put_segment(uint32 segment, const SegmentRow *row, SegmentEvent event,
						const BeforeCount *before);

/* Size of both tables with all that belongs to them, bytes; 0 where they are gone, or locked exclusively. */
extern int64 segment_bytes(uint32 segment);

/* Callbacks' parts; they raise nothing. */
extern void segments_commit(const PendingSegment *changes, uint32 n);
extern void segments_undo(const PendingSegment *changes, uint32 n);

#endif
