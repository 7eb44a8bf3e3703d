/*
 * testing.c
 *	  Test builds only; test/baton_test.sql declares the SQL functions.
 *
 * The state is in an anonymous shared mapping made at preload, so it survives a crash restart,
 * as the tests of that need.
 */
#include "postgres.h"

#ifdef BATON_TEST

#include <sys/mman.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "baton.h"
#include "compat.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/memory.h"
#include "memory/slots.h"
#include "testing.h"

PG_FUNCTION_INFO_V1(baton_test_hold);
PG_FUNCTION_INFO_V1(baton_test_hold_one);
PG_FUNCTION_INFO_V1(baton_test_release);
PG_FUNCTION_INFO_V1(baton_test_fail);
PG_FUNCTION_INFO_V1(baton_test_held);
PG_FUNCTION_INFO_V1(baton_test_clear);
PG_FUNCTION_INFO_V1(baton_test_set_clock);
PG_FUNCTION_INFO_V1(baton_test_wake);
PG_FUNCTION_INFO_V1(baton_test_check_memory);

#define POINTS 32

typedef enum PointAction
{
	POINT_NONE,
	POINT_HOLD,					/* who comes by waits until it is released */
	POINT_HOLD_ONE,				/* the next one only */
	POINT_HELD_ONE,				/* it has come */
	POINT_FAIL					/* the next one who comes by gets an error */
} PointAction;

typedef struct Point
{
	char		name[64];
	PointAction action;
	int			holding;		/* sessions that wait here */
} Point;

typedef struct Testing
{
	slock_t		mutex;
	int64		clock;			/* added to the system's time, microseconds */
	Point		point[POINTS];
} Testing;

static Testing *testing;

void
testing_define(void)
{
	testing = mmap(NULL, sizeof(Testing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				   -1, 0);
	if (testing == MAP_FAILED)
		elog(FATAL, "could not map memory for tests: %m");
	SpinLockInit(&testing->mutex);
}

TimestampTz
baton_now(void)
{
	return GetCurrentTimestamp() + (testing ? testing->clock : 0);	/* allowed: this is the clock */
}

/* Points */

static Point *
find_point(const char *name, bool make)
{
	Point	   *free = NULL;

	for (int i = 0; i < POINTS; i++)
	{
		if (strcmp(testing->point[i].name, name) == 0)
			return &testing->point[i];
		if (testing->point[i].name[0] == '\0' && free == NULL)
			free = &testing->point[i];
	}
	if (make && free != NULL)
		strlcpy(free->name, name, sizeof(free->name));
	return make ? free : NULL;
}

static PointAction
take_action(Point *point, bool may_fail, bool held)
{
	PointAction action;

	SpinLockAcquire(&testing->mutex);
	action = point->action;
	if (action == POINT_FAIL && may_fail)
		point->action = POINT_NONE;
	if (action == POINT_HOLD_ONE)
		point->action = POINT_HELD_ONE;
	SpinLockRelease(&testing->mutex);
	if (action == POINT_HOLD_ONE || (action == POINT_HELD_ONE && held))
		action = POINT_HOLD;
	return action;
}

static void
count_holding(Point *point, int n)
{
	SpinLockAcquire(&testing->mutex);
	point->holding += n;
	SpinLockRelease(&testing->mutex);
}

void
baton_test_point(const char *name, bool may_fail)
{
	Point	   *point;
	bool		counted = false;

	if (testing == NULL || (point = find_point(name, false)) == NULL)
		return;
	for (;;)
	{
		PointAction action = take_action(point, may_fail, counted);

		if (action == POINT_FAIL && may_fail)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("test point \"%s\" failed on demand", name)));
		if (action != POINT_HOLD)
			break;
		if (!counted)
		{
			count_holding(point, 1);
			/* the isolation tester sees by it that the session is blocked */
			pgstat_report_wait_start(BatonWaitEvent("BatonTestPoint"));
		}
		counted = true;
		if (may_fail && (ProcDiePending || QueryCancelPending))
		{
			pgstat_report_wait_end();
			count_holding(point, -1);
			CHECK_FOR_INTERRUPTS();
			return;
		}
		/* who is held mustn't hold up all others, such as DROP DATABASE */
		if (may_fail && ProcSignalBarrierPending)
			ProcessProcSignalBarrier();
		/* a commit callback may not wait for a latch; this is for tests only */
		pg_usleep(2000);			/* allowed: test builds only */
	}
	if (counted)
	{
		pgstat_report_wait_end();
		count_holding(point, -1);
	}
}

