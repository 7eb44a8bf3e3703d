/*
 * core/backoff.h
 *	  How long a message waits before it is tried again.
 *
 * Exponential with full jitter: a uniform draw from (0, min(max, base * 2^(n-1))],
 * as Marc Brooker's "Exponential Backoff And Jitter" (AWS, 2015) recommends.
 */
#ifndef BATON_CORE_BACKOFF_H
#define BATON_CORE_BACKOFF_H

#include <stdint.h>

/*
 * base, max: microseconds, >= 0; n: the how-manieth try failed, >= 1 (less counts as 1);
 * random: 64 uniform random bits.  Returns microseconds, in 0..max; never overflows.
 */
extern int64_t backoff_delay(int64_t base, int64_t max, int n, uint64_t random);

#endif
