/*
 * worker/keeper.c
 *	  One a database: loads from the log, writes to it what happened in memory, tidies up.
 *
 * Producers and consumers don't wait for it.  A keeper that dies is started again and goes on.
 */
#include "postgres.h"

#include "access/xact.h"
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
#include "log/schema.h"
#include "log/segment.h"
#include "memory/directory.h"
#include "memory/waiters.h"
#include "queue/depth.h"
#include "queue/ending.h"
#include "queue/load.h"
#include "queue/maintain.h"
#include "queue/marks.h"
#include "queue/record.h"
#include "queue/resolve.h"
#include "queue/segments.h"
#include "queue/xact.h"
#include "worker/worker.h"

#define NAP_MAX (INT64CONST(1) * USECS_PER_SEC)
#define NAP_MIN INT64CONST(20000)
#define RETRY_AFTER (INT64CONST(5) * USECS_PER_SEC)

/* A duty returns whether there is more to do at once. */
typedef struct Duty
{
	const char *name;
	int64		every;			/* microseconds; 0: each time the keeper wakes up */
	bool		(*function) (uint32 database);
	TimestampTz next;
} Duty;

static uint32 my_database = NONE;

static bool
duty_timers(uint32 database)
{
	TimestampTz now = baton_now();

	for (uint32 q = 0; q < shared->queues; q++)
		if (queues[q].state == QUEUE_LIVE && queues[q].database == database)
			advance_timers_if_due(q, now);
	return false;
}

static bool
duty_sweep(uint32 database)
{
	sweep_dropped(database);
	sweep_purged_if_needed(database);
	return false;
}

static bool
duty_expire(uint32 database)
{
	depth_expire(database);
	return false;
}

/* Queues and tables that came by other ways than our functions: a restore. */
static bool
duty_adopt(uint32 database)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	adopt_segments(database);
	BATON_POINT("adopt-registered");
	/* without waiting: whoever is making a pair has the lock until its transaction ends */
	if (maintenance_lock(false) && log_segment_lock_if_free())
		adopt_rows(database);
	register_queues(database);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return false;
}

static bool
duty_load(uint32 database)
{
	if (pg_atomic_exchange_u32(&shared->databases[database].reload, 0))
		load_again(database);
	return load_round(database);
}

/*
 * Another segment for messages, and the end of writing to the last one.  What takes longer is the cleaner's.  Where it
 * can't be (an event trigger that allows no new tables), all the rest goes on.
 */
static bool
duty_rotate(uint32 database)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (maintenance_lock(false))
	{
		rotate_segment(database, false, false);
		close_segments(database);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return false;
}

static bool
duty_marks(uint32 database)
{
	marks_raise(database);
	return false;
}

static bool
duty_clean(uint32 database)
{
	if (shared->databases[database].cleaner_pid != 0)	/* it looks for itself */
		return false;
	if (cleaner_wanted(database) && !cleaner_start(database))
		return cleaner_run(database, 1);
	return false;
}

/* The backstop: those who notice first are the holder's own exit and the consumers. */
static bool
duty_hung(uint32 database)
{
	end_hung_claims(database);
	return false;
}

static bool
duty_recover(uint32 database)
{
	if (shared->databases[database].outcomes_lost)
		record_recover(database);
	return false;
}

static Duty duties[] = {
	{"timers", 0, duty_timers, 0},
	{"adopt tables and queues", 5 * USECS_PER_SEC, duty_adopt, 0},
	{"load", 0, duty_load, 0},
	{"rotate", USECS_PER_SEC / 5, duty_rotate, 0},
	{"record outcomes", 0, record_outcomes, 0},
	{"end hung claims", 10 * USECS_PER_SEC, duty_hung, 0},
	{"sweep dropped queues", 0, duty_sweep, 0},
	{"expire", USECS_PER_SEC, duty_expire, 0},
	{"raise marks", 5 * USECS_PER_SEC, duty_marks, 0},
	{"clean", USECS_PER_SEC, duty_clean, 0},
	{"recover lost outcomes", 5 * USECS_PER_SEC, duty_recover, 0},
};

