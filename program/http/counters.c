/*
 * http/counters.c
 *	  How many requests there were, by route and status, and how long they took.
 */
#include "http/counters.h"

#include "base/die.h"

#define STATUSES 600

const int64_t counter_bounds[COUNTER_BUCKETS] = {
    500,    1000,   2500,   5000,    10000,   25000,    50000,
    100000, 250000, 500000, 1000000, 2500000, 10000000, 60000000};

static RouteCounters *counters; /* route_count + 1 */
static uint64_t (*statuses)[STATUSES];

static void
make_room(void)
{
	if (counters)
		return;
	counters = mem_alloc(sizeof(*counters) * (route_count + 1));
	statuses = mem_alloc(sizeof(*statuses) * (route_count + 1));
}

void
counters_add(const Route *route, int status, int64_t us)
{
	int place = route ? (int) (route - routes) : route_count;
	int bucket = 0;

	make_room();
	while (bucket < COUNTER_BUCKETS && us > counter_bounds[bucket])
		bucket++;
	counters[place].buckets[bucket]++;
	counters[place].count++;
	counters[place].us += us;
	statuses[place][status]++;
}

const RouteCounters *
counters_of(int route)
{
	make_room();
	return &counters[route];
}

uint64_t
counters_status(int route, int status)
{
	make_room();
	return statuses[route][status];
}
