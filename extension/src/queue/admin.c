/*
 * queue/admin.c
 *	  Making, changing and dropping queues: the table at once, memory at commit.
 *
 * A queue that is being made has an entry in state PENDING, which only its own
 * session uses until it commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

#include "log/definition.h"
#include "log/schema.h"
#include "memory/directory.h"
#include "memory/waiters.h"
#include "queue/admin.h"
#include "queue/record.h"
#include "queue/resolve.h"
#include "queue/segments.h"

static void
check_at_least(const char *what, int64 value, int64 least)
{
	if (value < least)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be at least " INT64_FORMAT, what, least)));
}

static void
check_policy(const QueuePolicy *policy)
{
	check_at_least("max_attempts", policy->max_attempts, 1);
	check_at_least("max_crashes", policy->max_crashes, 1);
	check_at_least("key_in_flight", policy->key_in_flight, 1);
	if (policy->max_attempts > 10000 || policy->max_crashes > 10000)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_attempts and max_crashes must be at most 10000")));
	if (policy->backoff < 0 || policy->backoff_max < policy->backoff)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("backoff must not be negative, nor longer than backoff_max")));
	if (policy->retention < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("retention must not be negative")));
	if (policy->lease <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("lease must be longer than zero")));
}

void
queue_create(const char *name, const QueuePolicy *policy, bool if_not_exists)
{
	uint32		database = baton_database();
	QueueDefinition definition = {.policy = *policy};
	PendingDdl	ddl = {.kind = DDL_CREATE, .database = database, .policy = *policy};
	bool		fresh;
	bool		exists;

	PreventCommandIfReadOnly("baton.create_queue()");
	check_policy(policy);
	strlcpy(definition.name, name, sizeof(definition.name));
	exists = if_not_exists && log_definition_get(name, false, &definition);
	if (!exists)
	{
		xact_session();
		ensure_segment(database);
		exists = !log_definition_insert(&definition);
	}
	if (exists)
	{
		ereport(if_not_exists ? NOTICE : ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 if_not_exists ? errmsg("queue \"%s\" already exists, skipping", name)
				 : errmsg("queue \"%s\" already exists", name)));
		return;
	}
	xact_reserve_ddl();
	ddl.id = definition.id;
	ddl.queue = queue_register(database, definition.id, name, policy, QUEUE_PENDING, ID_INFINITE,
							   &ddl.generation, &fresh);
	if (ddl.queue == NONE)
	{
		/* places of dropped queues may not have been taken back yet */
		sweep_dropped(database);
		ddl.queue = queue_register(database, definition.id, name, policy, QUEUE_PENDING,
								   ID_INFINITE, &ddl.generation, &fresh);
	}
	if (ddl.queue == NONE)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("too many queues"),
				 errdetail("The server has room for %d queues in all databases.",
						   baton_max_queues),
				 errhint("Drop queues that are not needed, or raise baton.max_queues and "
						 "restart the server.")));
	xact_add_ddl(&ddl);
}

static void
apply_change(QueuePolicy *policy, const PolicyChange *change)
{
	if (change->max_attempts)
		policy->max_attempts = change->value.max_attempts;
	if (change->max_crashes)
		policy->max_crashes = change->value.max_crashes;
	if (change->backoff)
		policy->backoff = change->value.backoff;
	if (change->backoff_max)
		policy->backoff_max = change->value.backoff_max;
	if (change->lease)
		policy->lease = change->value.lease;
	if (change->key_in_flight)
		policy->key_in_flight = change->value.key_in_flight;
	if (change->retention)
		policy->retention = change->value.retention;
	if (change->purged_id)
		policy->purged_id = Max(policy->purged_id, change->value.purged_id);
	if (change->paused)
		policy->paused = change->value.paused;
}

/*
 * One change of a queue at a time: the lock is held until the commit callback has put it into memory, which a row's
 * lock is not.  The queue is brought into memory first, as others see it.
 */
static void
lock_queue(const char *name)
{
	LockDatabaseObject(log_schema(false)->queue_definition, resolve_queue(name).id, 0,
					   ExclusiveLock);
}

void
queue_alter(const char *name, const PolicyChange *change)
{
	uint32		database = baton_database();
	QueueDefinition definition;
	PendingDdl	ddl = {.kind = DDL_ALTER, .database = database};

	PreventCommandIfReadOnly("baton.alter_queue()");
	lock_queue(name);
	if (!log_definition_get(name, true, &definition))
		raise_no_queue(name);
	apply_change(&definition.policy, change);
	check_policy(&definition.policy);
	log_definition_update(&definition);
	xact_reserve_ddl();
	ddl.id = definition.id;
	ddl.policy = definition.policy;
	xact_add_ddl(&ddl);
}

