/*
 * memory/memory.c
 *	  Reserving shared memory at start and finding it in each process.
 *
 * One contiguous piece, laid out by layout(); sizes depend on settings that need a
 * restart.  A crash restart runs the startup hook again on fresh memory: everything is
 * empty, and is loaded from the log.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "compat.h"
#include "memory/inflight.h"
#include "memory/memory.h"
#include "memory/slots.h"
#include "memory/tail.h"
#include "memory/waiters.h"

#define DIRECTORY_LOCK 0
#define KEY_LOCK 1
#define OUTCOME_LOCK 2
#define TAIL_LOCK 3
#define HASH_LOCKS 4
#define QUEUE_LOCKS (HASH_LOCKS + HASH_PARTITIONS)

BatonShared *shared = NULL;
Slot	   *slots;
HeapNode   *nodes;
uint32	   *id_buckets;
uint32	   *key_buckets;
KeyEntry   *keys;
Queue	   *queues;
Session    *sessions;
Segment    *segments;
Outcome    *outcomes;

static void *tail_memory;
static LWLockPadded *locks;
static shmem_startup_hook_type previous_startup_hook = NULL;
#ifdef BATON_HAVE_SHMEM_REQUEST_HOOK
static shmem_request_hook_type previous_request_hook = NULL;
#endif

/* Every process that can hold a claim or wait has a PGPROC below this number. */
static uint32
count_sessions(void)
{
#ifdef BATON_HAVE_SHMEM_REQUEST_HOOK
	return MaxBackends + NUM_AUXILIARY_PROCS;
#else
	return MaxConnections + autovacuum_max_workers + 1 + max_worker_processes +
		   max_wal_senders + NUM_AUXILIARY_PROCS;
#endif
}

static uint32
count_buckets(void)
{
	return pg_nextpower2_32((uint32) baton_window_size);
}

static uint32
count_outcomes(void)
{
	return Max(1024, (uint32) baton_window_size / 16);
}

/* A piece of the whole: returns its address (offset from NULL when only measuring). */
static void *
carve(char *base, Size *used, Size size)
{
	char	   *piece = base + *used;

	*used = add_size(*used, CACHELINEALIGN(size));
	return base == NULL ? NULL : piece;
}

/* Sets the addresses of all pieces below base; with base NULL only measures.  Returns the size. */
static Size
layout(char *base)
{
	Size		used = 0;
	Size		window = baton_window_size;

	shared = carve(base, &used, sizeof(BatonShared));
	slots = carve(base, &used, mul_size(window, sizeof(Slot)));
	nodes = carve(base, &used, mul_size(window, sizeof(HeapNode)));
	id_buckets = carve(base, &used, mul_size(count_buckets(), sizeof(uint32)));
	key_buckets = carve(base, &used, mul_size(count_buckets(), sizeof(uint32)));
	keys = carve(base, &used, mul_size(window, sizeof(KeyEntry)));
	queues = carve(base, &used, mul_size(baton_max_queues, sizeof(Queue)));
	sessions = carve(base, &used, mul_size(count_sessions(), sizeof(Session)));
	segments = carve(base, &used, mul_size(MAX_SEGMENTS, sizeof(Segment)));
	outcomes = carve(base, &used, mul_size(count_outcomes(), sizeof(Outcome)));
	waiter_bits = carve(base, &used, waiters_size(baton_max_queues, count_sessions()));
	tail_memory = carve(base, &used, tail_size());
	return used;
}

static void
init_slots(void)
{
	for (uint32 i = 0; i < FREE_LISTS; i++)
	{
		SpinLockInit(&shared->free[i].mutex);
		shared->free[i].head = NONE;
		pg_atomic_init_u32(&shared->free[i].count, 0);
	}
	for (uint32 i = shared->window; i-- > 0;)
	{
		FreeList   *list = slot_free_list(i);

		slots[i].next = list->head;
		list->head = i;
		pg_atomic_write_u32(&list->count, pg_atomic_read_u32(&list->count) + 1);

		nodes[i].child = nodes[i].next = nodes[i].prev = HEAP_NIL;

		keys[i].next = i + 1 < shared->window ? i + 1 : NONE;
	}
	shared->free_keys = 0;
	for (uint32 i = 0; i < shared->buckets; i++)
		id_buckets[i] = key_buckets[i] = NONE;
}

