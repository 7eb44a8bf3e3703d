/*
 * memory/memory.h
 *	  What is in shared memory, and who may touch it.
 *
 * Everything here is a cache of the log plus the claims, which are true only while their
 * holder lives; all of it can be lost at any instant.  It is reserved at start, of
 * fixed size, and linked by index.  lock_order.h has the locks.
 *
 * A message in memory has a slot.  A slot is in exactly one place, by its state:
 *
 *	  FREE      a free list
 *	  ARRIVING  the id hash only: the loader has read its row and is still asking the
 *	            log whether the message is finished
 *	  READY     its lane
 *	  BLOCKED   the line of its key, which is busy
 *	  DELAYED   the timers of its queue, under `due`
 *	  CLAIMED   the timers, under the end of the lease; nowhere while the transaction that
 *	            claimed is open (an open transaction is its own lease)
 *	  SETTLING  nowhere: it belongs to the transaction that settles it
 *	  MOVING    nowhere: it belongs to the transaction that moves its row to another segment
 *	  CONDEMNED nowhere: a budget is used up; it belongs to the keeper, who declares it dead
 *
 * The moves between states are functions of line.c; no other code assigns Slot.state.
 */
#ifndef BATON_MEMORY_MEMORY_H
#define BATON_MEMORY_MEMORY_H

#include "postgres.h"

#include "baton.h"
#include "core/heap.h"
#include "core/histogram.h"
#include "core/policy.h"
#include "core/ranges.h"
#include "core/segment.h"
#include "port/atomics.h"
#include "storage/itemptr.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/s_lock.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define NONE UINT32_MAX			/* no slot, queue, session, segment, ... */

#define MAX_DATABASES 128
#define MAX_SEGMENTS 4096
#define HASH_PARTITIONS 16

/* What is due later than this from now on is left in the log, microseconds; the short one where there is too much of it:
 * see park_after. */
#define PARK_HORIZON (INT64CONST(60) * USECS_PER_SEC)
#define PARK_HORIZON_SHORT (INT64CONST(5) * USECS_PER_SEC)

#define FREE_LISTS 8
#define FREE_RUN 256			/* neighbours that are in the same list */
#define ID_INFINITE PG_INT64_MAX

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_ARRIVING,
	SLOT_READY,
	SLOT_BLOCKED,
	SLOT_DELAYED,
	SLOT_CLAIMED,
	SLOT_SETTLING,
	SLOT_MOVING,
	SLOT_CONDEMNED,
	SLOT_STATES
} SlotState;

#define SLOT_HOLDS_KEY 0x01		/* counted in its key's holders, from its first claim until it
								 * is settled or released */
#define SLOT_DETACHED 0x02		/* the claim is not bound to a session */
#define SLOT_IN_HEAP 0x04		/* READY: in the lane's heap, not its list */
#define SLOT_ORPHAN 0x10		/* SETTLING: the transaction that claimed has rolled back meanwhile, so the
								 * claim ends if the settling is undone */
#define SLOT_UNRECORDED 0x08	/* its last claim ended without its holder, and the log does not say so yet: the
								 * slot is all that knows its counts */
#define SLOT_DELIVERED 0x40		/* the claim is counted in its queue's `delivered`: it can't be taken back any
								 * more as if it had never been */

/*
 * One message in memory.  Free: `next` is under the free list's spinlock.  Otherwise all is
 * under the lock of its queue, except hash_next (partition lock) and what is
 * fixed while the slot is in the hash: id, database, queue.
 */
typedef struct Slot
{
	int64		id;
	TimestampTz sent_at;
	TimestampTz expires_at;		/* 0: never */
	TimestampTz due;			/* DELAYED: when; CLAIMED: end of the lease, 0 while the claiming
								 * transaction is open */
	TimestampTz ready_at;		/* since when it can be received, for time_in_queue */
	TimestampTz claimed_at;
	int64		lease;			/* of the claim, microseconds */
	uint64		key_hash;		/* 0: no key */
	uint32		database;
	uint32		queue;
	uint32		generation;		/* rises with each claim; survives FREE, so that receipts are never
								 * valid again */
	uint32		next;			/* lane list, or free list */
	uint32		prev;			/* lane list */
	uint32		hash_next;
	uint32		session;		/* holder of the claim */
	uint32		session_generation;
	uint32		settler;		/* SETTLING: session of the transaction; it ends before that session
								 * does, so no generation */
	int32		process_id;		/* of the holder */
	Oid			role;			/* of the holder */
	ItemPointerData tid;
	uint16		segment;		/* index in segments */
	uint16		failures;
	uint16		crashes;
	uint16		returns;		/* claims undone without anybody's fault, in a row */
	uint8		suspicion;		/* server crashes it was in flight at */
	uint8		state;
	uint8		flags;
	uint8		priority;
} Slot;

