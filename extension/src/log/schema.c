/*
 * log/schema.c
 *	  Where the extension's tables are in the current database, and acting as their owner.
 */
#include "postgres.h"

#include "log/schema.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define EXTENSION_NAME "baton"

static LogSchema cached;
static bool cached_is_valid = false;

/* Rises whenever what is in `cached`, or just being looked up for it, may have changed. */
static uint64 invalidations = 0;

static void
schema_changed(Datum argument, Oid relation)
{
	if (cached_is_valid && OidIsValid(relation) && relation != cached.message_parent &&
		relation != cached.event_parent && relation != cached.queue_definition &&
		relation != cached.segment && relation != cached.id_block)
		return;
	cached_is_valid = false;
	invalidations++;
}

/* Fills what pg_extension knows; false: there is no such extension. */
static bool
look_up_extension(LogSchema *schema)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		schema->extension = form->oid;
		schema->namespace = form->extnamespace;
		schema->owner = form->extowner;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return OidIsValid(schema->extension);
}

/* False where it isn't there, or not yet: its install script is still running. */
static bool
look_up_schema(LogSchema *schema)
{
	memset(schema, 0, sizeof(*schema));
	if (!look_up_extension(schema))
		return false;
	schema->message_parent = get_relname_relid("message_log", schema->namespace);
	schema->event_parent = get_relname_relid("event_log", schema->namespace);
	schema->queue_definition = get_relname_relid("queue_definition", schema->namespace);
	schema->segment = get_relname_relid("segment", schema->namespace);
	schema->id_block = get_relname_relid("id_block", schema->namespace);
	return OidIsValid(schema->message_parent) && OidIsValid(schema->event_parent) &&
		OidIsValid(schema->queue_definition) && OidIsValid(schema->segment) &&
		OidIsValid(schema->id_block);
}

static void
raise_missing(const LogSchema *schema)
{
	if (OidIsValid(schema->extension))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" of this database is older than the server's library",
						EXTENSION_NAME),
				 errhint("Run ALTER EXTENSION %s UPDATE.", EXTENSION_NAME)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"%s\" is not installed in this database", EXTENSION_NAME),
			 errhint("Run CREATE EXTENSION %s.", EXTENSION_NAME)));
}

const LogSchema *
log_schema(bool missing_ok)
{
	static bool registered = false;
	LogSchema	fresh;
	uint64		before;

	if (cached_is_valid)
		return &cached;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(schema_changed, (Datum) 0);
		registered = true;
	}

	before = invalidations;
	if (!look_up_schema(&fresh))
	{
		if (missing_ok)
			return NULL;
		raise_missing(&fresh);
	}

	/* What was invalidated meanwhile serves this call, but is not kept. */
	cached = fresh;
	cached_is_valid = before == invalidations;
	return &cached;
}

/* ---- acting as the owner ---- */

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
}

void
log_enter_owner(LogOwnerContext *context)
{
	Oid			owner = log_schema(false)->owner;

	GetUserIdAndSecContext(&context->saved_user, &context->saved_context);
	SetUserIdAndSecContext(owner, context->saved_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	context->saved_guc_level = NewGUCNestLevel();
	set_locally("search_path", "pg_catalog, pg_temp");
}

void
log_leave_owner(const LogOwnerContext *context)
{
	AtEOXact_GUC(false, context->saved_guc_level);
	SetUserIdAndSecContext(context->saved_user, context->saved_context);
}

bool
log_extension_exists(Oid extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	bool		exists;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, &dirty, 1, &key);
	exists = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return exists;
}
