/*
 * worker/freeze.c
 *	  Freezing segments that live long, before the server has to.
 *
 * Autovacuum is off for tables of the log, as there is nothing in them to clean.  But rows must be frozen
 * before they are autovacuum_freeze_max_age transactions old, or autovacuum comes all the same, at a time
 * and in a number of its own choice.  So each segment is vacuumed once at half that age, one at a time.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "postmaster/autovacuum.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/syscache.h"

#include "memory/memory.h"
#include "worker/worker.h"

static bool
is_old(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	TransactionId frozen;
	int32		age;

	if (!HeapTupleIsValid(tuple))
		return false;
	frozen = ((Form_pg_class) GETSTRUCT(tuple))->relfrozenxid;
	ReleaseSysCache(tuple);
	if (!TransactionIdIsNormal(frozen))
		return false;
	age = (int32) (ReadNextTransactionId() - frozen);
	return age > autovacuum_freeze_max_age / 2;
}

/* An old snapshot may have kept rows from being frozen: not again at once. */
#define AGAIN_AFTER (INT64CONST(600) * USECS_PER_SEC)

uint32
freeze_wanted(uint32 database)
{
	TimestampTz now = worker_now();

	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		const Segment *s = &segments[i];

		if (s->used && !s->pending && s->database == database && s->state != SEGMENT_FREE &&
			now - s->frozen_at >= AGAIN_AFTER && (is_old(s->messages) || is_old(s->events)))
			return i;
	}
	return NONE;
}

/* VACUUM is a statement that commits by itself, so it is run as a client's would be. */
static void
run_vacuum(const char *sql)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));
	PlannedStmt *statement = makeNode(PlannedStmt);

	statement->commandType = CMD_UTILITY;
	statement->canSetTag = false;
	statement->utilityStmt = raw->stmt;
	statement->stmt_location = raw->stmt_location;
	statement->stmt_len = raw->stmt_len;
	ProcessUtility(statement, sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver,
				   NULL);
}

static void
freeze_table(Oid table)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "baton freeze", ALLOCSET_DEFAULT_SIZES);
	char	   *name;

	StartTransactionCommand();
	name = get_rel_name(table);
	if (name != NULL)
	{
		MemoryContextSwitchTo(context);
		PortalContext = context;	/* where VACUUM keeps what outlives its transactions */
		run_vacuum(psprintf("VACUUM (FREEZE, INDEX_CLEANUP off, TRUNCATE off, SKIP_LOCKED) %s",
							quote_qualified_identifier(
								get_namespace_name(get_rel_namespace(table)), name)));
		PortalContext = NULL;
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
}

void
freeze_segment(uint32 segment)
{
	Oid			messages = segments[segment].messages;
	Oid			events = segments[segment].events;

	segments[segment].frozen_at = worker_now();
	freeze_table(messages);
	freeze_table(events);
}
