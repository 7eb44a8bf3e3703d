/*
 * http/counters.h
 *	  How many requests there were, by route and status, and how long they took.
 */
#ifndef HTTP_COUNTERS_H
#define HTTP_COUNTERS_H

#include <stdint.h>

#include "base/text.h"
#include "http/route.h"

/* Upper bounds in microseconds; a last bucket has none. */
#define COUNTER_BUCKETS 14
extern const int64_t counter_bounds[COUNTER_BUCKETS];

typedef struct RouteCounters
{
	uint64_t buckets[COUNTER_BUCKETS + 1]; /* each for itself, not added up */
	uint64_t count;
	uint64_t us; /* sum */
} RouteCounters;

/* A request has ended; route NULL: there was none; status 0: no answer was given. */
extern void counters_add(const Route *route, int status, int64_t us);

/* Of routes[route]; route_count: of requests without a route. */
extern const RouteCounters *counters_of(int route);

/* How many requests of routes[route] had that status, 0 to 599. */
extern uint64_t counters_status(int route, int status);

#endif
