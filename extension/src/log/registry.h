/*
 * log/registry.h
 *	  What is written down about segments and queues, so that a start needn't read the whole log:
 *	  tables baton.segment and baton.queue_mark.
 *
 * Written by whoever holds maintenance_lock() (queue/maintain.h), in small transactions.
 */
#ifndef BATON_LOG_REGISTRY_H
#define BATON_LOG_REGISTRY_H

#include "postgres.h"

#include "core/segment.h"
#include "utils/timestamp.h"

extern const char *segment_state_name(SegmentState state);

/* A row of baton.segment.  Times: 0 means null. */
typedef struct SegmentRow
{
	int32		number;
	SegmentState state;
	bool		survivors;		/* takes what compaction moves out of others */
	int64		first_id;		/* none in it is lower */
	int64		last_id;		/* closed: none in it is higher; else 0 */
	TimestampTz opened_at;
	TimestampTz sealed_at;

	/* The last count; counted_at 0: there is none, and the rest means nothing. */
	TimestampTz counted_at;
	int64		messages;
	int64		unfinished;
	int64	   *unfinished_ids; /* ascending; NULL: too many to list */
	int64		retained;		/* finished, retention not over */
	TimestampTz retained_until; /* when it is over for the last of them */

	/* Compaction: when it last moved a message out, and by which transaction; 0: it has not. */
	TimestampTz moved_at;
	uint64		moved_xid;
} SegmentRow;

/* A count lists its unfinished messages if they are not more than this. */
#define UNFINISHED_LISTED 1000

/* All rows, ascending by number; palloc'd array of *count. */
extern SegmentRow *registry_list(int *count);

/* The row of one segment; false: there is none. */
extern bool registry_get(int32 number, SegmentRow *out);

/* Inserts the row, or writes it over the one with its number. */
extern void registry_put(const SegmentRow *row);
extern void registry_delete(int32 number);

/* An array of bigint, palloc'd. */
extern Datum registry_ids(const int64 *ids, int n);

/* All messages of the queue with ids below are finished. */
typedef struct QueueMark
{
	int32		queue_id;
	int64		below;
} QueueMark;

/* The mark of a queue; 0: it has none. */
extern int64 registry_mark(int32 queue_id);
extern void registry_put_marks(const QueueMark *marks, int n);

/* Tables were found that the marks don't know: they say nothing any more. */
extern void registry_forget_marks(void);

#endif
