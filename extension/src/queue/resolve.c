/*
 * queue/resolve.c
 *	  From names to places in shared memory.
 *
 * Memory of a database is keyed by (database oid, extension oid): another installation of the
 * extension in the same database is another entry, and the old one's memory is discarded.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "log/definition.h"
#include "log/registry.h"
#include "log/schema.h"
#include "memory/directory.h"
#include "queue/admin.h"
#include "queue/resolve.h"
#include "queue/xact.h"

/* Databases */

static uint32
database_entry(const LogSchema *schema)
{
	static uint32 cached = NONE;
	const Database *d;

	if (cached != NONE)
	{
		d = &shared->databases[cached];
		if (d->oid == MyDatabaseId && d->extension == schema->extension)
			return cached;
	}
	cached = database_find(MyDatabaseId, schema->extension, true);
	return cached;
}

uint32
baton_database(void)
{
	uint32		database;

	memory_require();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("queues are not served on a standby"),
				 errhint("Connect to the primary server.")));
	database = database_entry(log_schema(false));
	if (database == NONE)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many databases use baton"),
				 errdetail("At most %d databases of a server can.", MAX_DATABASES)));
	return database;
}

uint32
baton_database_if_any(void)
{
	const LogSchema *schema;

	if (!memory_ready() || RecoveryInProgress())
		return NONE;
	schema = log_schema(true);
	return schema == NULL ? NONE : database_entry(schema);
}

/* Ids */

int64
next_ids(uint32 database, int64 n)
{
	int64		id;

	while ((id = ids_take(database, n)) == 0)
	{
		int64		count;
		int64		first;

		CHECK_FOR_INTERRUPTS();
		first = log_id_block(&count);
		ids_add_block(database, first, count);
	}
	return id;
}

/* Queues */

/* Where this backend found each queue the last time. */
typedef struct NameCacheEntry
{
	char		name[BATON_QUEUE_NAME_MAX + 1]; /* key */
	uint32		database;
	uint32		database_generation;
	QueueRef	ref;
} NameCacheEntry;

static HTAB *name_cache = NULL;

static NameCacheEntry *
name_cache_entry(const char *name)
{
	HASHCTL		ctl = {.keysize = BATON_QUEUE_NAME_MAX + 1, .entrysize = sizeof(NameCacheEntry)};
	NameCacheEntry *entry;
	bool		found;

	if (name_cache == NULL || hash_get_num_entries(name_cache) > 10000)
	{
		if (name_cache != NULL)
			hash_destroy(name_cache);
		ctl.hcxt = TopMemoryContext;
		name_cache = hash_create("baton queue names", 64, &ctl,
								 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	entry = hash_search(name_cache, name, HASH_ENTER, &found);
	if (!found)
		entry->database = NONE;
	return entry;
}

char *
queue_name_arg(bool isnull, Datum text_datum)
{
	char	   *name;

	if (isnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("queue name must not be null")));
	name = TextDatumGetCString(text_datum);
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("queue name must not be empty")));
	if (strlen(name) > BATON_QUEUE_NAME_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("queue name is too long"),
						errdetail("It has %zu bytes; at most %d are allowed.", strlen(name),
								  BATON_QUEUE_NAME_MAX)));
	return name;
}

void
raise_no_queue(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("queue \"%s\" does not exist", name)));
}

static void
raise_too_many_queues(void)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("too many queues"),
					errdetail("The server has room for %d queues in all databases.",
							  baton_max_queues),
					errhint("Drop queues that are not needed, or raise baton.max_queues and "
							"restart the server.")));
}

/* A queue whose definition is committed, or about to be replaced in memory by what the table says. */
static void
sync_policy(const QueueRef *ref, const QueueDefinition *definition)
{
	uint32		queue = ref->queue;
	Wakes		wakes = {0};

	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	if (queue_current(ref))
	{
		/* its row can be seen, so the one who made it has committed */
		if (queues[queue].state == QUEUE_PENDING)
			queues[queue].state = QUEUE_LIVE;
		queues[queue].policy = definition->policy;
		waiters_wake(queue, queues[queue].count[SLOT_READY], &wakes);
	}
	LWLockRelease(queue_lock(queue));
	wakes_send(&wakes);
}

/*
 * Registers a queue from its row.  The row is read again until it stays the same: a drop or alter that
 * committed in between has not seen the entry, or its policy was written over.
 */
static bool
register_queue(uint32 database, const QueueDefinition *definition, QueueRef *ref)
{
	QueueDefinition before = *definition;
	QueueDefinition now;
	bool		fresh;
	bool		same;

	ref->id = definition->id;
	ref->queue = queue_register(database, definition->id, definition->name,
								&definition->policy, QUEUE_LIVE,
								registry_mark(definition->id), &ref->generation, &fresh);
	if (ref->queue == NONE)
		return false;
	do
	{
		if (!log_definition_get(definition->name, false, &now) || now.id != definition->id)
		{
			queue_retire(ref->queue, ref->generation);
			return true;
		}
		same = memcmp(&now.policy, &before.policy, sizeof(QueuePolicy)) == 0;
		if (xact_find_ddl(DDL_ALTER, database, definition->id) == NULL)
			sync_policy(ref, &now);
		before = now;
	} while (!same);
	if (fresh)
		keeper_wake(database);
	return true;
}

void
register_queues(uint32 database)
{
	int			count;
	QueueDefinition *list = log_definition_list(&count);
	QueueRef	ref;

	for (int i = 0; i < count; i++)
	{
		if (queue_find_id(database, list[i].id) != NONE)
			continue;
		if (!register_queue(database, &list[i], &ref))
			ereport(LOG,
					(errmsg("baton.max_queues is too low for the queues of this server"),
					 errhint("Raise baton.max_queues and restart the server.")));
		CHECK_FOR_INTERRUPTS();
	}
	pfree(list);
}

QueueRef
resolve_queue(const char *name)
{
	uint32		database = baton_database();
	NameCacheEntry *entry = name_cache_entry(name);
	QueueDefinition definition;
	QueueRef	ref;
	const PendingDdl *created;

	if (entry->database == database &&
		entry->database_generation == shared->databases[database].generation &&
		queue_current(&entry->ref) && queues[entry->ref.queue].state == QUEUE_LIVE &&
		xact_find_ddl(DDL_DROP, database, entry->ref.id) == NULL)
		return entry->ref;

	created = xact_find_created(database, name);
	if (created != NULL)
		return (QueueRef) {created->queue, created->generation, created->id};

	entry->database = NONE;		/* filled in last: an error must not leave it half done */
	ref.queue = queue_find(database, name, &ref.generation);
	if (ref.queue != NONE)
		ref.id = queues[ref.queue].id;
	else if (!log_definition_get(name, false, &definition))
		raise_no_queue(name);
	else if (!register_queue(database, &definition, &ref))
		raise_too_many_queues();
	if (!queue_current(&ref) || xact_find_ddl(DDL_DROP, database, ref.id) != NULL)
		raise_no_queue(name);
	entry = name_cache_entry(name);
	entry->database_generation = shared->databases[database].generation;
	entry->ref = ref;
	entry->database = database;
	return ref;
}
