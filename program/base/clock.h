/*
 * base/clock.h
 *	  The program's one source of time.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds that only go forward; for intervals. */
extern int64_t clock_ms(void);

/* The same in microseconds. */
extern int64_t clock_us(void);

/* Waits between two looks at something that can't be waited for otherwise. */
extern void clock_pause_ms(int64_t ms);

/* The wall clock as "2026-01-31T12:34:56.789Z", for log lines. */
#define CLOCK_STAMP_SIZE 32
extern void clock_stamp(char buffer[CLOCK_STAMP_SIZE]);

#endif
