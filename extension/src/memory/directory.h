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

/* Registers a pair of tables; the same number again returns the entry that is there, with its oids
 * renewed. */
extern uint32 segment_register(uint32 database, int32 number, Oid messages, Oid events,
							   bool pending);

/* The transaction that made it has committed. */
extern void segment_commit(uint32 segment);

/* Frees the entry: its tables were never committed, or are gone. */
extern void segment_forget(uint32 segment);

/* Entries of a database's segments, but for pending ones, ascending by number, into out;
 * returns how many. */
extern uint32 segment_list(uint32 database, uint32 *out, uint32 max);

/* A range of n ids: the first, or 0 if the block in use has fewer left. */
extern int64 ids_take(uint32 database, int64 n);

/* Begins a new block, unless a newer one is in use already. */
extern void ids_add_block(uint32 database, int64 first, int64 count);

/* An entry in state PENDING or LIVE for a queue; *fresh tells that it was made now.  A
 * live one that is there already is returned as it is.  NONE: no room. */
extern uint32 queue_register(uint32 database, int32 id, const char *name,
							 const QueuePolicy *policy, QueueState state, bool empty,
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