/*
 * The ready messages of one queue and priority, by id.  What comes in order is in the list;
 * what comes late (a lower id than the list's last) is in the heap; the
 * next one is the lower of the two heads.
 *
 * Spilled: part of the lane is only in the log.  loaded <= cursor.  What is at or below
 * `loaded` has been brought in, but for the gaps; the loader is reading (loaded, cursor].
 * Only ids up to `loaded` are handed out.  A committer with an id above
 * `cursor` leaves its message to the loader; at or below, it publishes it, or adds a gap
 * when it has no slot.  Not spilled: loaded = cursor = ID_INFINITE.
 */
typedef struct Lane
{
	uint32		head;			/* list, ascending by id */
	uint32		tail;
	HeapRoot	late;			/* heap by id */
	uint32		ready;			/* in list and heap */
	int64		loaded;
	int64		cursor;
	IdRange		reading;		/* the gap the loader is reading; first = ID_INFINITE: none */
	IdRanges	gaps;			/* last: what is looked at most is together in what comes before, and its count */
} Lane;

typedef enum QueueState
{
	QUEUE_FREE,
	QUEUE_PENDING,				/* made by a transaction that is still open; only its session uses it */
	QUEUE_LIVE,
	QUEUE_DROPPED				/* the keeper is still taking its slots back */
} QueueState;

/*
 * What happened in a queue since its entry was made.  None ever falls.  Each claim that counts in `delivered` ends in
 * exactly one of completed, failed, vanished, lease_expired and released; `vanished` also has those of a crash before.
 */
typedef struct QueueCounters
{
	uint64		sent;
	uint64		delivered;		/* claims, but for those that were undone as if they had never been */
	uint64		completed;
	uint64		failed;
	uint64		vanished;
	uint64		lease_expired;
	uint64		released;		/* by their holder, or rolled back by nobody's fault */
	uint64		dead;			/* messages */
	uint64		loaded;			/* messages brought in from the log */
	uint64		strange;		/* bound claims that were settled by another session than their holder */
	Histogram	time_in_queue;	/* of what counts in delivered: from ready_at to the claim */
	Histogram	time_in_work;	/* of what counts in completed: from the claim to the commit that completed it */
} QueueCounters;

/*
 * One queue.  state, database, id, name, generation are written under the directory lock and the
 * queue's lock, both; read under either.  All else is under the queue's lock,
 * unless noted.
 */
typedef struct Queue
{
	QueueState	state;
	uint32		generation;		/* rises whenever the entry is freed; also read unlocked, to see
								 * whether a cached index is still good */
	uint32		database;
	int32		id;
	char		name[BATON_QUEUE_NAME_MAX + 1];
	uint32		creator;		/* PENDING: session */
	QueuePolicy policy;

	Lane		lanes[BATON_PRIORITIES];
	HeapRoot	timers;			/* DELAYED and CLAIMED slots by due */
	pg_atomic_uint64 next_due;	/* key of the top of timers, PG_INT64_MAX when empty; written under
								 * the lock, read without */
	uint32		count[SLOT_STATES];
	uint32		slots;			/* all of them; also read unlocked by who looks for the largest */
	TimestampTz held_since;		/* what is ready waits for messages of higher priority that are still in the
								 * log; 0: it doesn't */
	bool		impatient;		/* it has waited for too long */
	bool		stalled;		/* all that is ready, as far as was looked, waits for busy keys and found no place
								 * in their lines; until something becomes ready or a key is free */

	/* Parked messages, those due late, in the log only; the marks are like a lane's, by time. */
	/* What the loader has read: ids up to seen_id, by snapshots that see no xid from seen_xmax on.  Who commits
	 * with less of both may find its message loaded, and finished, already. */
	int64		seen_id;
	TransactionId seen_xmax;

	TimestampTz due_loaded;
	TimestampTz due_cursor;
	TimestampTz due_redo;		/* a pass is running and what is due from here on has to be read
								 * again; PG_INT64_MAX: nothing */
	bool		parked;			/* some messages may be in the log only, until they are nearly due */
	int64		parked_id;		/* none of those has a lower id; ID_INFINITE: there are none */
	int64		parked_again;	/* the same for those left to the log since the loader's pass began */

	/* Messages below are finished: see queue/marks.c. */
	int64		finished_below;
	int64		marked_below;	/* as baton.queue_mark has it; written and read by the keeper only */
	uint64		marked_work;	/* sent, delivered and finished when that was written; the keeper only */
	int64		left_id;		/* lowest id left to the log since the keeper's last look */

	/* How many messages are unfinished, in memory and in the log: see queue/depth.c. */
	int64		unfinished;		/* sent less finished since the entry was made, and what was counted of before */
	int64		own_from;		/* lower ids are counted in the log; 0: those sent before the server started */
	int64		finished_before;	/* of those, finished since */
	bool		counted;		/* those of before are in `unfinished` */
	TimestampTz counted_at;		/* when a count began last: those that had expired by then are not in it */
	TimestampTz next_expiry;	/* nothing in `unfinished` expires earlier; PG_INT64_MAX: nothing does */
	bool		doubtful;		/* `unfinished` may be a little off, and is to be counted again */
	bool		recounting;		/* that has begun: what was counted before is in `carried` */
	int64		carried;
	TimestampTz recount_at;		/* not earlier; the cleaner only */
	int64		watch_id;		/* somebody is about to purge up to here */
	int64		unfinished_above;	/* like `unfinished`, of ids above watch_id only */
	uint32		held_above;		/* slots that a consumer holds, or that are condemned, of ids above watch_id */

	/* Waiters: bits in BatonShared.waiters, one a session. */
	uint32		waiting;		/* bits set */
	uint32		rotor;			/* where the search for the next one starts */
	uint32		guard;			/* the waiter who watches next_due and watch_until; NONE only when
								 * nobody waits */
	TimestampTz watch_until;	/* when a wake-up that led to nothing is given up on */
	TimestampTz guard_awake;	/* until then the guard looks every few ms by itself */

	pg_atomic_uint64 received_at;	/* the last time somebody received or began to wait; unlocked */

	QueueCounters counters;
} Queue;

