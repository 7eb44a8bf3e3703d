/*
 * memory/directory.c
 *	  Which databases, segments and queues are known, and who this session is.
 */
#include "postgres.h"

#include "storage/proc.h"

#include "compat.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/outcomes.h"
#include "memory/slots.h"

/* Databases */

static uint32
database_lookup(Oid oid, Oid extension)
{
	for (uint32 i = 0; i < MAX_DATABASES; i++)
		if (shared->databases[i].oid == oid && shared->databases[i].extension == extension)
			return i;
	return NONE;
}

static void
database_init(Database *database, Oid oid, Oid extension)
{
	database->oid = oid;
	database->extension = extension;
	database->keeper_pid = 0;
	database->keeper_session = NONE;
	pg_atomic_write_u32(&database->open_segment, NONE);
	pg_atomic_write_u32(&database->keeper_wanted, 1);
	database->next_id = database->id_ceiling = 0;
	database->outcomes_head = database->outcomes_tail = NONE;
	database->outcomes_lost = false;
	database->outcomes_dropped = 0;
	pg_atomic_write_u32(&database->reload, 0);
}

uint32
database_find(Oid oid, Oid extension, bool make)
{
	uint32		found;

	LWLockAcquire(directory_lock(), LW_SHARED);
	found = database_lookup(oid, extension);
	LWLockRelease(directory_lock());
	if (found != NONE || !make)
		return found;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	found = database_lookup(oid, extension);
	if (found == NONE)
	{
		found = database_lookup(InvalidOid, InvalidOid);
		if (found != NONE)
			database_init(&shared->databases[found], oid, extension);
	}
	LWLockRelease(directory_lock());
	return found;
}

static void
retire_locked(uint32 queue)
{
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	queues[queue].state = QUEUE_DROPPED;
	queues[queue].generation++;
	LWLockRelease(queue_lock(queue));
}

void
database_forget(uint32 database)
{
	Database   *d = &shared->databases[database];

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	for (uint32 i = 0; i < shared->queues; i++)
		if (queues[i].database == database &&
			(queues[i].state == QUEUE_LIVE || queues[i].state == QUEUE_PENDING))
			retire_locked(i);
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
		if (segments[i].used && segments[i].database == database)
			segments[i].used = false;
	d->oid = InvalidOid;
	d->generation++;
	pg_atomic_write_u32(&d->open_segment, NONE);
	LWLockRelease(directory_lock());
	outcomes_drop(database, PG_UINT32_MAX);
}

void
database_reclaim(uint32 database)
{
	bool		used = false;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	for (uint32 i = 0; i < shared->queues && !used; i++)
		used = queues[i].state != QUEUE_FREE && queues[i].database == database;
	if (!used && !OidIsValid(shared->databases[database].oid))
		shared->databases[database].extension = InvalidOid;
	LWLockRelease(directory_lock());
}

/* Segments */

uint32
segment_register(uint32 database, int32 number, Oid messages, Oid events, bool pending)
{
	uint32		found = NONE;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	for (uint32 i = MAX_SEGMENTS; i-- > 0;)
	{
		if (!segments[i].used)
		{
			if (found == NONE || !segments[found].used)
				found = i;
		}
		else if (segments[i].database == database && segments[i].number == number)
			found = i;
	}
	if (found != NONE)
	{
		if (!pending && !segments[found].used)
			pg_atomic_write_u32(&shared->databases[database].reload, 1);
		segments[found].pending = pending;
		segments[found].used = true;
		segments[found].database = database;
		segments[found].number = number;
		segments[found].messages = messages;
		segments[found].events = events;
	}
	LWLockRelease(directory_lock());
	return found;
}

void
segment_commit(uint32 segment)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	segments[segment].pending = false;
	LWLockRelease(directory_lock());
}

void
segment_forget(uint32 segment)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	segments[segment].used = false;
	LWLockRelease(directory_lock());
}

uint32
segment_list(uint32 database, uint32 *out, uint32 max)
{
	uint32		n = 0;

	LWLockAcquire(directory_lock(), LW_SHARED);
	for (uint32 i = 0; i < MAX_SEGMENTS && n < max; i++)
	{
		uint32		at = n;

		if (!segments[i].used || segments[i].pending || segments[i].database != database)
			continue;
		while (at > 0 && segments[out[at - 1]].number > segments[i].number)
		{
			out[at] = out[at - 1];
			at--;
		}
		out[at] = i;
		n++;
	}
	LWLockRelease(directory_lock());
	return n;
}

/* Ids */

int64
ids_take(uint32 database, int64 n)
{
	Database   *d = &shared->databases[database];
	int64		first = 0;

	SpinLockAcquire(&d->ids_mutex);
	if (d->id_ceiling - d->next_id >= n)
	{
		first = d->next_id;
		d->next_id += n;
	}
	SpinLockRelease(&d->ids_mutex);
	return first;
}

