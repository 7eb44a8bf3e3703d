/*
 * log/segment.c
 *	  The pairs of tables that make up the log: which there are, and making one.
 *
 * The list is taken without locks on the tables, so that nobody who asks which segments
 * there are waits for one that is being truncated.  What it says may be out of date at
 * once; whoever uses a segment locks it and opens it then.
 */
#include "postgres.h"

#include "log/segment.h"
#include "log/indexing.h"
#include "log/row.h"
#include "log/schema.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/extension.h"
#include "commands/tablespace.h"
#include "compat.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/nodes.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define MESSAGES_PREFIX "message_log_"
#define EVENTS_PREFIX "event_log_"

/* ---- which there are ---- */

/* The N of a table called <prefix>N, 0 if it isn't called so. */
static int32
number_of(const char *name, const char *prefix)
{
	size_t		length = strlen(prefix);
	long		number;
	char	   *end;

	if (strncmp(name, prefix, length) != 0 || name[length] < '1' || name[length] > '9')
		return 0;
	errno = 0;
	number = strtol(name + length, &end, 10);
	if (*end != '\0' || errno != 0 || number > PG_INT32_MAX)
		return 0;
	return (int32) number;
}

/* The column that an index's predicate wants not null; 0: no predicate, -1: another one. */
static int
index_requires(HeapTuple index)
{
	Datum		datum;
	bool		isnull;
	Node	   *node;
	AttrNumber	column;

	datum = SysCacheGetAttr(INDEXRELID, index, Anum_pg_index_indpred, &isnull);
	if (isnull)
		return 0;
	node = stringToNode(TextDatumGetCString(datum));
	column = log_predicate_column(list_make1(node));
	return column != 0 ? column : -1;
}

static bool
index_is(Oid index, const AttrNumber *columns, int ncolumns, AttrNumber not_null)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		is;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	is = form->indisvalid && form->indisready && form->indnkeyatts >= ncolumns &&
		index_requires(tuple) == not_null;
	for (int i = 0; is && i < ncolumns; i++)
		is = form->indkey.values[i] == columns[i];
	ReleaseSysCache(tuple);
	return is;
}

static bool
has_index(List *indexes, const AttrNumber *columns, int ncolumns, AttrNumber not_null)
{
	ListCell   *cell;

	foreach(cell, indexes)
	{
		if (index_is(lfirst_oid(cell), columns, ncolumns, not_null))
			return true;
	}
	return false;
}

/* NIL too where the table has just been dropped, or isn't a plain one. */
static List *
index_list(Oid table)
{
	Relation	rel = RelationIdGetRelation(table);
	List	   *indexes = NIL;

	if (!RelationIsValid(rel))
		return NIL;
	if (rel->rd_rel->relkind == RELKIND_RELATION)
		indexes = RelationGetIndexList(rel);
	RelationClose(rel);
	return indexes;
}

static bool
is_complete(const LogSegment *segment)
{
	static const AttrNumber lane[] = {MESSAGE_QUEUE_ID, MESSAGE_PRIORITY, MESSAGE_ID};
	static const AttrNumber due_messages[] = {MESSAGE_QUEUE_ID, MESSAGE_DELIVER_AT};
	static const AttrNumber message[] = {EVENT_MESSAGE_ID};
	static const AttrNumber due_events[] = {EVENT_QUEUE_ID, EVENT_DELIVER_AT};
	List	   *of_messages = index_list(segment->messages);
	List	   *of_events = index_list(segment->events);

	return has_index(of_messages, lane, lengthof(lane), 0) &&
		has_index(of_messages, due_messages, lengthof(due_messages), MESSAGE_DELIVER_AT) &&
		has_index(of_events, message, lengthof(message), 0) &&
		has_index(of_events, due_events, lengthof(due_events), EVENT_DELIVER_AT);
}

/* The children of a parent that are in the extension's schema. */
static List *
children_of(Oid parent)
{
	List	   *children = find_inheritance_children(parent, NoLock);
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, children)
	{
		if (get_rel_namespace(lfirst_oid(cell)) == log_schema(false)->namespace)
			result = lappend_oid(result, lfirst_oid(cell));
	}
	return result;
}

static int
compare_segments(const void *a, const void *b)
{
	int32		x = ((const LogSegment *) a)->number;
	int32		y = ((const LogSegment *) b)->number;

	return x < y ? -1 : x > y;
}

