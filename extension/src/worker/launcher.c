/*
 * worker/launcher.c
 *	  One a server: sees to it that each database with the extension has a keeper.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "memory/directory.h"
#include "queue/load.h"
#include "queue/record.h"
#include "worker/worker.h"

#define LOOK_EVERY 5000L		/* ms between looks at pg_database */
#define RESTART_AFTER (INT64CONST(1) * USECS_PER_SEC)
#define VISIT_SPAN (INT64CONST(5) * USECS_PER_SEC)

/* A database as the launcher knows it. */
typedef struct Known
{
	Oid			oid;
	bool		exists;			/* seen in the look that is going on */
	bool		connectable;	/* nobody may connect to template0 and its like */
	bool		probed;			/* a keeper has been started there once */
	BackgroundWorkerHandle *keeper;
	TimestampTz started;
} Known;

static Known *known;
static int	known_count;
static int	known_room;

static Known *
know(Oid oid)
{
	for (int i = 0; i < known_count; i++)
		if (known[i].oid == oid)
			return &known[i];
	if (known_count == known_room)
	{
		known_room = Max(16, 2 * known_room);
		known = known ? repalloc(known, known_room * sizeof(Known))
					  : MemoryContextAlloc(TopMemoryContext, known_room * sizeof(Known));
	}
	known[known_count] = (Known) {.oid = oid};
	return &known[known_count++];
}

bool
database_held(Oid database)
{
	bool		held = false;

	LWLockAcquire(directory_lock(), LW_SHARED);
	for (size_t i = 0; i < lengthof(shared->holds) && !held; i++)
		held = shared->holds[i].database == database &&
			   OidIsValid(database) &&
			   session_generation(shared->holds[i].session) == shared->holds[i].generation;
	LWLockRelease(directory_lock());
	return held;
}

/* An entry of the database that has no keeper. */
static bool
needs_keeper(Oid oid)
{
	for (int i = 0; i < MAX_DATABASES; i++)
		if (shared->databases[i].oid == oid && shared->databases[i].keeper_pid == 0)
			return true;
	return false;
}

/* Whether one runs there that this launcher, which may have been restarted, has no handle of. */
static bool
has_keeper(Oid oid)
{
	for (int i = 0; i < MAX_DATABASES; i++)
		if (shared->databases[i].oid == oid && shared->databases[i].keeper_pid != 0)
			return true;
	return false;
}

static bool
keeper_runs(Known *db)
{
	pid_t		pid;
	BgwHandleStatus status;

	if (db->keeper == NULL)
		return false;
	status = GetBackgroundWorkerPid(db->keeper, &pid);
	if (status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED)
		return true;
	pfree(db->keeper);
	db->keeper = NULL;
	return false;
}

static bool
start_keeper(Known *db)
{
	BackgroundWorker worker = {0};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		started;

	snprintf(worker.bgw_name, BGW_MAXLEN, "baton keeper for database %u", db->oid);
	snprintf(worker.bgw_type, BGW_MAXLEN, "baton keeper");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "baton");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "baton_keeper_main");
	worker.bgw_main_arg = ObjectIdGetDatum(db->oid);
	worker.bgw_notify_pid = MyProcPid;
	started = RegisterDynamicBackgroundWorker(&worker, &db->keeper);
	MemoryContextSwitchTo(old);
	if (!started)
		db->keeper = NULL;
	db->started = worker_now();
	return started;
}

/* What databases there are. */
static void
look_at_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	int			kept = 0;

	for (int i = 0; i < known_count; i++)
		known[i].exists = false;
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		know(row->oid)->exists = true;
		know(row->oid)->connectable = row->datallowconn;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	for (int i = 0; i < known_count; i++)
	{
		if (known[i].exists || keeper_runs(&known[i]))
			known[kept++] = known[i];
	}
	known_count = kept;
}

/* Memory of databases that were there before the last look, and were not found by it. */
static void
forget_dropped(const Oid *before)
{
	for (uint32 i = 0; i < MAX_DATABASES; i++)
	{
		Oid			oid = shared->databases[i].oid;
		bool		exists = !OidIsValid(oid) || oid != before[i];

		for (int j = 0; j < known_count && !exists; j++)
			exists = known[j].oid == oid && known[j].exists;
		if (!exists && shared->databases[i].keeper_pid == 0)
			database_forget(i);
	}
}

