/*
 * http/stream.h
 *	  A body in lines (application/x-ndjson): a message each, sent in batches as they
 *	  come, in one transaction, with bounded memory.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include <stddef.h>

typedef struct Request Request;
typedef struct Stream Stream;

extern Stream *stream_begin(Request *r);

/* Takes some of the bytes; what it leaves the library offers again, after a pause. */
extern size_t stream_data(Stream *stream, const char *data, size_t size);

/* The body is over: sends what is left, commits, answers. */
extern void stream_end(Stream *stream);

/* Without a commit nothing was sent. */
extern void stream_free(Stream *stream);

#endif
