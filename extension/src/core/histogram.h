/*
 * core/histogram.h
 *	  How often what lasted how long: fixed buckets from 1 ms to 1 h.
 *
 * Adding is a bit scan and one comparison, so it may stand on the hot path, under a lock: the bounds are so
 * far apart that between a power of two and the next there is one at most.
 */
#ifndef BATON_CORE_HISTOGRAM_H
#define BATON_CORE_HISTOGRAM_H

#include <stdint.h>

/* Upper bounds, inclusive: 1 ms, 3 ms, 10 ms, ... 60 s, 5 min, 15 min, 1 h. */
#define HISTOGRAM_BOUNDS 14

typedef struct Histogram
{
	uint64_t	count[HISTOGRAM_BOUNDS + 1];	/* by bucket, not cumulated; the last: above all bounds */
	uint64_t	sum;			/* microseconds */
} Histogram;

/* Adds a time in microseconds; a negative one, as of a clock that was set back, counts as zero. */
extern void histogram_add(Histogram *histogram, int64_t time);

/* The upper bound of a bucket, in microseconds; bucket < HISTOGRAM_BOUNDS. */
extern int64_t histogram_bound(int bucket);

#endif
