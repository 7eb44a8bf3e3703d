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
	database->cleaner_pid = 0;
	pg_atomic_write_u32(&database->open_segment, NONE);
	pg_atomic_write_u32(&database->survivor_segment, NONE);
	pg_atomic_write_u32(&database->keeper_wanted, 1);
	database->next_id = database->id_ceiling = database->first_own_id = 0;
	database->outcomes_head = database->outcomes_tail = NONE;
	database->outcomes_pending = 0;
	database->outcomes_lost = false;
	database->outcomes_dropped = 0;
	pg_atomic_write_u32(&database->reload, 0);
	pg_atomic_write_u32(&database->recount, 0);
	pg_atomic_write_u32(&database->purged, 0);
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
		{
			segments[i].used = false;
			segments[i].generation++;
		}
	d->oid = InvalidOid;
	d->generation++;
	pg_atomic_write_u32(&d->open_segment, NONE);
	pg_atomic_write_u32(&d->survivor_segment, NONE);
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

/* The entry of a number, or a free one, or NONE. */
static uint32
segment_place(uint32 database, int32 number)
{
	uint32		found = NONE;

	for (uint32 i = MAX_SEGMENTS; i-- > 0;)
	{
		if (!segments[i].used)
			found = i;
		else if (segments[i].database == database && segments[i].number == number)
			return i;
	}
	return found;
}

uint32
segment_register(const Segment *pair, bool known)
{
	uint32		i;

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	i = segment_place(pair->database, pair->number);
	if (i != NONE && !segments[i].used)
	{
		Segment    *s = &segments[i];

		s->database = pair->database;
		s->number = pair->number;
		s->messages = pair->messages;
		s->events = pair->events;
		s->state = pair->state;
		s->survivors = pair->survivors;
		s->first_id = pair->first_id;
		s->last_id = pair->last_id;
		s->pending = pair->pending;
		s->whole = false;
		s->counts = 0;
		s->counted_finished = 0;
		s->recounted = pg_atomic_read_u32(&shared->databases[pair->database].recount);
		s->not_before = s->frozen_at = 0;
		s->failures = 0;
		pg_atomic_write_u64(&s->sent, 0);
		pg_atomic_write_u64(&s->finished, 0);
		s->generation++;
		s->used = true;
		if (!known)
			pg_atomic_write_u32(&shared->databases[pair->database].reload, 1);
	}
	LWLockRelease(directory_lock());
	return i;
}

/* The segment that takes messages, or survivors, is this one, or no longer this one. */
static void
set_open(pg_atomic_uint32 *open, uint32 segment, bool is_open)
{
	if (is_open)
		pg_atomic_write_u32(open, segment);
	else if (pg_atomic_read_u32(open) == segment)
		pg_atomic_write_u32(open, NONE);
}

void
segment_change(const SegmentChange *change)
{
	Segment    *s = &segments[change->segment];
	Database   *d = &shared->databases[change->database];

	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	if (!s->used || s->database != change->database || s->generation != change->generation)
		;						/* the whole installation has been forgotten */
	else if (change->dropped)
	{
		s->used = false;
		s->generation++;
	}
	else
	{
		if (change->state == SEGMENT_OPEN && (s->state == SEGMENT_FREE || s->pending))
		{
			s->whole = true;
			pg_atomic_write_u64(&s->sent, 0);
			pg_atomic_write_u64(&s->finished, 0);
		}
		s->pending = false;
		s->state = change->state;
		s->survivors = change->survivors;
		s->first_id = change->first_id;
		s->last_id = change->last_id;
		if (change->emptied)
		{
			s->generation++;
			s->not_before = 0;
		}
		if (change->counted)
		{
			s->counts++;
			s->counted_finished = change->finished;
			s->recounted = change->recount;
		}
		set_open(change->survivors ? &d->survivor_segment : &d->open_segment, change->segment,
				 change->state == SEGMENT_OPEN);
	}
	LWLockRelease(directory_lock());
}

void
segment_forget(uint32 segment)
{
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	segments[segment].used = false;
	segments[segment].generation++;
	LWLockRelease(directory_lock());
}

static bool
comes_before(const Segment *a, const Segment *b)
{
	return a->first_id != b->first_id ? a->first_id < b->first_id : a->number < b->number;
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
		while (at > 0 && comes_before(&segments[i], &segments[out[at - 1]]))
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
		if (d->first_own_id == 0)
			d->first_own_id = first;
	}
	SpinLockRelease(&d->ids_mutex);
}

void
ids_drop_block(uint32 database)
{
	Database   *d = &shared->databases[database];

	SpinLockAcquire(&d->ids_mutex);
	d->id_ceiling = d->next_id;
	SpinLockRelease(&d->ids_mutex);
}

int64
ids_next(uint32 database)
{
	Database   *d = &shared->databases[database];
	int64		next;

	SpinLockAcquire(&d->ids_mutex);
	next = d->next_id;
	SpinLockRelease(&d->ids_mutex);
	return next;
}

/* Queues */

static void
queue_set_up(uint32 i, uint32 database, int32 id, const char *name,
			 const QueuePolicy *policy, QueueState state, int64 from)
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
	line_init(queue, from);
	queue->unfinished = queue->finished_before = 0;
	queue->own_from = 0;
	queue->counted = from == ID_INFINITE;
	queue->counted_at = 0;
	queue->next_expiry = PG_INT64_MAX;
	queue->doubtful = queue->recounting = false;
	queue->carried = 0;
	queue->recount_at = 0;
	queue->watch_id = ID_INFINITE;
	queue->unfinished_above = 0;
	queue->held_above = 0;
	waiters_clear(i);
	pg_atomic_write_u64(&queue->received_at, 0);
	memset(&queue->counters, 0, sizeof(queue->counters));
	LWLockRelease(queue_lock(i));
}

uint32
queue_register(uint32 database, int32 id, const char *name, const QueuePolicy *policy,
			   QueueState state, int64 from, uint32 *generation, bool *fresh)
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
		queue_set_up(found, database, id, name, policy, state, from);
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

/*
 * A sender writes a lower bound of the ids it will get before it takes them, and who looks reads the next id before it
 * looks at the sessions; both go through the ids' spinlock.  So an id below what was read there was
 * taken by a session whose bound is seen.
 */
void
sending_begin(uint32 database)
{
	pg_atomic_uint64 *sending = &sessions[session_begin()].sending;

	if (pg_atomic_read_u64(sending) == 0)
		pg_atomic_write_u64(sending, (uint64) Max(ids_next(database), 1));
}

void
sending_end(void)
{
	if (my_session != NONE && pg_atomic_read_u64(&sessions[my_session].sending) != 0)
	{
		pg_write_barrier();
		pg_atomic_write_u64(&sessions[my_session].sending, 0);
	}
}

int64
sending_oldest(uint32 database)
{
	int64		oldest = ids_next(database);

	for (uint32 i = 0; i < shared->sessions; i++)
	{
		int64		sending = (int64) pg_atomic_read_u64(&sessions[i].sending);

		if (sending != 0 && GetPGProcByNumber(i)->databaseId == shared->databases[database].oid)
			oldest = Min(oldest, sending);
	}
	pg_read_barrier();
	return oldest;
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
