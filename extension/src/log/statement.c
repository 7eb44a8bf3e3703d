/*
 * log/statement.c
 *	  One statement of SQL on the extension's own tables, off the hot path.
 */
#include "postgres.h"

#include "log/statement.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

void
statement_begin(Statement *statement)
{
	statement->caller = CurrentMemoryContext;
	log_enter_owner(&statement->context);
	SPI_connect();
}

void
statement_end(Statement *statement)
{
	SPI_finish();
	log_leave_owner(&statement->context);
}

static SPIPlanPtr
prepare(const char *sql, int nvalues, const Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nvalues, unconstify(Oid *, types));

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	return plan;
}

static uint64
run(Snapshot snapshot, SPIPlanPtr plan, const char *sql, const Datum *values,
	const char *nulls, int expected)
{
	int			result = SPI_execute_snapshot(plan, unconstify(Datum *, values), nulls, snapshot,
											  InvalidSnapshot, false, true, 0);

	if (result != expected)
		elog(ERROR, "unexpected result %d of: %s", result, sql);
	return SPI_processed;
}

/* Statements that were prepared in this session, by their text.  There are no more than those in our source. */
typedef struct Kept
{
	char	   *sql;
	SPIPlanPtr	plan;
} Kept;

static List *kept_statements = NIL;

static SPIPlanPtr
prepare_once(const char *sql, int nvalues, const Oid *types)
{
	ListCell   *cell;
	SPIPlanPtr	plan;
	Kept	   *kept;
	MemoryContext old;

	foreach(cell, kept_statements)
	{
		kept = lfirst(cell);
		if (strcmp(kept->sql, sql) == 0)
			return kept->plan;
	}
	plan = prepare(sql, nvalues, types);
	old = MemoryContextSwitchTo(TopMemoryContext);
	kept = palloc(sizeof(Kept));
	kept->sql = pstrdup(sql);
	kept->plan = plan;
	kept_statements = lappend(kept_statements, kept);
	MemoryContextSwitchTo(old);
	SPI_keepplan(plan);
	return plan;
}

uint64
statement_run(const char *sql, int nvalues, const Oid *types, const Datum *values,
			  const char *nulls, int expected)
{
	const char *schema = quote_identifier(get_namespace_name(log_schema(false)->namespace));
	char	   *text = psprintf(sql, schema);

	return run(GetLatestSnapshot(), prepare_once(text, nvalues, types), text, values, nulls,
			   expected);
}

uint64
statement_run_as_of(Snapshot snapshot, const char *sql, int nvalues, const Oid *types,
					const Datum *values, int expected)
{
	return run(snapshot, prepare(sql, nvalues, types), sql, values, NULL, expected);
}

char *
statement_table(Oid table)
{
	char	   *name = get_rel_name(table);

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("a table of the message log has been dropped")));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)), name);
}

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/* Tables of the log have no statistics, and without them an index probe for each row looks cheap. */
void
statement_plan_for_scan(void)
{
	set_locally("enable_nestloop", "off");
	set_locally("jit", "off");
	set_locally("max_parallel_workers_per_gather", "0");
	set_locally("work_mem", psprintf("%dkB", maintenance_work_mem));
}
