/*
 * http/messages.h
 *	  What sending by a body and sending by a stream of lines share.
 */
#ifndef HTTP_MESSAGES_H
#define HTTP_MESSAGES_H

#include <stdbool.h>

typedef struct Request Request;

/* Sends an array of messages: $1 queue, $2 array, $3 headers for each; returns how many. */
extern const char send_lines_sql[];

/* Headers of the request for each message, as JSON; NULL: none; caller frees. */
extern char *messages_trace(const Request *r);

/* The request's Idempotency-Key; NULL: none.  False: it is wrong, which is answered. */
extern bool messages_key(Request *r, const char **key);

#endif