/* Fills the segment whose message table this is; false: it isn't one, or not complete. */
static bool
describe_segment(Oid messages, List *event_tables, LogSegment *out)
{
	char	   *name = get_rel_name(messages);

	out->number = name != NULL ? number_of(name, MESSAGES_PREFIX) : 0;
	if (out->number == 0)
		return false;
	out->messages = messages;
	out->events = get_relname_relid(psprintf(EVENTS_PREFIX "%d", out->number),
									log_schema(false)->namespace);
	return OidIsValid(out->events) && list_member_oid(event_tables, out->events) &&
		is_complete(out);
}

LogSegment *
log_segment_list(int *count)
{
	List	   *message_tables;
	List	   *event_tables;
	LogSegment *segments;
	ListCell   *cell;

	AcceptInvalidationMessages();
	message_tables = children_of(log_schema(false)->message_parent);
	event_tables = children_of(log_schema(false)->event_parent);
	segments = palloc(sizeof(LogSegment) * Max(list_length(message_tables), 1));

	*count = 0;
	foreach(cell, message_tables)
	{
		if (describe_segment(lfirst_oid(cell), event_tables, &segments[*count]))
			(*count)++;
	}
	qsort(segments, *count, sizeof(LogSegment), compare_segments);
	return segments;
}

bool
log_segment_of_table(Oid table, LogSegment *out)
{
	Oid			namespace = log_schema(false)->namespace;
	char	   *name = get_rel_namespace(table) == namespace ? get_rel_name(table) : NULL;

	if (name == NULL)
		return false;
	out->number = Max(number_of(name, MESSAGES_PREFIX), number_of(name, EVENTS_PREFIX));
	if (out->number == 0)
		return false;
	out->messages = get_relname_relid(psprintf(MESSAGES_PREFIX "%d", out->number), namespace);
	out->events = get_relname_relid(psprintf(EVENTS_PREFIX "%d", out->number), namespace);
	return OidIsValid(out->messages) && OidIsValid(out->events);
}

static int32
highest_number(List *tables, const char *prefix)
{
	int32		highest = 0;
	ListCell   *cell;

	foreach(cell, tables)
	{
		char	   *name = get_rel_name(lfirst_oid(cell));

		if (name != NULL)
			highest = Max(highest, number_of(name, prefix));
	}
	return highest;
}

int32
log_segment_next_number(void)
{
	int32		highest;

	AcceptInvalidationMessages();
	highest = Max(highest_number(children_of(log_schema(false)->message_parent), MESSAGES_PREFIX),
				  highest_number(children_of(log_schema(false)->event_parent), EVENTS_PREFIX));
	return highest + 1;
}

/* As try_relation_open(), but for its look into the catalog, which the relation cache has had. */
Relation
log_table_open(Oid table, LOCKMODE mode)
{
	Relation	rel;

	LockRelationOid(table, mode);
	rel = RelationIdGetRelation(table);
	if (!RelationIsValid(rel))
	{
		UnlockRelationOid(table, mode);
		return NULL;
	}
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" of the log is no heap any more", RelationGetRelationName(rel)),
				 errhint("Set its access method to heap again.")));
	BatonCountRelation(rel);
	return rel;
}

/* ---- making one ---- */

void
log_segment_lock(void)
{
	LockRelationOid(log_schema(false)->message_parent, ShareUpdateExclusiveLock);
}

void
log_segment_unlock(void)
{
	UnlockRelationOid(log_schema(false)->message_parent, ShareUpdateExclusiveLock);
}

bool
log_segment_lock_if_free(void)
{
	return ConditionalLockRelationOid(log_schema(false)->message_parent,
									  ShareUpdateExclusiveLock);
}

/*
 * The statements that make pair `number`.
 *
 * Rows are never updated or deleted, so there is nothing for autovacuum to do (its
 * insert-triggered runs would read each segment once more for nothing), and pages are
 * filled to the top.  Indexes keep their default fill factor: ids of concurrent senders come
 * a little out of order, and would split full pages.  An event names a message once or a
 * few times and a message is in the lane index once, so deduplication isn't worth its look.
 * Payloads of up to a page stay in the row.
 */
