/*
 * core/histogram.c
 *	  How often what lasted how long: fixed buckets from 1 ms to 1 h.
 */
#include "core/histogram.h"

#define MS INT64_C(1000)
#define S INT64_C(1000000)

static const int64_t bounds[HISTOGRAM_BOUNDS] = {
	1 * MS, 3 * MS, 10 * MS, 30 * MS, 100 * MS, 300 * MS,
	1 * S, 3 * S, 10 * S, 30 * S, 60 * S, 300 * S, 900 * S, 3600 * S,
};

/* The lowest bound that is at least 2^bit; from bit 32 on there is none. */
static const uint8_t first[] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4,
	4, 5, 5, 6, 7, 7, 8, 8, 9, 10, 11, 11, 11, 12, 13, 13,
};

void
histogram_add(Histogram *histogram, int64_t time)
{
	int			bit;
	int			bucket;

	if (time < 0)
		time = 0;
	bit = 63 - __builtin_clzll((unsigned long long) time | 1);
	bucket = bit < (int) sizeof(first) ? first[bit] : HISTOGRAM_BOUNDS;
	if (bucket < HISTOGRAM_BOUNDS && time > bounds[bucket])
		bucket++;
	histogram->count[bucket]++;
	histogram->sum += (uint64_t) time;
}

int64_t
histogram_bound(int bucket)
{
	return bounds[bucket];
}