void
ids_add_block(uint32 database, int64 first, int64 count)
{
	Database   *d = &shared->databases[database];

	SpinLockAcquire(&d->ids_mutex);
	if (first == d->id_ceiling && d->next_id > 0)
		d->id_ceiling += count;
	else if (first > d->id_ceiling)
	{
		d->next_id = first;
		d->id_ceiling = first + count;
	}
	SpinLockRelease(&d->ids_mutex);
}

/* Queues */

static void
queue_set_up(uint32 i, uint32 database, int32 id, const char *name,
			 const QueuePolicy *policy, QueueState state, bool empty)
{
	Queue	   *queue = &queues[i];

	LWLockAcquire(queue_lock(i), LW_EXCLUSIVE);
	queue->state = state;
	queue->generation++;
	queue->database = database;
	queue->id = id;
	strlcpy(queue->name, name, sizeof(queue->name));
	queue->creator = session_begin();
	queue->policy = *policy;
	line_init(queue, empty);
	waiters_clear(i);
	pg_atomic_write_u64(&queue->received_at, 0);
	queue->sent = queue->delivered = queue->completed = 0;
	queue->failed = queue->vanished = queue->dead = queue->strange = 0;
	LWLockRelease(queue_lock(i));
}

uint32
queue_register(uint32 database, int32 id, const char *name, const QueuePolicy *policy,
			   QueueState state, bool empty, uint32 *generation, bool *fresh)
{
	uint32		found = NONE;
	bool		there = false;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	for (uint32 i = shared->queues; i-- > 0 && !there;)
	{
		if (queues[i].state == QUEUE_FREE)
			found = i;
		else if (queues[i].database == database && queues[i].id == id &&
				 queues[i].state != QUEUE_DROPPED)
		{
			found = i;
			there = true;
		}
	}
	*fresh = found != NONE && !there;
	if (*fresh)
		queue_set_up(found, database, id, name, policy, state, empty);
	if (found != NONE)
		*generation = queues[found].generation;
	LWLockRelease(directory_lock());
	return found;
}

uint32
queue_find(uint32 database, const char *name, uint32 *generation)
{
	uint32		found = NONE;

	LWLockAcquire(directory_lock(), LW_SHARED);
	for (uint32 i = 0; i < shared->queues && found == NONE; i++)
		if (queues[i].state == QUEUE_LIVE && queues[i].database == database &&
			strcmp(queues[i].name, name) == 0)
		{
			found = i;
			*generation = queues[i].generation;
		}
	LWLockRelease(directory_lock());
	return found;
}

uint32
queue_find_id(uint32 database, int32 id)
{
	uint32		found = NONE;

	LWLockAcquire(directory_lock(), LW_SHARED);
	for (uint32 i = 0; i < shared->queues && found == NONE; i++)
		if (queues[i].state == QUEUE_LIVE && queues[i].database == database &&
			queues[i].id == id)
			found = i;
	LWLockRelease(directory_lock());
	return found;
}

void
queue_retire(uint32 queue, uint32 generation)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	if (queues[queue].generation == generation &&
		(queues[queue].state == QUEUE_LIVE || queues[queue].state == QUEUE_PENDING))
		retire_locked(queue);
	LWLockRelease(directory_lock());
}

bool
queue_reclaim(uint32 queue, uint32 generation)
{
	bool		done;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	LWLockAcquire(queue_lock(queue), LW_EXCLUSIVE);
	done = queues[queue].state == QUEUE_DROPPED && queues[queue].slots == 0 &&
		   queues[queue].generation == generation;
	if (done)
		queues[queue].state = QUEUE_FREE;
	LWLockRelease(queue_lock(queue));
	LWLockRelease(directory_lock());
	return done;
}

/* Sessions */

static uint32 my_session = NONE;

uint32
session_begin(void)
{
	if (my_session == NONE)
	{
		my_session = BatonMyProcNumber();
		pg_atomic_fetch_add_u32(&sessions[my_session].generation,
								(session_generation(my_session) & 1) ? 2 : 1);
	}
	return my_session;
}

uint32
session_generation(uint32 session)
{
	return pg_atomic_read_u32(&sessions[session].generation);
}

void
session_end(void)
{
	if (my_session != NONE)
		pg_atomic_fetch_add_u32(&sessions[my_session].generation, 1);
	my_session = NONE;
}

void
launcher_wake(void)
{
	pg_atomic_write_u32(&shared->launcher_wanted, 1);
	session_wake(pg_atomic_read_u32(&shared->launcher_session));
}

void
keeper_wake(uint32 database)
{
	Database   *d = &shared->databases[database];
	uint32		session = d->keeper_session;

	pg_atomic_write_u32(&d->keeper_wanted, 1);
	if (session != NONE)
		session_wake(session);
	else
		launcher_wake();
}