static char *
segment_ddl(const char *schema, int32 number)
{
	StringInfoData ddl;

#define DDL(...) appendStringInfo(&ddl, __VA_ARGS__)
	initStringInfo(&ddl);
	DDL("CREATE TABLE %s." MESSAGES_PREFIX "%d () INHERITS (%s.message_log) USING heap"
		" WITH (fillfactor = 100, toast_tuple_target = 8160,"
		" autovacuum_enabled = off, toast.autovacuum_enabled = off);",
		schema, number, schema);
	DDL("CREATE TABLE %s." EVENTS_PREFIX "%d () INHERITS (%s.event_log) USING heap"
		" WITH (fillfactor = 100,"
		" autovacuum_enabled = off, toast.autovacuum_enabled = off);",
		schema, number, schema);
#ifdef USE_LZ4
	DDL("ALTER TABLE %s." MESSAGES_PREFIX "%d ALTER headers SET COMPRESSION lz4,"
		" ALTER payload SET COMPRESSION lz4;",
		schema, number);
	DDL("ALTER TABLE %s." EVENTS_PREFIX "%d ALTER detail SET COMPRESSION lz4;", schema,
		number);
#endif
	DDL("CREATE INDEX " MESSAGES_PREFIX "%d_lane ON %s." MESSAGES_PREFIX "%d"
		" (queue_id, priority, id) WITH (deduplicate_items = off);",
		number, schema, number);
	DDL("CREATE INDEX " MESSAGES_PREFIX "%d_due ON %s." MESSAGES_PREFIX "%d"
		" (queue_id, deliver_at) WHERE deliver_at IS NOT NULL;",
		number, schema, number);
	DDL("CREATE INDEX " EVENTS_PREFIX "%d_message ON %s." EVENTS_PREFIX "%d"
		" (message_id) WITH (deduplicate_items = off);",
		number, schema, number);
	DDL("CREATE INDEX " EVENTS_PREFIX "%d_due ON %s." EVENTS_PREFIX "%d"
		" (queue_id, deliver_at) WHERE deliver_at IS NOT NULL;",
		number, schema, number);
#undef DDL
	return ddl.data;
}

/* Segments go where their parent is, whatever default the session has set. */
static void
set_tablespace(void)
{
	Oid			tablespace = get_rel_tablespace(log_schema(false)->message_parent);
	char	   *name = OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL;

	(void) set_config_option("default_tablespace", name != NULL ? name : "", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
run_as_owner(const char *ddl)
{
	LogOwnerContext context;

	log_enter_owner(&context);
	set_tablespace();
	SPI_connect();
	if (SPI_execute(ddl, false, 0) < 0)
		elog(ERROR, "could not run: %s", ddl);
	SPI_finish();
	log_leave_owner(&context);
}

/*
 * A table made while an install script runs, of this extension or of another one whose
 * script sends a message, would become a member of that extension.
 */
static void
run_outside_extension(const char *ddl)
{
	bool		saved = creating_extension;

	creating_extension = false;
	PG_TRY();
	{
		run_as_owner(ddl);
	}
	PG_FINALLY();
	{
		creating_extension = saved;
	}
	PG_END_TRY();
}

static bool
depends_on_extension(Oid table)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		depends = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, DependDependerIndexId, true, NULL, 2, keys);
	while (!depends && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		depends = form->refclassid == ExtensionRelationId &&
			form->refobjid == log_schema(false)->extension;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return depends;
}

static void
depend_on_extension(Oid table)
{
	ObjectAddress child;
	ObjectAddress extension;

	if (depends_on_extension(table))
		return;
	ObjectAddressSet(child, RelationRelationId, table);
	ObjectAddressSet(extension, ExtensionRelationId, log_schema(false)->extension);
	recordDependencyOn(&child, &extension, DEPENDENCY_AUTO);
}

void
log_segment_adopt(const LogSegment *segment)
{
	depend_on_extension(segment->messages);
	depend_on_extension(segment->events);
	CommandCounterIncrement();
}

LogSegment
log_segment_create(int32 number)
{
	const LogSchema *schema = log_schema(false);
	const char *namespace = quote_identifier(get_namespace_name(schema->namespace));
	Oid			namespace_id = schema->namespace;
	LogSegment	segment;

	run_outside_extension(segment_ddl(namespace, number));
	CommandCounterIncrement();

	segment.number = number;
	segment.messages = get_relname_relid(psprintf(MESSAGES_PREFIX "%d", number), namespace_id);
	segment.events = get_relname_relid(psprintf(EVENTS_PREFIX "%d", number), namespace_id);
	log_segment_adopt(&segment);
	return segment;
}
