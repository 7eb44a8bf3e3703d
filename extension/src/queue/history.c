/*
 * queue/history.c
 *	  What the loader knows of closed segments.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "log/registry.h"
#include "queue/history.h"

typedef struct Known
{
	bool		looked;
	uint32		generation;		/* of the segment, and how often it had been counted */
	uint32		counts;
	int64	   *ids;			/* NULL: too many, or not counted */
	int			n;
} Known;

static Known known[MAX_SEGMENTS];

static bool
is_current(uint32 segment)
{
	const Segment *s = &segments[segment];
	const Known *k = &known[segment];

	return k->looked && k->generation == s->generation && k->counts == s->counts;
}

void
history_look(uint32 segment)
{
	const Segment *s = &segments[segment];
	Known	   *k = &known[segment];
	SegmentRow	row;

	if (s->state != SEGMENT_CLOSED || is_current(segment))
		return;
	if (k->ids != NULL)
		pfree(k->ids);
	*k = (Known) {.looked = true, .generation = s->generation, .counts = s->counts};
	if (!registry_get(s->number, &row) || row.state != SEGMENT_CLOSED || row.counted_at == 0 ||
		row.unfinished_ids == NULL)
		return;
	k->n = (int) row.unfinished;
	k->ids = MemoryContextAlloc(TopMemoryContext, sizeof(int64) * (k->n + 1));
	memcpy(k->ids, row.unfinished_ids, sizeof(int64) * k->n);
}

/* An older count will do: there were more then. */
const int64 *
history_unfinished(uint32 segment, int *n)
{
	const Segment *s = &segments[segment];
	const Known *k = &known[segment];

	if (s->state != SEGMENT_CLOSED || !k->looked || k->generation != s->generation)
		return NULL;
	*n = k->n;
	return k->ids;
}

bool
history_may_have(uint32 segment, int64 after, int64 upto)
{
	const Segment *s = &segments[segment];
	int			n;
	const int64 *ids;

	if (s->state == SEGMENT_FREE || s->first_id > upto || s->last_id <= after)
		return false;
	ids = history_unfinished(segment, &n);
	return ids == NULL || (n > 0 && ids[0] <= upto && ids[n - 1] > after);
}