/*
 * Up to the last id that has been given out.  What is sent from now on is counted apart, as it will be all that
 * there is.
 */
void
queue_purge(const char *name)
{
	uint32		database = baton_database();
	PolicyChange change = {.purged_id = true};
	QueueRef	ref;

	PreventCommandIfReadOnly("baton.purge_queue()");
	lock_queue(name);
	ref = resolve_queue(name);
	(void) next_ids(database, 1);	/* there is a block of ids */
	LWLockAcquire(queue_lock(ref.queue), LW_EXCLUSIVE);
	change.value.purged_id = ids_next(database) - 1;
	queues[ref.queue].watch_id = change.value.purged_id;
	queues[ref.queue].unfinished_above = 0;
	queues[ref.queue].held_above = 0;
	LWLockRelease(queue_lock(ref.queue));
	queue_alter(name, &change);
}

void
queue_drop(const char *name, bool if_exists)
{
	uint32		database = baton_database();
	QueueDefinition definition;
	PendingDdl	ddl = {.kind = DDL_DROP, .database = database};

	PreventCommandIfReadOnly("baton.drop_queue()");
	if (!log_definition_get(name, true, &definition))
	{
		if (!if_exists)
			raise_no_queue(name);
		ereport(NOTICE, (errcode(ERRCODE_UNDEFINED_OBJECT),
						 errmsg("queue \"%s\" does not exist, skipping", name)));
		return;
	}
	log_definition_delete(definition.id);
	xact_reserve_ddl();
	ddl.id = definition.id;
	xact_add_ddl(&ddl);
}

/* Callbacks' parts */

static void
commit_create(const PendingDdl *ddl)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	LWLockAcquire(queue_lock(ddl->queue), LW_EXCLUSIVE);
	if (queues[ddl->queue].generation == ddl->generation &&
		queues[ddl->queue].state == QUEUE_PENDING)
		queues[ddl->queue].state = QUEUE_LIVE;
	LWLockRelease(queue_lock(ddl->queue));
	LWLockRelease(directory_lock());
}

/* What is left to count: what was sent since, and what consumers hold. */
static void
purge_count(Queue *queue)
{
	int64		held = queue->count[SLOT_CLAIMED] + queue->count[SLOT_SETTLING] +
		queue->count[SLOT_CONDEMNED];

	queue->unfinished = queue->unfinished_above + held - queue->held_above;
	queue->counted_at = 0;
	queue->own_from = 1;		/* who is still to publish, counts */
	queue->counted = true;
	queue->doubtful = queue->recounting;
	queue->recounting = false;
}

static void
commit_alter(const PendingDdl *ddl)
{
	uint32		queue = queue_find_id(ddl->database, ddl->id);
	Wakes		wakes = {0};

	if (queue == NONE)
		return;
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	if (queues[queue].state == QUEUE_LIVE && queues[queue].database == ddl->database &&
		queues[queue].id == ddl->id)
	{
		if (ddl->policy.purged_id != queues[queue].policy.purged_id)
		{
			purge_count(&queues[queue]);
			pg_atomic_write_u32(&shared->databases[ddl->database].purged, 1);
			keeper_wake(ddl->database);
		}
		if (ddl->policy.purged_id != queues[queue].policy.purged_id ||
			ddl->policy.retention != queues[queue].policy.retention)
			pg_atomic_fetch_add_u32(&shared->databases[ddl->database].recount, 1);
		queues[queue].policy = ddl->policy;
		waiters_wake(queue, queues[queue].count[SLOT_READY], &wakes);
	}
	LWLockRelease(queue_lock(queue));
	wakes_send(&wakes);
}

static void
commit_drop(const PendingDdl *ddl)
{
	uint32		queue = queue_find_id(ddl->database, ddl->id);
	uint32		generation;

	if (queue == NONE)
		return;
	generation = queues[queue].generation;
	queue_retire(queue, generation);
	pg_atomic_fetch_add_u32(&shared->databases[ddl->database].recount, 1);
	if (!queue_reclaim(queue, generation + 1))
		keeper_wake(ddl->database);
}

void
ddl_commit(const PendingDdl *ddl, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		switch (ddl[i].kind)
		{
			case DDL_CREATE:
				commit_create(&ddl[i]);
				keeper_wake(ddl[i].database);
				break;
			case DDL_ALTER:
				commit_alter(&ddl[i]);
				break;
			case DDL_DROP:
				commit_drop(&ddl[i]);
				break;
		}
	}
}

void
ddl_undo(const PendingDdl *ddl, uint32 n)
{
	for (uint32 i = n; i-- > 0;)
	{
		if (ddl[i].kind == DDL_CREATE)
		{
			queue_retire(ddl[i].queue, ddl[i].generation);
			queue_reclaim(ddl[i].queue, ddl[i].generation + 1);
		}
	}
}
