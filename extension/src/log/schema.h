/*
 * log/schema.h
 *	  Where the extension's tables are in the current database.
 */
#ifndef BATON_LOG_SCHEMA_H
#define BATON_LOG_SCHEMA_H

#include "postgres.h"

typedef struct LogSchema
{
	Oid			extension;		/* pg_extension.oid: an installation's identity */
	Oid			namespace;		/* schema baton */
	Oid			owner;			/* role that owns the extension */
	Oid			message_parent; /* baton.message_log */
	Oid			event_parent;	/* baton.event_log */
	Oid			queue_definition;
	Oid			segment;
	Oid			id_block;		/* sequence baton.id_block */
} LogSchema;

/*
 * The schema of the current database, cached in the backend and dropped from
 * the cache by the invalidation of any of its relations.
 * missing_ok: returns NULL where the extension is not installed, or its objects are of an older version than
 * this library; otherwise raises 55000 (object_not_in_prerequisite_state) with a hint.
 * Result is valid until the next call.  Needs a transaction.
 */
extern const LogSchema *log_schema(bool missing_ok);

/*
 * Whether that installation exists, is just being made, or is being dropped by a transaction that is still open.
 * Needs a transaction.
 */
extern bool log_extension_exists(Oid extension);

/*
 * Runs what is between as the extension's owner, with search_path
 * pg_catalog, pg_temp, and SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION
 * semantics where DDL doesn't forbid it.  leave restores user, security context
 * and settings; an error in between is undone by transaction abort.
 */
typedef struct LogOwnerContext
{
	Oid			saved_user;
	int			saved_context;
	int			saved_guc_level;
} LogOwnerContext;

extern void log_enter_owner(LogOwnerContext *context);
extern void log_leave_owner(const LogOwnerContext *context);

#endif