/* Claims of one key, and who waits for it.  Under its queue's lock; `next` under the key lock. */
typedef struct KeyEntry
{
	uint64		hash;
	uint32		queue;
	uint32		next;			/* bucket chain or free list */
	uint32		holders;
	HeapRoot	line;			/* BLOCKED slots by priority, id */
} KeyEntry;

/* A backend.  generation is odd while it lives; written by the backend itself, read by all. */
typedef struct Session
{
	pg_atomic_uint32 generation;
	pg_atomic_uint64 sending;	/* its open transaction has sent nothing below this id; 0: nothing at all.
								 * Written by the backend itself, before it takes an id and after it
								 * has published */
	pg_atomic_uint32 end_wait;	/* its wait, or the next one, is to end: set by any, cleared by itself */
} Session;

/*
 * A pair of tables.  Under the directory lock unless noted; database, number, messages, events are fixed while it is
 * used.  Read unlocked by who has a lock on its tables, or a message in it that is not finished.
 */
typedef struct Segment
{
	bool		used;
	bool		pending;		/* made by a transaction that is still open */
	uint32		database;
	int32		number;
	Oid			messages;
	Oid			events;
	SegmentState state;
	bool		survivors;		/* takes what compaction moves out of others */
	uint32		generation;		/* rises when it is emptied or forgotten */
	int64		first_id;		/* none in it is lower */
	int64		last_id;		/* none in it is higher; ID_INFINITE unless closed */
	bool		whole;			/* it was opened in this life of the server, so `sent` has all its messages */
	uint64		counted_finished;	/* `finished` when it was last counted */
	uint32		counts;			/* how often it has been counted: see log/registry.h */
	uint32		recounted;		/* Database.recount when it was */
	TimestampTz not_before;		/* when cleanup looks at it again: a hint, written by whoever is at it with the lock
								 * of maintenance, and without it after an error */
	uint32		failures;		/* times in a row that cleanup of it raised an error; as not_before */
	TimestampTz frozen_at;		/* when it was last frozen, or that was tried; only the cleaner */
	pg_atomic_uint64 sent;		/* messages of it published since it is used; unlocked */
	pg_atomic_uint64 finished;	/* and finished; unlocked */
} Segment;

/*
 * A database with the extension.  Under the directory lock unless noted.  A forgotten one (oid invalid, extension
 * not) is free once the launcher has taken back all slots and queue entries that name it.
 */