static void
set_action(FunctionCallInfo fcinfo, PointAction action)
{
	Point	   *point = find_point(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);

	if (point == NULL)
		elog(ERROR, "too many test points");
	SpinLockAcquire(&testing->mutex);
	point->action = action;
	SpinLockRelease(&testing->mutex);
}

Datum
baton_test_hold(PG_FUNCTION_ARGS)
{
	set_action(fcinfo, POINT_HOLD);
	PG_RETURN_VOID();
}

Datum
baton_test_hold_one(PG_FUNCTION_ARGS)
{
	set_action(fcinfo, POINT_HOLD_ONE);
	PG_RETURN_VOID();
}

Datum
baton_test_release(PG_FUNCTION_ARGS)
{
	set_action(fcinfo, POINT_NONE);
	PG_RETURN_VOID();
}

Datum
baton_test_fail(PG_FUNCTION_ARGS)
{
	set_action(fcinfo, POINT_FAIL);
	PG_RETURN_VOID();
}

Datum
baton_test_held(PG_FUNCTION_ARGS)
{
	Point	   *point = find_point(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);

	PG_RETURN_BOOL(point != NULL && point->holding > 0);
}

static void
wake_all(void)
{
	for (uint32 i = 0; i < shared->sessions; i++)
		session_wake(i);
}

Datum
baton_test_clear(PG_FUNCTION_ARGS)
{
	SpinLockAcquire(&testing->mutex);
	for (int i = 0; i < POINTS; i++)
		testing->point[i].action = POINT_NONE;
	testing->clock = 0;
	SpinLockRelease(&testing->mutex);
	wake_all();
	PG_RETURN_VOID();
}

Datum
baton_test_set_clock(PG_FUNCTION_ARGS)
{
	Interval   *interval = PG_GETARG_INTERVAL_P(0);

	testing->clock = interval->time + interval->day * USECS_PER_DAY +
					 interval->month * INT64CONST(30) * USECS_PER_DAY;
	wake_all();
	PG_RETURN_VOID();
}

Datum
baton_test_wake(PG_FUNCTION_ARGS)
{
	wake_all();
	PG_RETURN_VOID();
}

/* Invariants */

#define BROKEN(...) ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg(__VA_ARGS__)))

/* What a walk over one queue's structures has found. */
typedef struct Seen
{
	uint32		count[SLOT_STATES];
	bool	   *place;			/* by slot: found in a list or heap */
} Seen;

static void
see(Seen *seen, uint32 q, uint32 slot, SlotState state)
{
	if (slot >= shared->window || slots[slot].queue != q || slots[slot].state != state)
		BROKEN("queue %u: slot %u is linked where state %d belongs, but has state %d", q, slot,
			   state, slots[slot].state);
	if (seen->place[slot])
		BROKEN("queue %u: slot %u is linked twice", q, slot);
	seen->place[slot] = true;
}

static void
see_heap(Seen *seen, uint32 q, uint32 slot, int kind)
{
	for (; slot != HEAP_NIL; slot = nodes[slot].next)
	{
		SlotState	state = kind == 0 ? SLOT_READY : kind == 1 ? SLOT_BLOCKED
																	  : slots[slot].state;

		if (kind == 2 && state != SLOT_DELAYED && state != SLOT_CLAIMED)
			BROKEN("queue %u: slot %u in state %d has a timer", q, slot, state);
		see(seen, q, slot, state);
		see_heap(seen, q, nodes[slot].child, kind);
	}
}

static void
check_heap(uint32 q, HeapRoot root, const char *what)
{
	uint32		count;

	if (!heap_check(nodes, root, shared->window, &count))
		BROKEN("queue %u: its %s heap is broken", q, what);
}

static void
check_lane(Seen *seen, uint32 q, const Lane *lane)
{
	uint32		n = 0;
	uint32		in_heap = 0;
	int64		last = -1;

	for (uint32 s = lane->head; s != NONE; s = slots[s].next)
	{
		see(seen, q, s, SLOT_READY);
		if (slots[s].id <= last)
			BROKEN("queue %u: lane out of order at id " INT64_FORMAT, q, slots[s].id);
		last = slots[s].id;
		n++;
	}
	check_heap(q, lane->late, "lane");
	if (lane->late != HEAP_NIL)
		heap_check(nodes, lane->late, shared->window, &in_heap);
	see_heap(seen, q, lane->late, 0);
	if (n + in_heap != lane->ready)
		BROKEN("queue %u: lane counts %u ready, has %u", q, lane->ready, n + in_heap);
	if (lane->loaded > lane->cursor)
		BROKEN("queue %u: loaded is beyond cursor", q);
}

