/*
 * test_ranges.c
 *	  The list of id ranges: joining, overflow, the ends of bigint, and random
 *	  operations against a set of bits as a model.
 *
 * What it would catch: an id that was added and is not covered (a message never
 * loaded again: lost), and a list that grows, overlaps or is out of order.
 */
#include "unit.h"

#include "core/ranges.h"

#include <string.h>

static void
assert_sound(const IdRanges *ranges)
{
	assert_true(ranges->count <= RANGES_MAX);
	for (uint32_t i = 0; i < ranges->count; i++)
	{
		assert_true(ranges->range[i].first <= ranges->range[i].last);
		if (i > 0)
			assert_true(ranges->range[i - 1].last < ranges->range[i].first - 1);
	}
}

static void
assert_ranges(const IdRanges *ranges, uint32_t count, const IdRange *expected)
{
	assert_sound(ranges);
	assert_int_equal(ranges->count, count);
	for (uint32_t i = 0; i < count; i++)
	{
		assert_true(ranges->range[i].first == expected[i].first);
		assert_true(ranges->range[i].last == expected[i].last);
	}
}

static void
empty_list_has_nothing(void **state)
{
	IdRanges ranges = {0};
	IdRange out;

	(void) state;
	assert_false(ranges_take(&ranges, &out));
	assert_false(ranges_contain(&ranges, 0));
}

static void
overlapping_and_adjacent_are_joined(void **state)
{
	IdRanges ranges = {0};

	(void) state;
	ranges_add(&ranges, 10, 12);
	ranges_add(&ranges, 20, 22);
	ranges_add(&ranges, 1, 1);
	assert_ranges(&ranges, 3, (IdRange[]){{1, 1}, {10, 12}, {20, 22}});

	ranges_add(&ranges, 11, 11); /* within one */
	ranges_add(&ranges, 13, 13); /* adjacent above */
	ranges_add(&ranges, 19, 19); /* adjacent below */
	assert_ranges(&ranges, 3, (IdRange[]){{1, 1}, {10, 13}, {19, 22}});

	ranges_add(&ranges, 15, 17); /* between, touching neither */
	assert_ranges(&ranges, 4, (IdRange[]){{1, 1}, {10, 13}, {15, 17}, {19, 22}});

	ranges_add(&ranges, 14, 18); /* touches both sides and swallows one */
	assert_ranges(&ranges, 2, (IdRange[]){{1, 1}, {10, 22}});

	ranges_add(&ranges, -5, 100);
	assert_ranges(&ranges, 1, (IdRange[]){{-5, 100}});
}

static void
lowest_is_taken_first(void **state)
{
	IdRanges ranges = {0};
	IdRange out;

	(void) state;
	ranges_add(&ranges, 30, 39);
	ranges_add(&ranges, 10, 19);
	assert_true(ranges_take(&ranges, &out));
	assert_true(out.first == 10 && out.last == 19);
	assert_false(ranges_contain(&ranges, 10));
	assert_true(ranges_take(&ranges, &out));
	assert_true(out.first == 30 && out.last == 39);
	assert_false(ranges_take(&ranges, &out));
}

static void
ends_of_bigint(void **state)
{
	IdRanges ranges = {0};

	(void) state;
	ranges_add(&ranges, INT64_MAX, INT64_MAX);
	ranges_add(&ranges, INT64_MIN, INT64_MIN);
	assert_ranges(&ranges, 2,
	              (IdRange[]){{INT64_MIN, INT64_MIN}, {INT64_MAX, INT64_MAX}});
	ranges_add(&ranges, INT64_MAX - 1, INT64_MAX - 1);
	ranges_add(&ranges, INT64_MIN + 1, INT64_MIN + 1);
	assert_ranges(&ranges, 2,
	              (IdRange[]){{INT64_MIN, INT64_MIN + 1}, {INT64_MAX - 1, INT64_MAX}});

	/* Full, with a gap of nearly 2^64 in it: the nearest are joined, not those. */
	for (int i = 0; i < RANGES_MAX - 2; i++)
		ranges_add(&ranges, INT64_MAX - 1000 + i * 10, INT64_MAX - 1000 + i * 10);
	assert_int_equal(ranges.count, RANGES_MAX);
	ranges_add(&ranges, INT64_MIN + 10, INT64_MIN + 10);
	assert_sound(&ranges);
	assert_int_equal(ranges.count, RANGES_MAX);
	assert_false(ranges_contain(&ranges, 0));

	ranges_add(&ranges, INT64_MIN, INT64_MAX);
	assert_ranges(&ranges, 1, (IdRange[]){{INT64_MIN, INT64_MAX}});
}

