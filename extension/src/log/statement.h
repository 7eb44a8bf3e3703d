/*
 * log/statement.h
 *	  One statement of SQL on the extension's own tables, off the hot path.
 *
 * Statements run as the extension's owner, so that nobody needs a grant on the tables.
 */
#ifndef BATON_LOG_STATEMENT_H
#define BATON_LOG_STATEMENT_H

#include "postgres.h"

#include "log/schema.h"
#include "utils/snapshot.h"

typedef struct Statement
{
	LogOwnerContext context;
	MemoryContext caller;		/* where results go that outlive the statement */
} Statement;

/* Between these two, statements can be run; the results of a run last until the next one or the end. */
extern void statement_begin(Statement *statement);
extern void statement_end(Statement *statement);

/*
 * Runs `sql`, where %1$s stands for the schema.  nulls: one character a value, 'n' for null, or NULL: none is.
 * Prepared once a session.  It sees what has committed until now, whatever the isolation level.  Raises an
 * error unless SPI answers with `expected`; returns the number of rows.
 */
extern uint64 statement_run(const char *sql, int nvalues, const Oid *types, const Datum *values,
							const char *nulls, int expected);

/* The same with a snapshot of the caller's, and the sql as it is. */
extern uint64 statement_run_as_of(Snapshot snapshot, const char *sql, int nvalues,
								  const Oid *types, const Datum *values, int expected);

/* A table's name with its schema, quoted, palloc'd.  An error if it has been dropped. */
extern char *statement_table(Oid table);

/* For a scan of whole tables: hash joins, and memory as for maintenance.  Until statement_end. */
extern void statement_plan_for_scan(void);

#endif
