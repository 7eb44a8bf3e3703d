/*
 * memory/directory.h
 *	  Which databases, segments and queues are known, and who this session is.
 *
 * All of it is under the directory lock, which these functions take themselves unless they
 * say otherwise.  None allocates.  Those that find no room return NONE; the
 * caller raises the error.
 */
#ifndef BATON_MEMORY_DIRECTORY_H
#define BATON_MEMORY_DIRECTORY_H

#include "memory/memory.h"

/* The entry of a database's installation; made if missing and asked for.  NONE: none, or no room. */
extern uint32 database_find(Oid oid, Oid extension, bool make);

/*
 * The installation is no more: frees its segments and outcomes, and marks its queues DROPPED.  The
 * entry itself is free once database_reclaim says so.
 */
extern void database_forget(uint32 database);

/* Frees a forgotten entry when no queue names it any more. */
extern void database_reclaim(uint32 database);

/*
 * Registers a pair of tables, with the fields of *pair that describe it, database to last_id; the same number again
 * returns the entry that is there, as it is.  known: what the loader has read, or the marks it began at, take
 * account of it; otherwise all is read again.
 */
extern uint32 segment_register(const Segment *pair, bool known);

/* What a transaction has done to a segment, applied when it has committed. */
typedef struct SegmentChange
{
	uint32		database;
	uint32		segment;
	uint32		generation;
	SegmentState state;
	bool		survivors;
	bool		emptied;
	bool		dropped;		/* with its tables; the rest means nothing */
	bool		counted;
	int64		first_id;
	int64		last_id;
	uint64		finished;		/* counted: Segment.finished and Database.recount before that */
	uint32		recount;
} SegmentChange;

extern void segment_change(const SegmentChange *change);

/* Frees the entry: its tables were never committed, or are gone. */
extern void segment_forget(uint32 segment);

/* Entries of a database's segments, but for pending ones, ascending by first_id, into out;
 * returns how many. */
extern uint32 segment_list(uint32 database, uint32 *out, uint32 max);

/* A range of n ids: the first, or 0 if the block in use has fewer left. */
extern int64 ids_take(uint32 database, int64 n);

/* Begins a new block, unless a newer one is in use already. */
extern void ids_add_block(uint32 database, int64 first, int64 count);

/* What is left of the block is not used: a restore may have brought messages with those ids. */
extern void ids_drop_block(uint32 database);

/* The next id that ids_take will give; 0: no block was begun yet. */
extern int64 ids_next(uint32 database);

/*
 * Says that this session is about to take ids for messages; until sending_end(), after it has published them or rolled
 * back.  sending_oldest: no open transaction, and none that is still publishing, has sent a message with a
 * lower id.
 */
extern void sending_begin(uint32 database);
extern void sending_end(void);
extern int64 sending_oldest(uint32 database);

/* An entry in state PENDING or LIVE for a queue; *fresh tells that it was made now.  A
 * live one that is there already is returned as it is.  NONE: no room.  from: see line_init. */
extern uint32 queue_register(uint32 database, int32 id, const char *name,
							 const QueuePolicy *policy, QueueState state, int64 from,
							 uint32 *generation, bool *fresh);

/* By name, LIVE ones only. */
extern uint32 queue_find(uint32 database, const char *name, uint32 *generation);
extern uint32 queue_find_id(uint32 database, int32 id);

/* Marks it DROPPED: from now on it takes and gives nothing, receipts of it are void.  Takes the
 * queue's lock too. */
extern void queue_retire(uint32 queue, uint32 generation);

/* Frees a DROPPED entry of that generation once no slot is left in it; true if it did. */
extern bool queue_reclaim(uint32 queue, uint32 generation);

/* This backend's session: its index.  The first call registers it and its end. */
extern uint32 session_begin(void);
extern uint32 session_generation(uint32 session);
extern void session_end(void);

/* Asks the database's keeper, or the launcher if there is none, for work. */
extern void keeper_wake(uint32 database);
extern void launcher_wake(void);

#endif
