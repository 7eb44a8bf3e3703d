/*
 * core/backoff.c
 *	  How long a message waits before it is tried again.
 */
#include "core/backoff.h"

/* min(max, base * 2^(n-1)), without computing what doesn't fit. */
static int64_t
ceiling_of_try(int64_t base, int64_t max, int n)
{
	int doublings = n < 1 ? 0 : n - 1;

	if (base <= 0 || max <= 0)
		return 0;
	if (doublings >= 63 || base > (max >> doublings))
		return max;
	return base << doublings;
}

int64_t
backoff_delay(int64_t base, int64_t max, int n, uint64_t random)
{
	int64_t ceiling = ceiling_of_try(base, max, n);

	/* The modulo favours small values by ceiling / 2^64: an hour by one in five thousand million. */
	return ceiling == 0 ? 0 : (int64_t) (random % (uint64_t) ceiling) + 1;
}