static void
keeper_gone(int code, Datum arg)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	if (my_database != NONE && shared->databases[my_database].keeper_pid == MyProcPid)
	{
		shared->databases[my_database].keeper_pid = 0;
		shared->databases[my_database].keeper_session = NONE;
	}
	LWLockRelease(directory_lock());
	launcher_wake();
}

/*
 * Forgets other installations of the extension in this database that are no more.  One that a transaction
 * is just making counts.
 */
static void
forget_others(uint32 database)
{
	StartTransactionCommand();
	for (uint32 i = 0; i < MAX_DATABASES; i++)
		if (i != database && shared->databases[i].oid == MyDatabaseId &&
			!log_extension_exists(shared->databases[i].extension))
			database_forget(i);
	CommitTransactionCommand();
}

/* The extension's entry in shared memory; NONE if it isn't installed. */
static uint32
installation(void)
{
	const LogSchema *schema;
	uint32		database = NONE;

	StartTransactionCommand();
	schema = log_schema(true);
	if (schema != NULL)
		database = database_find(MyDatabaseId, schema->extension, true);
	CommitTransactionCommand();
	return database;
}

/* Takes the keeper's place; false if another one has it. */
static bool
take_place(uint32 database)
{
	Database   *d = &shared->databases[database];
	bool		mine;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	mine = d->keeper_pid == 0;
	if (mine)
	{
		d->keeper_pid = MyProcPid;
		d->keeper_session = xact_session();
		my_database = database;
	}
	LWLockRelease(directory_lock());
	return mine;
}

/*
 * A duty that raises an error, since somebody has changed the log by hand or the disk is full, doesn't keep the
 * others from theirs.  What it was doing is put right as after the death of a keeper.
 */
static bool
run_duty(Duty *duty, uint32 database)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool more = false;

	PG_TRY();
	{
		more = duty->function(database);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		errcontext("baton keeper: %s", duty->name);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		load_recover(database);
		record_recover(database);
		duty->next = worker_now() + RETRY_AFTER;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return more;
}

static bool
work(uint32 database)
{
	bool		more = false;

	for (size_t i = 0; i < lengthof(duties); i++)
	{
		TimestampTz now = worker_now();

		CHECK_FOR_INTERRUPTS();
		if (duties[i].next > now)
			continue;
		duties[i].next = duties[i].every ? now + duties[i].every : 0;
		BATON_POINT("keeper-duty");
		more |= run_duty(&duties[i], database);
	}
	return more;
}

static int64
time_to_sleep(uint32 database)
{
	TimestampTz next = PG_INT64_MAX;
	TimestampTz now = baton_now();

	for (uint32 q = 0; q < shared->queues; q++)
	{
		if (queues[q].state != QUEUE_LIVE || queues[q].database != database)
			continue;
		next = Min(next, (int64) pg_atomic_read_u64(&queues[q].next_due));
		if (queues[q].parked)	/* what is parked may be due right after what is loaded */
			next = Min(next, queues[q].due_loaded);
	}
	if (next <= now)
		return NAP_MIN;
	return Min(NAP_MAX, Max(NAP_MIN, next - now));
}

bool
keeper_serve(int64 span)
{
	TimestampTz start = worker_now();
	uint32		database;
	bool		more = true;

	worker_settings();
	if (database_held(MyDatabaseId))
		return false;
	database = installation();
	forget_others(database);
	if (database == NONE || !take_place(database))
		return false;
	before_shmem_exit(keeper_gone, 0);
	load_recover(database);
	record_recover(database);

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (database_held(MyDatabaseId))
			return false;
		if (installation() != database)
		{
			forget_others(NONE);
			return false;
		}
		if (span > 0 && worker_now() - start > span)
			return true;
		pg_atomic_write_u32(&shared->databases[database].keeper_wanted, 0);
		more = work(database);
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) pgstat_report_stat(false);	/* or autovacuum never learns of our small tables' dead rows */
		if (!more)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 (long) (time_to_sleep(database) / 1000),
							 BatonWaitEvent("BatonKeeper"));
			ResetLatch(MyLatch);
		}
	}
}

void
baton_keeper_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	keeper_serve(0);
	proc_exit(0);
}