/* Takes back what forgotten installations have left in memory. */
static void
reclaim_forgotten(void)
{
	for (uint32 i = 0; i < MAX_DATABASES; i++)
	{
		const Database *d = &shared->databases[i];

		if (OidIsValid(d->oid) || !OidIsValid(d->extension) || d->keeper_pid != 0)
			continue;
		database_forget(i);		/* again: its last keeper may have registered something since */
		load_recover(i);
		sweep_dropped(i);
		database_reclaim(i);
	}
}

static void
look(void)
{
	Oid			before[MAX_DATABASES];

	for (int i = 0; i < MAX_DATABASES; i++)
		before[i] = shared->databases[i].oid;
	look_at_databases();
	forget_dropped(before);
}

/* No worker slot: this process will be that database's keeper for a while. */
static void
visit(Oid database)
{
	bool		first;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	first = !shared->starved;
	shared->starved = true;
	shared->visit = shared->visited = database;
	LWLockRelease(directory_lock());
	if (first)
		ereport(LOG, (errmsg("no free worker slot for a baton keeper"),
					  errdetail("The launcher serves the databases in turn itself."),
					  errhint("Raise max_worker_processes by one for each database that uses "
							  "baton.")));
	proc_exit(1);				/* to be started again */
}

static bool
is_barren(Oid database)
{
	for (int i = 0; i < MAX_DATABASES; i++)
		if (shared->barren[i] == database)
			return true;
	return false;
}

/*
 * Which database is served next when there are no worker slots: those that are known to need it in turn, by oid;
 * those that haven't been looked into yet alternate with them.
 */
static Oid
next_visit(void)
{
	Oid			unknown = InvalidOid;
	Oid			above = InvalidOid;
	Oid			lowest = InvalidOid;

	for (int i = 0; i < known_count; i++)
	{
		Oid			oid = known[i].oid;

		if (!known[i].exists || !known[i].connectable || keeper_runs(&known[i]) ||
			has_keeper(oid) || database_held(oid))
			continue;
		if (!needs_keeper(oid))
		{
			if (!known[i].probed && !is_barren(oid))
				unknown = oid;
			continue;
		}
		if (!OidIsValid(lowest) || oid < lowest)
			lowest = oid;
		if (oid > shared->visited && (!OidIsValid(above) || oid < above))
			above = oid;
	}
	if (OidIsValid(unknown) && (!OidIsValid(lowest) || !shared->visited_unknown))
	{
		shared->visited_unknown = true;
		return unknown;
	}
	shared->visited_unknown = false;
	return OidIsValid(above) ? above : lowest;
}

static void
start_keepers(void)
{
	TimestampTz now = worker_now();

	for (int i = 0; i < known_count; i++)
	{
		Known	   *db = &known[i];

		if (!db->exists || !db->connectable || keeper_runs(db) || has_keeper(db->oid) || database_held(db->oid) ||
			((db->probed || is_barren(db->oid)) && !needs_keeper(db->oid)) ||
			(db->probed && now - db->started < RESTART_AFTER))
			continue;
		if (!start_keeper(db))
		{
			Oid			next = next_visit();

			if (OidIsValid(next))
				visit(next);
			return;
		}
		db->probed = true;
	}
}

/* Serves one database, or finds that there is nothing to serve; then makes room for the launcher. */
static void
visit_main(Oid database)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	shared->visit = InvalidOid;
	LWLockRelease(directory_lock());
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
	if (!keeper_serve(VISIT_SPAN) && !needs_keeper(database))
	{
		LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
		shared->barren[shared->barren_next++ % MAX_DATABASES] = database;
		LWLockRelease(directory_lock());
	}
	proc_exit(1);
}

static void
launcher_gone(int code, Datum arg)
{
	pg_atomic_write_u32(&shared->launcher_session, NONE);
}

void
baton_launcher_main(Datum arg)
{
	TimestampTz looked = 0;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(launcher_gone, 0);
	pg_atomic_write_u32(&shared->launcher_session, session_begin());
	if (OidIsValid(shared->visit))
		visit_main(shared->visit);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	for (;;)
	{
		TimestampTz now = worker_now();

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (pg_atomic_exchange_u32(&shared->launcher_wanted, 0) ||
			now - looked >= LOOK_EVERY * 1000)
		{
			look();
			looked = now;
		}
		reclaim_forgotten();
		start_keepers();
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000L,
						 BatonWaitEvent("BatonLauncher"));
		ResetLatch(MyLatch);
	}
}

void
workers_define(void)
{
	BackgroundWorker worker = {0};

	if (IsBinaryUpgrade)
		return;
	snprintf(worker.bgw_name, BGW_MAXLEN, "baton launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "baton launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "baton");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "baton_launcher_main");
	RegisterBackgroundWorker(&worker);
}
