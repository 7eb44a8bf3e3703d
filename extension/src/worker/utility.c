/*
 * worker/utility.c
 *	  Statements that concern the queues without naming them.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE ... TEMPLATE need a
 * database without other sessions: its keeper is asked to leave, and kept away until the
 * statement ends, however it ends.  So it is for DROP EXTENSION.  DISCARD ALL ends the session's
 * claims.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "tcop/utility.h"

#include "compat.h"
#include "memory/directory.h"
#include "queue/xact.h"
#include "worker/worker.h"

#define KEEPER_LEAVES_WITHIN (INT64CONST(5) * USECS_PER_SEC)

static ProcessUtility_hook_type previous_hook = NULL;

/* The name of the database that a statement wants for itself, or NULL. */
static const char *
wanted_database(Node *statement)
{
	ListCell   *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			return ((AlterDatabaseStmt *) statement)->dbname;
		case T_CreatedbStmt:
			foreach(cell, ((CreatedbStmt *) statement)->options)
			{
				DefElem    *option = lfirst_node(DefElem, cell);

				if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
					return defGetString(option);
			}
			return "template1";
		default:
			return NULL;
	}
}

/* Workers have locks on several of the extension's tables at a time: DROP EXTENSION would be in a deadlock with them. */
static bool
drops_extension(Node *statement)
{
	ListCell   *cell;

	if (!IsA(statement, DropStmt) || ((DropStmt *) statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) statement)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "baton") == 0)
			return true;
	}
	return false;
}

/* The database that a statement wants without workers; InvalidOid: none. */
static Oid
database_to_hold(Node *statement)
{
	const char *name = wanted_database(statement);

	if (drops_extension(statement))
		return MyDatabaseId;
	return name != NULL ? get_database_oid(name, true) : InvalidOid;
}

/* Returns the place of the hold, or -1 if there is no room: the statement then has to take its chance. */
static int
hold(Oid database)
{
	int			place = -1;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < (int) lengthof(shared->holds) && place < 0; i++)
	{
		if (OidIsValid(shared->holds[i].database) &&
			session_generation(shared->holds[i].session) == shared->holds[i].generation)
			continue;
		place = i;
		shared->holds[i].database = database;
		shared->holds[i].session = xact_session();
		shared->holds[i].generation = session_generation(shared->holds[i].session);
	}
	LWLockRelease(directory_lock());
	return place;
}

static void
release_hold(int place)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	shared->holds[place].database = InvalidOid;
	LWLockRelease(directory_lock());
	launcher_wake();
}

/*
 * The keeper leaves when it has done what it is at.  The cleaner may be at a count that takes minutes, and
 * is just as well ended anywhere.
 */
static bool
ask_keepers(Oid database)
{
	bool		there = false;

	for (uint32 i = 0; i < MAX_DATABASES; i++)
	{
		LWLockAcquire(directory_lock(), LW_SHARED);
		if (shared->databases[i].oid == database && shared->databases[i].cleaner_pid != 0)
			(void) kill(shared->databases[i].cleaner_pid, SIGTERM);
		LWLockRelease(directory_lock());
		if (shared->databases[i].oid != database ||
			(shared->databases[i].keeper_pid == 0 && shared->databases[i].cleaner_pid == 0))
			continue;
		there = true;
		keeper_wake(i);
	}
	return there;
}

/* The keeper sees the hold when it wakes up. */
static void
wait_for_keeper(Oid database)
{
	TimestampTz until = worker_now() + KEEPER_LEAVES_WITHIN;

	while (ask_keepers(database) && worker_now() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10L,
						 BatonWaitEvent("BatonKeeperLeave"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
run_next(PlannedStmt *statement, const char *text, bool read_only, ProcessUtilityContext context,
		 ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		 QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(statement, text, read_only, context, params, environment, dest,
					  completion);
	else
		standard_ProcessUtility(statement, text, read_only, context, params, environment,
								dest, completion);
}

/* Runs the statement while the keeper is away. */
static void
run_alone(Oid database, int place, PlannedStmt *statement, const char *text, bool read_only,
		  ProcessUtilityContext context, ParamListInfo params,
		  QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	PG_TRY();
	{
		wait_for_keeper(database);
		run_next(statement, text, read_only, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		release_hold(place);
	}
	PG_END_TRY();
}

static void
utility(PlannedStmt *statement, const char *text, bool read_only,
		ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		DestReceiver *dest, QueryCompletion *completion)
{
	Oid			database = database_to_hold(statement->utilityStmt);
	int			place = OidIsValid(database) ? hold(database) : -1;
	bool		discards = IsA(statement->utilityStmt, DiscardStmt) &&
						   ((DiscardStmt *) statement->utilityStmt)->target == DISCARD_ALL;

	if (place < 0)
		run_next(statement, text, read_only, context, params, environment, dest, completion);
	else
		run_alone(database, place, statement, text, read_only, context, params, environment, dest,
				  completion);
	if (discards)
		xact_end_claims();
	if (IsA(statement->utilityStmt, CreatedbStmt))
		launcher_wake();
}

void
utility_define(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
