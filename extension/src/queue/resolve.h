/*
 * queue/resolve.h
 *	  From names to places in shared memory.
 */
#ifndef BATON_QUEUE_RESOLVE_H
#define BATON_QUEUE_RESOLVE_H

#include "postgres.h"

#include "compat.h"

#include "memory/memory.h"

typedef struct QueueRef
{
	uint32		queue;
	uint32		generation;
	int32		id;
} QueueRef;

/*
 * The current database's entry.  Raises 55000 without preload or extension, 25006 on a
 * standby, 53400 if too many databases have the extension.
 */
extern uint32 baton_database(void);

/* The same for what only looks: NONE instead of an error. */
extern uint32 baton_database_if_any(void);

/*
 * A queue by name, as this transaction sees it.  Raises 22004 null name, 22023 bad name, 42704 no such
 * queue, 53400 too many queues.
 */
extern QueueRef resolve_queue(const char *name);

/* The name of a queue argument, copied; checks it as create_queue does. */
extern char *queue_name_arg(bool isnull, Datum text_datum);

/* True as long as the queue is the one that was resolved. */
static inline bool
queue_current(const QueueRef *ref)
{
	return ref->queue != NONE && queues[ref->queue].generation == ref->generation;
}

extern BATON_NORETURN void raise_no_queue(const char *name);

/* n ids in a row, rising in the order of the calls across all sessions. */
extern int64 next_ids(uint32 database, int64 n);

/* Registers all queues of the table that are not in memory yet, and takes over changed policies. */
extern void register_queues(uint32 database);

#endif