typedef struct Database
{
	Oid			oid;			/* InvalidOid: free entry */
	Oid			extension;		/* which installation; another one is another entry */
	uint32		generation;		/* rises when the entry is freed */
	pg_atomic_uint32 open_segment;	/* index, NONE: none yet; read unlocked */
	pg_atomic_uint32 survivor_segment;	/* the open one for survivors */

	int32		keeper_pid;		/* 0: none */
	uint32		keeper_session; /* NONE: none; read unlocked, to set its latch */
	pg_atomic_uint32 keeper_wanted; /* somebody has work for it; also when there is none */
	pg_atomic_uint32 reload;	/* tables were found that the loader doesn't know; unlocked */
	int32		cleaner_pid;	/* its worker for maintenance, 0: none */
	pg_atomic_uint32 purged;	/* slots of purged messages are to be freed; unlocked */
	pg_atomic_uint32 recount;	/* rises when something may have finished messages in the log, or changed how
								 * long they are kept; unlocked */

	slock_t		ids_mutex;
	int64		next_id;		/* under ids_mutex */
	int64		id_ceiling;
	int64		first_own_id;	/* no message sent since the server started has a lower id; 0: none was sent */

	uint32		outcomes_head;	/* outcome lock: what the keeper has to write, oldest first */
	uint32		outcomes_tail;
	uint32		outcomes_pending;	/* how many these are; also read unlocked */
	bool		outcomes_lost;	/* outcome lock: some found no room */
	uint64		outcomes_dropped;	/* how many, since start */
} Database;

/* A claim that ended without its holder: for the log.  Under the outcome lock. */
#define OUTCOME_TEXT 256
typedef struct Outcome
{
	uint32		next;			/* database's list or free list */
	uint32		queue;			/* entry and its generation when it happened */
	uint32		queue_generation;
	uint32		slot;			/* and the claim that ended */
	uint32		generation;
	int64		message_id;
	uint16		segment;
	uint32		segment_generation;
	uint8		action;			/* EventAction */
	bool		dead;			/* a budget was used up: `dead` follows */
	int32		queue_id;
	int32		attempt;
	int32		failures;
	int32		crashes;
	TimestampTz at;
	TimestampTz claimed_at;
	TimestampTz deliver_at;		/* 0: at once */
	int32		process_id;
	Oid			role;
	int32		sqlstate;		/* 0: none */
	char		text[OUTCOME_TEXT]; /* empty: none; cut at a character's boundary */
} Outcome;

/* A list of free slots; one of several, so that backends don't all meet at one. */
typedef struct FreeList
{
	slock_t		mutex;
	uint32		head;
	pg_atomic_uint32 count;		/* written under mutex, read without */
	char		pad[48];
} FreeList;

typedef struct BatonShared
{
	uint64		epoch;			/* random, drawn at each start; part of every receipt */
	uint32		window;			/* number of slots */
	uint32		queues;			/* number of queue entries */
	uint32		sessions;
	uint32		buckets;		/* of the id hash and of the key table, a power of two */
	uint32		outcomes;

	/* Launcher: see worker/launcher.c. */
	pg_atomic_uint32 launcher_session;	/* NONE: none */
	pg_atomic_uint32 launcher_wanted;
	Oid			visit;			/* directory lock: database the launcher should serve itself */
	Oid			visited;		/* directory lock: the last one it did */
	Oid			barren[MAX_DATABASES];	/* directory lock: found to be without the extension by a visit */
	uint32		barren_next;
	bool		visited_unknown;	/* only the launcher: the last visit was to find out */
	bool		starved;		/* directory lock: the last keeper found no worker slot */

	/* Databases that a statement wants for itself; see worker/launcher.h.  Directory lock. */
	struct
	{
		Oid			database;
		uint32		session;
		uint32		generation;
	}			holds[16];

	/* The one suspect that may be in flight while in quarantine. */
	slock_t		suspect_mutex;
	uint32		suspect;		/* slot, NONE: none */
	bool		quarantine;		/* fixed at start */

	FreeList	free[FREE_LISTS];
	pg_atomic_uint32 slots_end;	/* slots from here on have not been in use since the start; slots_take raises
								 * it, unlocked */
	uint32		free_keys;		/* key lock */
	uint32		free_outcomes;	/* outcome lock */
	Database	databases[MAX_DATABASES];
} BatonShared;

/* Addresses in this process; set once by memory_attach. */
extern BatonShared *shared;
extern Slot *slots;
extern HeapNode *nodes;			/* one a slot: lane heap, key line or timers, by state */
extern uint32 *id_buckets;
extern uint32 *key_buckets;
extern KeyEntry *keys;			/* one a slot */
extern Queue *queues;
extern Session *sessions;
extern Segment *segments;
extern Outcome *outcomes;

/* memory.c */
extern void memory_define(void);	/* in _PG_init under preload: installs the hooks */
extern bool memory_ready(void); /* preloaded, and attached */
extern void memory_require(void);	/* else error 55000 with the setting to add */
extern LWLock *directory_lock(void);
extern LWLock *queue_lock(uint32 queue);
extern LWLock *hash_lock(uint32 bucket);
extern LWLock *key_lock(void);
extern LWLock *outcome_lock(void);
extern LWLock *tail_lock(void);

/* Sets the latch of a session's process; harmless if it has gone. */
extern void session_wake(uint32 session);

#endif
