/*
 * memory/tail.h
 *	  The events committed last, for those who follow the log.
 *
 * The log can't be followed by id: ids are taken before the commit, so a transaction that settled early and
 * commits late brings an event with a low id, and the keeper brings some later still; and
 * there is no index on them.  So committers note here, once their events are visible, which they were and of which
 * messages: a ring that followers read from a mark on, each event once, in the order of commits.
 * The rows are then looked up by message.
 *
 * While nobody follows, committers read one word and write nothing.  A follower renews
 * `wanted_until` whenever it looks; once it stays away for TAIL_KEEP nothing is noted any more, and who
 * comes back, or is a whole ring behind, or has a mark of another life of the server, is told so
 * and reads the log itself.
 */
#ifndef BATON_MEMORY_TAIL_H
#define BATON_MEMORY_TAIL_H

#include "memory/memory.h"

#define TAIL_ENTRIES 16384
#define TAIL_SLEEPERS 16		/* more than that look once a second */
#define TAIL_KEEP (INT64CONST(120) * USECS_PER_SEC)

typedef struct TailEntry
{
	int64		event_id;
	int64		message_id;
	uint32		database;
	int32		queue_id;
} TailEntry;

/* What a follower wants to see: the events of a queue, or of all in the database. */
typedef struct TailFilter
{
	uint32		database;
	int32		queue_id;		/* 0: all */
} TailFilter;

extern Size tail_size(void);
extern void tail_init(void *memory, bool fresh);

/* Whether events have to be noted.  No lock; after the commit. */
extern bool tail_wanted(TimestampTz now);

/* Notes a committed event and sets the latches of those who sleep for it.  Takes the tail's lock. */
extern void tail_add(const TailEntry *entry);

/*
 * Copies the events after *mark that the filter lets through, up to `room`, and moves *mark behind the last one looked at.
 * Returns how many, or -1 if something after *mark may be missing; *mark is then where to go on.  Asks
 * committers to go on noting.  Finding none, it registers the session to be woken
 * by the next, so that the caller may sleep at once.
 */
extern int tail_read(const TailFilter *filter, int64 *mark, TailEntry *out, int room);

/* The session is not to be woken any more.  Called from abort and exit callbacks. */
extern void tail_leave(void);

#endif
