/*
 * log/truncate.c
 *	  Emptying a pair of tables without an fsync, and dropping it.
 *
 * TRUNCATE builds each index anew, and btree's build ends with an fsync of the index's file: six of them a pair, each
 * of which the WAL's own flushes, and so every commit, may have to wait for in the file system's journal.
 * An empty btree is a page, though, and one that is written through shared buffers and the WAL is as safe without: the
 * next checkpoint takes care of it.  All else is as TRUNCATE does it: new files, which count when the transaction
 * has committed; tables get one even when they are empty, as with it their freeze age begins anew.
 */
#include "postgres.h"

#include "log/truncate.h"
#include "log/statement.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xloginsert.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "commands/tablecmds.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* The only page that a btree without entries has. */
static void
write_metapage(Relation index)
{
	bool		equal_images = _bt_allequalimage(index, false);
	Buffer		buffer = ReadBuffer(index, P_NEW);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	Assert(BufferGetBlockNumber(buffer) == BTREE_METAPAGE);
	START_CRIT_SECTION();
	_bt_initmetapage(BufferGetPage(buffer), P_NONE, 0, equal_images);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(index))
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

/* One that never had an entry stays as it is; of six, that is usually four: those by time, and those of TOAST. */
static void
empty_index(Oid oid)
{
	Relation	index = relation_open(oid, AccessExclusiveLock);

	CheckTableNotInUse(index, "TRUNCATE");
	if (RelationGetNumberOfBlocks(index) != BTREE_METAPAGE + 1)
	{
		BatonSetNewStorage(index);
		write_metapage(index);
	}
	relation_close(index, NoLock);
}

/* A table with its indexes, then its TOAST table. */
static void
empty_table(Oid oid)
{
	Relation	rel = table_open(oid, AccessExclusiveLock);
	List	   *indexes = RelationGetIndexList(rel);
	Oid			toast = rel->rd_rel->reltoastrelid;
	ListCell   *cell;

	CheckTableNotInUse(rel, "TRUNCATE");
	BatonSetNewStorage(rel);
	foreach(cell, indexes)
		empty_index(lfirst_oid(cell));
	pgstat_count_truncate(rel);
	table_close(rel, NoLock);
	if (OidIsValid(toast))
		empty_table(toast);
}

/* Somebody may have added an index of another kind by hand; and who decodes the WAL is told of a TRUNCATE. */
static bool
is_simple(Oid table)
{
	Relation	rel = table_open(table, AccessExclusiveLock);
	bool		simple = !RelationIsLogicallyLogged(rel);
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = relation_open(lfirst_oid(cell), AccessExclusiveLock);

		simple = simple && index->rd_rel->relam == BTREE_AM_OID;
		relation_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return simple;
}

/* Runs a utility statement with the names of both tables in it, as the extension's owner. */
static void
run_on_pair(const LogSegment *segment, const char *format)
{
	Statement	statement;

	statement_begin(&statement);
	statement_run_as_of(GetLatestSnapshot(),
						psprintf(format, statement_table(segment->messages),
								 statement_table(segment->events)),
						0, NULL, NULL, SPI_OK_UTILITY);
	statement_end(&statement);
}

void
log_segment_truncate(const LogSegment *segment)
{
	if (!is_simple(segment->messages) || !is_simple(segment->events))
	{
		run_on_pair(segment, "TRUNCATE ONLY %s, ONLY %s");
		return;
	}
	empty_table(segment->messages);
	empty_table(segment->events);
}

void
log_segment_drop(const LogSegment *segment)
{
	run_on_pair(segment, "DROP TABLE %s, %s");
}
