/*
 * core/ranges.h
 *	  A short list of id ranges that never overflows: when it is full, the two
 *	  nearest ranges merge, and the list then covers a little too much.
 *
 * Used for a lane's gaps: what is in the log at or below the lane's mark and
 * has to be read again.  Covering too much costs time, never correctness.
 *
 * Locking: none; the caller's.  Nothing is allocated and nothing fails.
 */
#ifndef BATON_CORE_RANGES_H
#define BATON_CORE_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#define RANGES_MAX 16

typedef struct IdRange
{
	int64_t		first;			/* inclusive */
	int64_t		last;			/* inclusive */
} IdRange;

typedef struct IdRanges
{
	uint32_t	count;
	IdRange		range[RANGES_MAX];	/* ascending, disjoint, not adjacent */
} IdRanges;

/* Adds first..last (first <= last); overlapping and adjacent ranges are joined. */
extern void ranges_add(IdRanges *ranges, int64_t first, int64_t last);

/* Takes the lowest range off into *out; false when there is none. */
extern bool ranges_take(IdRanges *ranges, IdRange *out);

extern bool ranges_contain(const IdRanges *ranges, int64_t id);

#endif
