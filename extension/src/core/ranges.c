/*
 * core/ranges.c
 *	  A short list of id ranges that never overflows.
 */
#include "core/ranges.h"

#include <string.h>

/* Whether a and b, b not before a, leave no id between them. */
static bool
touches(const IdRange *a, const IdRange *b)
{
	return b->first <= a->last || b->first - 1 == a->last;
}

/* How many ids lie between range[i] and range[i + 1]. */
static uint64_t
gap_after(const IdRange *range, uint32_t i)
{
	return (uint64_t) range[i + 1].first - (uint64_t) range[i].last - 1;
}

/* Takes range[i] out of the first count. */
static void
take_out(IdRange *range, uint32_t count, uint32_t i)
{
	memmove(&range[i], &range[i + 1], (count - i - 1) * sizeof(IdRange));
}

/* Joins the two neighbours of the first count, at least two, that are nearest to each other. */
static void
join_nearest(IdRange *range, uint32_t count)
{
	uint32_t nearest = 0;

	for (uint32_t i = 1; i + 1 < count; i++)
		if (gap_after(range, i) < gap_after(range, nearest))
			nearest = i;
	range[nearest].last = range[nearest + 1].last;
	take_out(range, count, nearest + 1);
}

/* Puts new, which touches none of them, at place i of the ranges. */
static void
put_in(IdRanges *ranges, uint32_t i, IdRange new)
{
	IdRange range[RANGES_MAX + 1];
	uint32_t count = ranges->count + 1;

	memcpy(range, ranges->range, i * sizeof(IdRange));
	range[i] = new;
	memcpy(&range[i + 1], &ranges->range[i], (ranges->count - i) * sizeof(IdRange));

	if (count > RANGES_MAX)
		join_nearest(range, count--);
	memcpy(ranges->range, range, count * sizeof(IdRange));
	ranges->count = count;
}

void
ranges_add(IdRanges *ranges, int64_t first, int64_t last)
{
	IdRange new = {first, last};
	IdRange *range = ranges->range;
	uint32_t i = 0;

	while (i < ranges->count && range[i].last < first && !touches(&range[i], &new))
		i++;

	/* From here on, whatever touches the new range becomes part of it. */
	while (i < ranges->count && touches(&new, &range[i]))
	{
		if (range[i].first < new.first)
			new.first = range[i].first;
		if (range[i].last > new.last)
			new.last = range[i].last;
		take_out(range, ranges->count--, i);
	}
	put_in(ranges, i, new);
}

bool
ranges_take(IdRanges *ranges, IdRange *out)
{
	if (ranges->count == 0)
		return false;
	*out = ranges->range[0];
	take_out(ranges->range, ranges->count--, 0);
	return true;
}

bool
ranges_contain(const IdRanges *ranges, int64_t id)
{
	for (uint32_t i = 0; i < ranges->count; i++)
		if (ranges->range[i].first <= id && id <= ranges->range[i].last)
			return true;
	return false;
}
