/*
 * base/clock.c
 *	  The program's one source of time.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t
clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
clock_ms(void)
{
	return clock_us() / 1000;
}

void
clock_pause_ms(int64_t ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

void
clock_stamp(char buffer[CLOCK_STAMP_SIZE])
{
	struct timespec now;
	struct tm utc;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	length = strftime(buffer, CLOCK_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(buffer + length, CLOCK_STAMP_SIZE - length, ".%03dZ",
	         (int) (now.tv_nsec / 1000000));
}