static void
check_slots_of(Seen *seen, uint32 q)
{
	uint32		total = 0;

	for (uint32 i = 0; i < shared->window; i++)
	{
		const Slot *s = &slots[i];
		bool		linked = s->state == SLOT_READY || s->state == SLOT_BLOCKED ||
					  s->state == SLOT_DELAYED || (s->state == SLOT_CLAIMED && s->due != 0);

		if (s->state == SLOT_FREE || s->queue != q)
			continue;
		total++;
		seen->count[s->state]++;
		if (linked != seen->place[i])
			BROKEN("queue %u: slot %u in state %d is %s", q, i, s->state,
				   linked ? "nowhere" : "somewhere");
	}
	for (int state = SLOT_FREE + 1; state < SLOT_STATES; state++)
		if (seen->count[state] != queues[q].count[state])
			BROKEN("queue %u: counts %u in state %d, has %u", q, queues[q].count[state], state,
				   seen->count[state]);
	if (total != queues[q].slots)
		BROKEN("queue %u: counts %u slots, has %u", q, queues[q].slots, total);
}

static void
check_keys_of(Seen *seen, uint32 q)
{
	for (uint32 b = 0; b < shared->buckets; b++)
	{
		for (uint32 k = key_buckets[b]; k != NONE; k = keys[k].next)
		{
			uint32		holders = 0;

			if (keys[k].queue != q)
				continue;
			check_heap(q, keys[k].line, "key");
			see_heap(seen, q, keys[k].line, 1);
			for (uint32 i = 0; i < shared->window; i++)
				if (slots[i].state != SLOT_FREE && slots[i].queue == q &&
					slots[i].key_hash == keys[k].hash && (slots[i].flags & SLOT_HOLDS_KEY))
					holders++;
			if (holders != keys[k].holders)
				BROKEN("queue %u: key counts %u holders, has %u", q, keys[k].holders, holders);
		}
	}
}

static uint64
histogram_total(const Histogram *histogram)
{
	uint64		total = 0;

	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		total += histogram->count[i];
	return total;
}

/* What was delivered is held or has ended; more may have ended, of a life of the server before this one. */
static void
check_counters_of(uint32 q)
{
	const QueueCounters *c = &queues[q].counters;
	uint64		ended = c->completed + c->failed + c->vanished + c->lease_expired + c->released;
	uint64		held = 0;

	for (uint32 i = 0; i < shared->window; i++)
		held += slots[i].queue == q && (slots[i].flags & SLOT_DELIVERED) &&
				(slots[i].state == SLOT_CLAIMED || slots[i].state == SLOT_SETTLING);
	if (c->delivered > ended + held)
		BROKEN("queue %u: " UINT64_FORMAT " were delivered, " UINT64_FORMAT
			   " have ended, " UINT64_FORMAT " are held",
			   q, c->delivered, ended, held);
	if (histogram_total(&c->time_in_queue) != c->delivered ||
		histogram_total(&c->time_in_work) != c->completed)
		BROKEN("queue %u: the histograms don't have what was counted", q);
}

static void
check_queue(uint32 q)
{
	Seen		seen = {.place = palloc0(shared->window * sizeof(bool))};
	const Queue *queue = &queues[q];

	LWLockAcquire(queue_lock(q), LW_EXCLUSIVE);
	if (queue->state == QUEUE_LIVE)
	{
		for (int p = 0; p < BATON_PRIORITIES; p++)
			check_lane(&seen, q, &queue->lanes[p]);
		check_heap(q, queue->timers, "timer");
		see_heap(&seen, q, queue->timers, 2);
		check_keys_of(&seen, q);
		check_slots_of(&seen, q);
		check_counters_of(q);
	}
	LWLockRelease(queue_lock(q));
	pfree(seen.place);
}

/* Raises an error that says what is broken.  Returns the number of slots in use. */
Datum
baton_test_check_memory(PG_FUNCTION_ARGS)
{
	uint32		used = 0;

	memory_require();
	for (uint32 q = 0; q < shared->queues; q++)
		if (queues[q].state == QUEUE_LIVE)
			check_queue(q);
	for (uint32 i = 0; i < shared->window; i++)
	{
		used += slots[i].state != SLOT_FREE;
		if (slots[i].state != SLOT_FREE && i >= slots_end())
			BROKEN("slot %u is in use, and not below %u", i, slots_end());
	}
	PG_RETURN_INT32((int32) used);
}

#endif