static void
init_shared(Size size)
{
	memset(shared, 0, size);
	if (!pg_strong_random(&shared->epoch, sizeof(shared->epoch)))
		ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate random number")));
	shared->window = baton_window_size;
	shared->queues = baton_max_queues;
	shared->sessions = count_sessions();
	shared->buckets = count_buckets();
	shared->outcomes = count_outcomes();
	pg_atomic_init_u32(&shared->launcher_session, NONE);
	pg_atomic_init_u32(&shared->launcher_wanted, 0);
	SpinLockInit(&shared->suspect_mutex);
	shared->suspect = NONE;

	init_slots();
	pg_atomic_init_u32(&shared->slots_end, 0);
	for (uint32 i = 0; i < shared->queues; i++)
	{
		pg_atomic_init_u64(&queues[i].next_due, PG_INT64_MAX);
		pg_atomic_init_u64(&queues[i].received_at, 0);
	}
	for (uint32 i = 0; i < shared->sessions; i++)
	{
		pg_atomic_init_u32(&sessions[i].generation, 0);
		pg_atomic_init_u64(&sessions[i].sending, 0);
		pg_atomic_init_u32(&sessions[i].end_wait, 0);
	}
	for (uint32 i = 0; i < MAX_SEGMENTS; i++)
	{
		pg_atomic_init_u64(&segments[i].sent, 0);
		pg_atomic_init_u64(&segments[i].finished, 0);
	}
	for (uint32 i = 0; i < shared->outcomes; i++)
		outcomes[i].next = i + 1 < shared->outcomes ? i + 1 : NONE;
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		pg_atomic_init_u32(&shared->databases[i].open_segment, NONE);
		pg_atomic_init_u32(&shared->databases[i].survivor_segment, NONE);
		pg_atomic_init_u32(&shared->databases[i].keeper_wanted, 0);
		pg_atomic_init_u32(&shared->databases[i].reload, 0);
		pg_atomic_init_u32(&shared->databases[i].recount, 0);
		pg_atomic_init_u32(&shared->databases[i].purged, 0);
		SpinLockInit(&shared->databases[i].ids_mutex);
	}
	shared->quarantine = inflight_begin_life();
}

static void
request(void)
{
#ifdef BATON_HAVE_SHMEM_REQUEST_HOOK
	if (previous_request_hook)
		previous_request_hook();
#endif
	RequestAddinShmemSpace(layout(NULL));
	RequestNamedLWLockTranche("baton", QUEUE_LOCKS + baton_max_queues);
}

static void
startup(void)
{
	bool		found;
	Size		size;
	char	   *base;

	if (previous_startup_hook)
		previous_startup_hook();

	size = layout(NULL);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	base = ShmemInitStruct("baton", size, &found);
	layout(base);
	locks = GetNamedLWLockTranche("baton");
	if (!found)
		init_shared(size);
	tail_init(tail_memory, !found);
	LWLockRelease(AddinShmemInitLock);
}

void
memory_define(void)
{
	inflight_define();
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
#ifdef BATON_HAVE_SHMEM_REQUEST_HOOK
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
#else
	request();
#endif
}

bool
memory_ready(void)
{
	return shared != NULL;
}

void
memory_require(void)
{
	if (!memory_ready())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("baton must be loaded via shared_preload_libraries"),
				 errhint("Add baton to shared_preload_libraries in postgresql.conf and "
						 "restart the server.")));
}

LWLock *
directory_lock(void)
{
	return &locks[DIRECTORY_LOCK].lock;
}

LWLock *
queue_lock(uint32 queue)
{
	Assert(queue < shared->queues);
	return &locks[QUEUE_LOCKS + queue].lock;
}

LWLock *
hash_lock(uint32 bucket)
{
	return &locks[HASH_LOCKS + bucket % HASH_PARTITIONS].lock;
}

LWLock *
key_lock(void)
{
	return &locks[KEY_LOCK].lock;
}

LWLock *
outcome_lock(void)
{
	return &locks[OUTCOME_LOCK].lock;
}

LWLock *
tail_lock(void)
{
	return &locks[TAIL_LOCK].lock;
}

void
session_wake(uint32 session)
{
	if (session < shared->sessions)
		SetLatch(&GetPGProcByNumber(session)->procLatch);
}