static void
full_list_joins_the_nearest(void **state)
{
	IdRanges ranges = {0};

	(void) state;
	for (int i = 0; i < RANGES_MAX; i++)
		ranges_add(&ranges, i * 100, i * 100);
	assert_int_equal(ranges.count, RANGES_MAX);

	ranges_add(&ranges, 703, 705); /* nearest to 700 */
	assert_int_equal(ranges.count, RANGES_MAX);
	assert_true(ranges_contain(&ranges, 702));
	assert_false(ranges_contain(&ranges, 699));
	assert_false(ranges_contain(&ranges, 706));
	assert_false(ranges_contain(&ranges, 750));

	ranges_add(&ranges, -50, -50); /* the new one, first of all, nearest to 0 */
	assert_int_equal(ranges.count, RANGES_MAX);
	assert_true(ranges_contain(&ranges, -25));

	ranges_add(&ranges, 1590, 1590); /* the new one, last of all, nearest to 1500 */
	assert_int_equal(ranges.count, RANGES_MAX);
	assert_true(ranges_contain(&ranges, 1545));
	assert_sound(&ranges);
}

/* ----------------------------------------------------------------
 *		Against a model
 * ----------------------------------------------------------------
 */

#define IDS 2000

typedef struct Model
{
	IdRanges ranges;
	bool added[IDS];   /* must be covered */
	bool covered[IDS]; /* what the list covered before the operation */
} Model;

static void
model_snapshot(Model *model)
{
	for (int id = 0; id < IDS; id++)
		model->covered[id] = ranges_contain(&model->ranges, id);
}

/* How many ids the list covers now that it did not before, first..last aside. */
static int
model_surplus(const Model *model, int64_t first, int64_t last)
{
	int surplus = 0;

	for (int id = 0; id < IDS; id++)
	{
		bool covered = ranges_contain(&model->ranges, id);

		assert_true(covered || !model->added[id]);
		assert_true(covered || !model->covered[id]);
		if (covered && !model->covered[id] && (id < first || id > last))
			surplus++;
	}
	return surplus;
}

/* The least surplus that makes room: the smallest gap the exact list would have. */
static int
model_smallest_gap(const Model *model, int64_t first, int64_t last)
{
	int smallest = IDS;
	int gap = -1; /* -1: before the first covered id */
	int gaps = 0;

	for (int id = 0; id < IDS; id++)
	{
		if (model->covered[id] || (id >= first && id <= last))
		{
			if (gap > 0)
			{
				gaps++;
				if (gap < smallest)
					smallest = gap;
			}
			gap = 0;
		}
		else if (gap >= 0)
			gap++;
	}
	return gaps >= RANGES_MAX ? smallest : 0;
}

static void
model_add(Model *model)
{
	int64_t first = random_below(IDS);
	int64_t last = first + random_below(random_below(20) == 0 ? 200 : 5);

	if (last >= IDS)
		last = IDS - 1;
	model_snapshot(model);
	for (int64_t id = first; id <= last; id++)
		model->added[id] = true;
	ranges_add(&model->ranges, first, last);
	assert_int_equal(model_surplus(model, first, last),
	                 model_smallest_gap(model, first, last));
}

static void
model_take(Model *model)
{
	IdRange out;
	bool any;

	model_snapshot(model);
	any = ranges_take(&model->ranges, &out);
	for (int id = 0; id < IDS; id++)
	{
		bool taken = any && id >= out.first && id <= out.last;

		if (any && id < out.first)
			assert_false(model->covered[id]);
		assert_int_equal(ranges_contain(&model->ranges, id),
		                 model->covered[id] && !taken);
		if (taken)
			model->added[id] = false;
	}
}

static void
random_operations_agree_with_a_model(void **state)
{
	Model model;

	(void) state;
	random_seed(1);
	memset(&model, 0, sizeof(model));
	for (int step = 0; step < 20000; step++)
	{
		/* Phases in which the list is mostly full, and in which it is mostly empty. */
		uint32_t takes = step / 1000 % 2 ? 2 : 6;

		if (random_below(10) < takes)
			model_take(&model);
		else
			model_add(&model);
		assert_sound(&model.ranges);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_list_has_nothing),
	    cmocka_unit_test(overlapping_and_adjacent_are_joined),
	    cmocka_unit_test(lowest_is_taken_first),
	    cmocka_unit_test(ends_of_bigint),
	    cmocka_unit_test(full_list_joins_the_nearest),
	    cmocka_unit_test(random_operations_agree_with_a_model),
	};

	return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
