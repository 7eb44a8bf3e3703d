/*
 * worker/worker.h
 *	  The background workers: one launcher a server, one keeper a database.
 *
 * The launcher is registered at start.  It starts a keeper in each database that has the
 * extension, and probes each new database once.  Without a free worker slot it serves the
 * databases in turn itself: it notes the database in shared memory, exits, and is
 * restarted as that database's keeper for a while.
 */
#ifndef BATON_WORKER_WORKER_H
#define BATON_WORKER_WORKER_H

#include "postgres.h"

#include "compat.h"
#include "utils/timestamp.h"

/* The system's time: how often the workers look, and how long they wait for each other, is not for
 * tests to move. */
static inline TimestampTz
worker_now(void)
{
	return GetCurrentTimestamp();	/* allowed: see above */
}

/* In _PG_init under preload. */
extern void workers_define(void);
extern void utility_define(void);

/* Serves a database until it has to leave, or until `span` microseconds have passed (0: no limit).
 * The process is connected to it.  Returns true if it left because of span. */
extern bool keeper_serve(int64 span);

/* Whether there is something for it to do.  In a process of that database, outside a transaction. */
extern bool cleaner_wanted(uint32 database);

/* Starts the worker that cleans up this database; false: there is no room for one. */
extern bool cleaner_start(uint32 database);

/* Cleans up in this process: at most so many steps, 0: until nothing is left.  Returns whether there may be more. */
extern bool cleaner_run(uint32 database, int steps);

/* A segment that should be frozen; NONE: none.  In a transaction. */
extern uint32 freeze_wanted(uint32 database);

/* Freezes it, in transactions of its own. */
extern void freeze_segment(uint32 segment);

/* Entry points named in the registration. */
extern PGDLLEXPORT BATON_NORETURN void baton_launcher_main(Datum arg);
extern PGDLLEXPORT BATON_NORETURN void baton_keeper_main(Datum arg);
extern PGDLLEXPORT BATON_NORETURN void baton_cleaner_main(Datum arg);

/* In a worker that serves a database: settings of the database or role must not change what it does. */
extern void worker_settings(void);

/* Whether some statement wants the database for itself.  Takes the directory lock. */
extern bool database_held(Oid database);

#endif
