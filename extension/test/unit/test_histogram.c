/*
 * test_histogram.c
 *	  Buckets by bit scan.
 *
 * What it would catch: a time in the wrong bucket, above all at a bound and one microsecond beside it; two bounds
 * between a power of two and the next, which the scan can't tell apart; times that are negative or absurd.
 */
#include <string.h>

#include "unit.h"

#include "core/histogram.h"

/* The bucket a time goes to, and nothing else changes. */
static int
bucket_of(int64_t time)
{
	Histogram h;
	int found = -1;

	memset(&h, 0, sizeof(h));
	histogram_add(&h, time);
	assert_true(h.sum == (uint64_t) (time < 0 ? 0 : time));
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		if (h.count[i] != 0)
		{
			assert_int_equal(h.count[i], 1);
			assert_int_equal(found, -1);
			found = i;
		}
	return found;
}

/* By looking at one bound after the other. */
static int
expected(int64_t time)
{
	int i = 0;

	while (i < HISTOGRAM_BOUNDS && time > histogram_bound(i))
		i++;
	return i;
}

static void
bounds_are_inclusive(void **state)
{
	(void) state;
	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
	{
		assert_int_equal(bucket_of(histogram_bound(i)), i);
		assert_int_equal(bucket_of(histogram_bound(i) + 1), i + 1);
		assert_int_equal(bucket_of(histogram_bound(i) - 1), i);
	}
}

static void
bounds_rise(void **state)
{
	(void) state;
	assert_int_equal(histogram_bound(0), 1000);
	assert_int_equal(histogram_bound(HISTOGRAM_BOUNDS - 1), INT64_C(3600000000));
	for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(histogram_bound(i) >= 2 * histogram_bound(i - 1));
}

static void
any_time_finds_its_bucket(void **state)
{
	(void) state;
	random_seed(1);
	for (int bit = 0; bit < 63; bit++)
		for (int i = -1; i <= 1; i++)
			assert_int_equal(bucket_of((INT64_C(1) << bit) + i),
			                 expected((INT64_C(1) << bit) + i));
	for (int i = 0; i < 100000; i++)
	{
		int64_t time = (int64_t) (random_bits() >> (1 + random_below(63)));

		assert_int_equal(bucket_of(time), expected(time));
	}
}

static void
negative_counts_as_zero(void **state)
{
	(void) state;
	assert_int_equal(bucket_of(-1), 0);
	assert_int_equal(bucket_of(INT64_MIN), 0);
	assert_int_equal(bucket_of(INT64_MAX), HISTOGRAM_BOUNDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bounds_are_inclusive),
	    cmocka_unit_test(bounds_rise),
	    cmocka_unit_test(any_time_finds_its_bucket),
	    cmocka_unit_test(negative_counts_as_zero),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
