/*
 * log/indexing.c
 *	  Index entries for rows that were just appended.
 *
 * To find out from the catalog what indexes a table has, and of which columns, takes about
 * as long as to insert a row.  So each backend remembers it until the server
 * says that something about a table has changed.  An index that the row has no entry in isn't even opened.
 *
 * That holds for plain indexes: btrees of columns by PostgreSQL's own operators, not unique, of all rows or of those
 * where a column isn't null.  Nothing that a user wrote runs while a row is entered into one, so nothing appends rows
 * meanwhile.  Segments have no others.  If somebody adds another kind by
 * hand, the rows of that table go through the executor.
 */
#include "postgres.h"

#include "log/indexing.h"

#include "access/genam.h"
#include "access/transam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "compat.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct PlainIndex
{
	Oid			oid;
	IndexInfo  *info;
	AttrNumber	not_null;		/* it lacks rows where this column is null; 0: it has all */
} PlainIndex;

struct TableIndexes
{
	Oid			table;			/* key */
	bool		known;			/* the rest is filled in */
	bool		plain;			/* all of them are, and in the array */
	int			count;
	PlainIndex *indexes;
};

/* What is known, in a context of its own.  Thrown away as a whole by who looks next, not by the callback:
 * that runs while an index is opened, too. */
static HTAB *tables = NULL;
static MemoryContext tables_context = NULL;
static bool outdated = false;

AttrNumber
log_predicate_column(List *predicate)
{
	NullTest   *test;
	Var		   *var;

	if (list_length(predicate) != 1 || !IsA(linitial(predicate), NullTest))
		return 0;
	test = linitial_node(NullTest, predicate);
	if (test->nulltesttype != IS_NOT_NULL || test->argisrow || !IsA(test->arg, Var))
		return 0;
	var = (Var *) test->arg;
	return var->varattno > 0 ? var->varattno : 0;
}

/* ---- what is known ---- */

static void
table_changed(Datum argument, Oid relation)
{
	outdated = true;
}

static void
start_knowing(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(TableIndexes)};

	if (tables_context == NULL)
	{
		tables_context = AllocSetContextCreate(TopMemoryContext, "baton indexes",
											   ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
	}
	tables = NULL;
	MemoryContextReset(tables_context);
	outdated = false;
	ctl.hcxt = tables_context;
	tables = hash_create("baton indexes", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* False: the index isn't plain. */
static bool
describe_index(Oid oid, PlainIndex *out)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);
	bool		plain;

	out->oid = oid;
	out->info = info;
	out->not_null = log_predicate_column(info->ii_Predicate);
	plain = index->rd_rel->relam == BTREE_AM_OID && !info->ii_Unique &&
		info->ii_ExclusionOps == NULL && info->ii_Expressions == NIL &&
		(info->ii_Predicate == NIL || out->not_null != 0);
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
		plain = plain && index->rd_opfamily[i] < FirstNormalObjectId;
	index_close(index, NoLock);
	return plain;
}

static void
describe_indexes(Relation rel, TableIndexes *table)
{
	MemoryContext old = MemoryContextSwitchTo(tables_context);
	List	   *oids = RelationGetIndexList(rel);
	ListCell   *cell;

	table->plain = true;
	table->count = 0;
	table->indexes = palloc(sizeof(PlainIndex) * Max(list_length(oids), 1));
	foreach(cell, oids)
	{
		if (!describe_index(lfirst_oid(cell), &table->indexes[table->count++]))
			table->plain = false;
	}
	table->known = true;
	MemoryContextSwitchTo(old);
}

/* The table is locked, so an index that has to have its rows is known to the catalog already. */
const TableIndexes *
log_plain_indexes(Relation rel)
{
	TableIndexes *table;
	bool		found;

	if (tables == NULL || outdated)
		start_knowing();
	table = hash_search(tables, &RelationGetRelid(rel), HASH_ENTER, &found);
	if (!found)
		table->known = false;
	if (!table->known)
		describe_indexes(rel, table);
	return table->plain ? table : NULL;
}

/* ---- entries ---- */

/* *index: NULL before the first row that has an entry in it, which opens it. */
static void
enter_row(Relation rel, const PlainIndex *plain, Relation *index, Columns row, ItemPointer tid)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	if (plain->not_null != 0 && row.isnull[plain->not_null - 1])
		return;
	for (int i = 0; i < plain->info->ii_NumIndexAttrs; i++)
	{
		AttrNumber	column = plain->info->ii_IndexAttrNumbers[i];

		values[i] = row.values[column - 1];
		isnull[i] = row.isnull[column - 1];
	}
	if (*index == NULL)
		*index = index_open(plain->oid, RowExclusiveLock);
	index_insert(*index, values, isnull, tid, rel, UNIQUE_CHECK_NO, false, plain->info);
}

static void
enter_by_executor(Relation rel, TupleTableSlot **slots, int n)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	InitResultRelInfo(result, rel, 0, NULL, 0);
	ExecOpenIndices(result, false);
	for (int i = 0; i < n; i++)
	{
		BatonExecInsertIndexTuples(result, slots[i], estate);
		ResetPerTupleExprContext(estate);
	}
	ExecCloseIndices(result);
	FreeExecutorState(estate);
}

void
log_index_row(Relation rel, const TableIndexes *table, Columns row, ItemPointer tid)
{
	for (int i = 0; i < table->count; i++)
	{
		Relation	index = NULL;

		if (table->indexes[i].info->ii_ReadyForInserts)
			enter_row(rel, &table->indexes[i], &index, row, tid);
		if (index != NULL)
			index_close(index, NoLock);
	}
}

void
log_index_rows(Relation rel, TupleTableSlot **slots, int n)
{
	const TableIndexes *table = log_plain_indexes(rel);

	if (table == NULL)
	{
		enter_by_executor(rel, slots, n);
		return;
	}
	for (int i = 0; i < table->count; i++)
	{
		Relation	index = NULL;

		for (int j = 0; j < n && table->indexes[i].info->ii_ReadyForInserts; j++)
			enter_row(rel, &table->indexes[i], &index, slot_columns(slots[j]), &slots[j]->tts_tid);
		if (index != NULL)
			index_close(index, NoLock);
	}
}
