/*
 * worker/cleaner.c
 *	  The keeper's helper for what takes long: counting segments, emptying them, compaction.
 *
 * Started when there is something to do, so that the keeper can go on loading, and gone when there has been nothing more for
 * a few seconds: where segments are small and follow each other quickly, starting a process costs more than what it does.
 */
#include "postgres.h"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "log/schema.h"
#include "memory/directory.h"
#include "queue/maintain.h"
#include "queue/resolve.h"
#include "queue/xact.h"
#include "worker/worker.h"

/* How often it looks for more to do, and how often in vain before it goes. */
#define LOOK_EVERY_MS 1000L
#define LOOKS_IN_VAIN 5

/*
 * The pause between two pieces of work.  A commit waits for the disk, and so for a worker of the kernel that may be bound to
 * the CPU which the cleaner keeps busy: thirty milliseconds of its work in one go cost every commit meanwhile several
 * milliseconds, the same in small pieces next to nothing.
 */
#define PAUSE_MS 20L
#define LONGEST_SLICE_NS 100000000

static uint32 my_database = NONE;

void
worker_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"row_security", "off"},
		{"synchronous_commit", "local"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Runs body in a transaction of its own, with a snapshot.  False: it raised an error, which is in the server's log by
 * now, and was rolled back.
 */
static bool
in_transaction(void (*body) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	StartTransactionCommand();
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		body(arg);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

typedef struct Step
{
	Cleanup    *cleanup;
	bool		more;
} Step;

/* Nothing to do where the extension has been dropped, or made anew, meanwhile. */
static void
take_step(void *arg)
{
	Step	   *step = arg;

	step->more = baton_database_if_any() == step->cleanup->database && cleanup_step(step->cleanup);
}

/* After an error the next step goes on with another segment, if it was about one. */
static bool
step(Cleanup *cleanup)
{
	Step		step = {.cleanup = cleanup};

	if (in_transaction(take_step, &step))
	{
		cleanup_succeeded(cleanup);
		return step.more;
	}
	cleanup_failed(cleanup);
	return cleanup->current != NONE;
}

bool
cleaner_run(uint32 database, int steps)
{
	Cleanup    *cleanup = MemoryContextAlloc(TopMemoryContext, sizeof(Cleanup));
	bool		more = true;
	int			done = 0;

	cleanup_begin(cleanup, database, false);
	cleanup->pause_ms = steps == 0 ? PAUSE_MS : 0;
	while (more && (steps == 0 || done++ < steps) && !database_held(MyDatabaseId))
	{
		CHECK_FOR_INTERRUPTS();
		more = step(cleanup);
		if (more)
			cleanup_nap(cleanup->pause_ms);
	}
	pfree(cleanup);
	return more;
}

/* One segment at a time, the next one in the next run. */
static void
freeze_one(uint32 database)
{
	uint32		segment;

	StartTransactionCommand();
	segment = freeze_wanted(database);
	CommitTransactionCommand();
	if (segment != NONE && !database_held(MyDatabaseId))
		freeze_segment(segment);
}

bool
cleaner_wanted(uint32 database)
{
	bool		wanted;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	wanted = baton_database_if_any() == database &&
			 (cleanup_needed(database) || freeze_wanted(database) != NONE);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return wanted;
}

bool
cleaner_start(uint32 database)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "baton cleaner for database %u", MyDatabaseId);
	snprintf(worker.bgw_type, BGW_MAXLEN, "baton cleaner");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "baton");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "baton_cleaner_main");
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

static void
cleaner_gone(int code, Datum arg)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	if (my_database != NONE && shared->databases[my_database].cleaner_pid == MyProcPid)
		shared->databases[my_database].cleaner_pid = 0;
	LWLockRelease(directory_lock());
}

/* Takes the cleaner's place; false if another one has it. */
static bool
take_place(void)
{
	const LogSchema *schema;
	uint32		database = NONE;

	StartTransactionCommand();
	schema = log_schema(true);
	if (schema != NULL)
		database = database_find(MyDatabaseId, schema->extension, false);
	CommitTransactionCommand();
	if (database == NONE || database_held(MyDatabaseId))
		return false;
	before_shmem_exit(cleaner_gone, 0);
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	if (shared->databases[database].cleaner_pid == 0)
	{
		shared->databases[database].cleaner_pid = MyProcPid;
		my_database = database;
	}
	LWLockRelease(directory_lock());
	return my_database != NONE;
}

/*
 * Asks for long slices of the CPU.  Since Linux 6.12 (EEVDF) who is woken and has a shorter one goes first; else it
 * may have to wait for the next tick of the clock, 4 ms or more.  Shares stay what they are, so that
 * nobody waits longer for a lock that the cleaner holds, as they would with a lower priority.  Where the kernel won't, nothing
 * is lost.
 */
static void
let_others_first(void)
{
#if defined(__linux__) && defined(SYS_sched_getattr) && defined(SYS_sched_setattr)
	/* struct sched_attr, first version: headers that have it collide with each other */
	struct
	{
		uint32		size;
		uint32		policy;
		uint64		flags;
		int32		nice;
		uint32		priority;
		uint64		runtime;	/* nanoseconds; of an ordinary process: its slice */
		uint64		deadline;
		uint64		period;
	}			attributes = {.size = sizeof(attributes)};

	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 ||
		attributes.policy != SCHED_OTHER)
		return;
	attributes.runtime = LONGEST_SLICE_NS;
	(void) syscall(SYS_sched_setattr, 0, &attributes, 0);
#endif
}

static void
serve(void)
{
	for (int in_vain = 0; in_vain < LOOKS_IN_VAIN && !database_held(MyDatabaseId);)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (cleaner_wanted(my_database))
		{
			in_vain = 0;
			pgstat_report_activity(STATE_RUNNING, "baton cleanup");
			cleaner_run(my_database, 0);
			freeze_one(my_database);
		}
		else
			in_vain++;
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) pgstat_report_stat(false);
		cleanup_nap(LOOK_EVERY_MS);
	}
}

void
baton_cleaner_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	worker_settings();
	xact_session();
	let_others_first();
	if (take_place())
		serve();
	proc_exit(0);
}
