/*
 * test_backoff.c
 *	  Exponential backoff with full jitter.
 *
 * What it would catch: an overflow to a negative or absurd delay, a delay beyond
 * the maximum, and jitter that isn't: an outage's messages coming back in step.
 */
#include "unit.h"

#include "core/backoff.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

static void
doubles_up_to_the_maximum(void **state)
{
	/* The draw is from 1..ceiling, and random = ceiling - 1 gives its end. */
	static const struct
	{
		int n;
		int64_t ceiling;
	} cases[] = {{-1, SECOND},    {0, SECOND},       {1, SECOND},
	             {2, 2 * SECOND}, {3, 4 * SECOND},   {12, 2048 * SECOND},
	             {13, HOUR},      {63, HOUR},        {64, HOUR},
	             {1000, HOUR},    {INT32_MAX, HOUR}, {INT32_MIN, SECOND}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t ceiling = cases[i].ceiling;

		assert_int_equal(backoff_delay(SECOND, HOUR, cases[i].n, (uint64_t) ceiling - 1),
		                 ceiling);
		assert_int_equal(backoff_delay(SECOND, HOUR, cases[i].n, (uint64_t) ceiling), 1);
		assert_int_equal(backoff_delay(SECOND, HOUR, cases[i].n, 0), 1);
	}
}

static void
extremes_stay_in_range(void **state)
{
	static const int64_t lengths[] = {
	    0,        1, 2, 3, SECOND, HOUR, INT64_MAX / 2, INT64_MAX / 2 + 1, INT64_MAX - 1,
	    INT64_MAX};
	enum
	{
		N = sizeof(lengths) / sizeof(lengths[0])
	};

	(void) state;
	random_seed(1);
	for (int b = 0; b < N; b++)
		for (int m = 0; m < N; m++)
			for (int n = 0; n < 130; n++)
				for (int k = 0; k < 4; k++)
				{
					uint64_t random = k == 0 ? UINT64_MAX : random_bits();
					int64_t delay = backoff_delay(lengths[b], lengths[m], n, random);

					assert_true(delay >= 0 && delay <= lengths[m]);
					assert_true((delay == 0) == (lengths[b] == 0 || lengths[m] == 0));
				}
}

static void
base_above_the_maximum_is_the_maximum(void **state)
{
	(void) state;
	assert_int_equal(backoff_delay(HOUR, SECOND, 1, (uint64_t) SECOND - 1), SECOND);
}

/* Ten equal shares of the range get about a tenth of the draws each. */
static void
jitter_is_uniform(void **state)
{
	int share[10] = {0};

	(void) state;
	random_seed(1);
	for (int i = 0; i < 100000; i++)
	{
		int64_t delay = backoff_delay(SECOND, HOUR, 20, random_bits());

		share[(delay - 1) * 10 / HOUR]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(share[i], 9500, 10500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(doubles_up_to_the_maximum),
	    cmocka_unit_test(extremes_stay_in_range),
	    cmocka_unit_test(base_above_the_maximum_is_the_maximum),
	    cmocka_unit_test(jitter_is_uniform),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
