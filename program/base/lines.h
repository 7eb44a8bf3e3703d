/*
 * base/lines.h
 *	  Reads lines from a descriptor, and knows whether there are more at once.
 *
 * A reader that collects lines into batches must not keep back what it has while
 * a slow writer thinks about the next one.
 */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include "base/text.h"

typedef struct Lines
{
	int fd;
	Text buffer; /* read and not given out yet, from start on */
	size_t start;
	bool ended; /* nothing more to read */
	int error;  /* errno of a read that failed */
} Lines;

typedef enum LinesNext
{
	LINES_LINE,  /* *line holds one, without its end */
	LINES_LATER, /* none is there yet: lines_wait() */
	LINES_END,
	LINES_FAILED /* lines->error says why */
} LinesNext;

/* The next line, without waiting; valid until the next call. */
extern LinesNext lines_next(Lines *lines, const char **line, size_t *length);

/* Waits until there is something to read. */
extern void lines_wait(const Lines *lines);

#endif
