/*
 * log/indexing.h
 *	  Index entries for rows that were just appended.  For the files of log/ only.
 */
#ifndef BATON_LOG_INDEXING_H
#define BATON_LOG_INDEXING_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "log/row.h"

/* The indexes of a table, if all are plain: see indexing.c. */
typedef struct TableIndexes TableIndexes;

/* NULL: some aren't.  Good until it is called again; the caller has a lock on the table. */
extern const TableIndexes *log_plain_indexes(Relation rel);

/* Enters one row, that is at tid, into all of those that it belongs to. */
extern void log_index_row(Relation rel, const TableIndexes *indexes, Columns row, ItemPointer tid);

/*
 * Enters n rows that are in the table, each slot with its TID, into all of its indexes, whatever these are.  Here as
 * above, locks on indexes are kept to the end of the transaction.
 */
extern void log_index_rows(Relation rel, TupleTableSlot **slots, int n);

/*
 * The column c of an index predicate that is `c IS NOT NULL` and nothing else;
 * 0 for any other predicate.
 */
extern AttrNumber log_predicate_column(List *predicate);

#endif
