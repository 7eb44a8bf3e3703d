/*
 * log/census.h
 *	  Over all messages of a segment: counting what is still needed, copying it elsewhere.
 *
 * A message is finished when it has a terminal event, has expired, was purged, or its queue is gone; it is
 * retained until its queue's retention after that is over.  One that compaction has moved out doesn't
 * count.  Whether a consumer holds an expired or purged message is not known here.
 */
#ifndef BATON_LOG_CENSUS_H
#define BATON_LOG_CENSUS_H

#include "postgres.h"

#include "log/registry.h"
#include "log/segment.h"
#include "storage/itemptr.h"
#include "utils/snapshot.h"

/*
 * Counts a segment as of now: fills the part of *row from counted_at to retained_until.  Reads both
 * tables once; about a second a million messages.
 */
extern void census_take(const LogSegment *segment, TimestampTz now, SegmentRow *row);

/* Unfinished messages of one queue in one segment. */
typedef struct QueueCount
{
	int32		queue_id;
	int64		unfinished;
	TimestampTz next_expiry;	/* of those; 0: none expires */
} QueueCount;

/*
 * Of n queues, how many messages with ids below the queue's are unfinished for a snapshot.  *count entries, palloc'd.
 */
extern QueueCount *census_by_queue(const LogSegment *segment, const int64 *queue_ids,
								   const int64 *below, int n, TimestampTz now,
								   Snapshot snapshot, int *count);

/* A message that is still needed. */
typedef struct Survivor
{
	int64		id;
	int32		queue_id;
	ItemPointerData tid;
	int16		priority;
	uint64		key_hash;		/* as log_key_hash; 0: no key */
	bool		finished;		/* retained only */
} Survivor;

/*
 * Those of a segment, ascending by id, at most limit; *count entries, palloc'd.  Of those that the last count has
 * listed, where it has and nothing is retained: then the rest isn't read.
 */
extern Survivor *census_survivors(const LogSegment *segment, const SegmentRow *row,
								  TimestampTz now, int limit, int *count);

/*
 * Copies n messages with their events as they are; tids[] get the copies' places, an invalid one where the
 * message isn't where it was listed, and nothing of it was copied.  RowExclusiveLock on the tables is the caller's.
 */
extern void census_copy(const LogSegment *from, const LogSegment *to,
						const Survivor *const *survivors, int n, ItemPointerData *tids);

#endif
