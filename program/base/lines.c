/*
 * base/lines.c
 *	  Reads lines from a descriptor, and knows whether there are more at once.
 */
#include "base/lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536

static bool
readable(int fd, int timeout)
{
	struct pollfd wanted = {.fd = fd, .events = POLLIN};

	/* A file is always readable; so is what can't be asked. */
	return poll(&wanted, 1, timeout) != 0;
}

/* Reads once; the lines given out before are gone from the buffer. */
static void
fill(Lines *lines)
{
	Text *buffer = &lines->buffer;
	ssize_t got;

	if (lines->start > 0)
	{
		memmove(buffer->data, buffer->data + lines->start, buffer->length - lines->start);
		buffer->length -= lines->start;
		lines->start = 0;
	}
	text_reserve(buffer, CHUNK);
	got = read(lines->fd, buffer->data + buffer->length, CHUNK);
	if (got > 0)
		buffer->length += got;
	else if (got == 0)
		lines->ended = true;
	else if (errno != EINTR && errno != EAGAIN)
		lines->error = errno;
}

/* The buffer's next whole line, or at the end what is left of it. */
static bool
cut(Lines *lines, size_t searched, const char **line, size_t *length)
{
	Text *buffer = &lines->buffer;
	const char *begin = text_str(buffer) + lines->start;
	size_t left = buffer->length - lines->start;
	const char *end =
	    left > searched ? memchr(begin + searched, '\n', left - searched) : NULL;

	if (end == NULL && (!lines->ended || left == 0))
		return false;
	*line = begin;
	*length = end ? (size_t) (end - begin) : left;
	lines->start += end ? *length + 1 : left;
	return true;
}

LinesNext
lines_next(Lines *lines, const char **line, size_t *length)
{
	size_t searched = 0;

	for (;;)
	{
		if (cut(lines, searched, line, length))
			return LINES_LINE;
		if (lines->error)
			return LINES_FAILED;
		if (lines->ended)
			return LINES_END;
		if (!readable(lines->fd, 0))
			return LINES_LATER;
		searched = lines->buffer.length - lines->start;
		fill(lines);
	}
}

void
lines_wait(const Lines *lines)
{
	(void) readable(lines->fd, -1);
}
