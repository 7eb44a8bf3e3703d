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

/*
 * Enters n rows that are in the table, each slot with its TID, into all of its indexes.  Locks on indexes
 * are kept to the end of the transaction.
 */
extern void log_index_rows(Relation rel, TupleTableSlot **slots, int n);

/*
 * The column c of an index predicate that is `c IS NOT NULL` and nothing else;
 * 0 for any other predicate.
 */
extern AttrNumber log_predicate_column(List *predicate);

#endif
