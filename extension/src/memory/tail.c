/*
 * memory/tail.c
 *	  The events committed last, for those who follow the log.
 */
#include "postgres.h"

#include "memory/directory.h"
#include "memory/tail.h"

typedef struct Sleeper
{
	uint32		session;
	TailFilter	filter;
} Sleeper;

/* Under the tail's lock, but for wanted_until, which is written under it and read without. */
typedef struct Tail
{
	pg_atomic_uint64 wanted_until;
	int64		head;			/* mark of the next entry; entry m is at m % TAIL_ENTRIES */
	int64		oldest;			/* from this mark on every event is there */
	uint32		sleeping;
	Sleeper		sleepers[TAIL_SLEEPERS];
	TailEntry	entries[TAIL_ENTRIES];
} Tail;

static Tail *tail;
static bool asleep = false;		/* this session may be among the sleepers */

Size
tail_size(void)
{
	return sizeof(Tail);
}

/* Marks begin at a random number, so that one of another life of the server is not taken for one of this. */
void
tail_init(void *memory, bool fresh)
{
	tail = memory;
	if (!fresh)
		return;
	pg_atomic_init_u64(&tail->wanted_until, 0);
	tail->head = tail->oldest = (int64) (shared->epoch >> 2);
}

/*
 * The commit is visible before this is read: the locks that committers have taken and released in between are
 * barriers.  A follower writes wanted_until before it takes its snapshot.  So if this is false, the
 * snapshot of whoever begins to follow just now sees the event.
 */
bool
tail_wanted(TimestampTz now)
{
	return (int64) pg_atomic_read_u64(&tail->wanted_until) > now;
}

static bool
lets_through(const TailFilter *filter, const TailEntry *entry)
{
	return filter->database == entry->database &&
		   (filter->queue_id == 0 || filter->queue_id == entry->queue_id);
}

void
tail_add(const TailEntry *entry)
{
	uint32		awake[TAIL_SLEEPERS];
	uint32		count = 0;

	LWLockAcquire(tail_lock(), LW_EXCLUSIVE);
	tail->entries[tail->head++ % TAIL_ENTRIES] = *entry;
	tail->oldest = Max(tail->oldest, tail->head - TAIL_ENTRIES);
	for (uint32 i = tail->sleeping; i-- > 0;)
		if (lets_through(&tail->sleepers[i].filter, entry))
		{
			awake[count++] = tail->sleepers[i].session;
			tail->sleepers[i] = tail->sleepers[--tail->sleeping];
		}
	LWLockRelease(tail_lock());
	while (count-- > 0)
		session_wake(awake[count]);
}

/*
 * Asks for events to be noted.  Committers look at the clock before they skip one, without the lock; so a
 * follower that comes in the last half of the time can't know whether one has: a mark is left out, so that
 * whoever is at the head begins anew, too.
 */
static void
renew(TimestampTz now)
{
	if ((int64) pg_atomic_read_u64(&tail->wanted_until) - now < TAIL_KEEP / 2)
		tail->oldest = ++tail->head;
	pg_atomic_write_u64(&tail->wanted_until, (uint64) (now + TAIL_KEEP));
}

/* Under the lock.  Takes the session off the list of sleepers, if it is there. */
static void
forget_sleeper(uint32 session)
{
	for (uint32 i = tail->sleeping; i-- > 0;)
		if (tail->sleepers[i].session == session)
			tail->sleepers[i] = tail->sleepers[--tail->sleeping];
}

static int
copy_entries(const TailFilter *filter, int64 *mark, TailEntry *out, int room)
{
	int			n = 0;

	if (*mark < tail->oldest || *mark > tail->head)
	{
		*mark = tail->head;
		return -1;
	}
	for (; *mark < tail->head && n < room; (*mark)++)
	{
		const TailEntry *entry = &tail->entries[*mark % TAIL_ENTRIES];

		if (lets_through(filter, entry))
			out[n++] = *entry;
	}
	return n;
}

int
tail_read(const TailFilter *filter, int64 *mark, TailEntry *out, int room)
{
	uint32		session = session_begin();
	int			n;

	asleep = true;
	LWLockAcquire(tail_lock(), LW_EXCLUSIVE);
	renew(baton_now());
	forget_sleeper(session);
	n = copy_entries(filter, mark, out, room);
	if (n == 0 && tail->sleeping < TAIL_SLEEPERS)
		tail->sleepers[tail->sleeping++] = (Sleeper) {session, *filter};
	LWLockRelease(tail_lock());
	return n;
}

void
tail_leave(void)
{
	if (!asleep)
		return;
	asleep = false;
	LWLockAcquire(tail_lock(), LW_EXCLUSIVE);
	forget_sleeper(session_begin());
	LWLockRelease(tail_lock());
}
