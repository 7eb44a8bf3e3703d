/*
 * base/clock.c
 *	  The program's one source of time.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#ifdef BATON_TEST
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Microseconds by which a test has moved the clock: the int64_t in the file BATON_TEST_CLOCK. */
static int64_t
moved_us(void)
{
	static const volatile int64_t *moved;
	static const int64_t nothing = 0;
	const char *name = getenv("BATON_TEST_CLOCK");

	if (moved == NULL)
	{
		int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
		void *file = mmap(NULL, sizeof(*moved), PROT_READ, MAP_SHARED, fd, 0);

		moved = file == MAP_FAILED ? &nothing : file;
		if (fd >= 0)
			close(fd);
	}
	return *moved;
}
#else
#define moved_us() 0
#endif

int64_t
clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000 + moved_us();
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
