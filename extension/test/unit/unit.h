/*
 * unit.h
 *	  What every unit test needs: cmocka, and random numbers that can be had again.
 *
 * The seed is fixed unless BATON_TEST_SEED is set, so that a failure comes back
 * at the next run; a failing test names its seed.
 */
#ifndef BATON_UNIT_H
#define BATON_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t random_state;

static inline void
random_seed(uint64_t seed)
{
	const char *given = getenv("BATON_TEST_SEED");

	random_state = given != NULL ? strtoull(given, NULL, 0) : seed;
	print_message("seed %llu\n", (unsigned long long) random_state);
}

/* SplitMix64. */
static inline uint64_t
random_bits(void)
{
	uint64_t x = (random_state += UINT64_C(0x9e3779b97f4a7c15));

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* 0 .. limit - 1 */
static inline uint32_t
random_below(uint32_t limit)
{
	return (uint32_t) (random_bits() % limit);
}

#endif
