/*
 * http/request.h
 *	  A request as the handlers see it, and the few ways to answer it.
 *
 *		headers ──> (auth) ──> body ──> running ──> answered
 *
 * A handler gets a request whose route, token and body are checked.  It asks the database
 * one thing (request_query) or answers at once; either way exactly one answer is
 * given.  Everything runs in the one thread of the loop.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <libpq-fe.h>

#include "base/loop.h"
#include "base/text.h"
#include "http/auth.h"
#include "http/pool.h"
#include "http/route.h"

struct MHD_Connection;
struct MHD_Response;
typedef struct Client Client;
typedef struct Server Server;
typedef struct Stream Stream;

#define REQUEST_ARGUMENTS 2
#define REQUEST_PARAMETERS 8

typedef struct Parameter
{
	char *name;
	char *value;
} Parameter;

typedef struct Request
{
	Server *server;
	Client *client;
	const Route *route; /* NULL: nothing matched, and that has been answered */
	int64_t started;    /* clock_us() */
	Identity who;       /* by its token */

	char *arguments[REQUEST_ARGUMENTS];       /* of {} in the path, decoded; owned */
	Parameter parameters[REQUEST_PARAMETERS]; /* of the query, decoded; owned */
	int parameter_count;

	bool has_body;
	bool complete;  /* headers and body have been read */
	Text body;      /* up to the limit; not of a stream */
	int refusal;    /* status, for a body that was dropped; 0: none */
	Stream *stream; /* a body in lines, taken as it comes; NULL: none */

	int status;                    /* of the answer; 0: none yet */
	struct MHD_Response *response; /* an answer that waits for the body's end */
	const char *problem;           /* what is in it, and is its own; NULL: no answer waits */
	bool suspended;                /* the library waits for us */
	bool again;                    /* the library will call the same step again */
	PoolJob *job;                  /* statement under way; NULL: none */
	void (*then)(struct Request *, const PGresult *);
	void *own; /* the handler's; freed by forget */
	void (*forget)(struct Request *, bool written);
} Request;

/* The query's parameter; NULL: not given. */
extern const char *request_parameter(const Request *r, const char *name);

/* A header as it came; NULL: not given. */
extern const char *request_header(const Request *r, const char *name);

/*
 * Runs a statement and calls then with a result that is no error; an error, or
 * that there is no connection, is answered here.
 */
extern void request_query(Request *r, Query query,
                          void (*then)(Request *, const PGresult *));

/* Answers for then: the first value as JSON; 404 if there is no row; nothing. */
extern void request_answer_row(Request *r, const PGresult *result);
extern void request_answer_nothing(Request *r, const PGresult *result);

/* Answers with JSON, which is taken over; NULL: without a body. */
extern void request_answer(Request *r, int status, char *json);

/* The same with one more header. */
extern void request_answer_with(Request *r, int status, char *json, const char *header,
                                const char *value);

/* Answers with another type of content. */
extern void request_answer_text(Request *r, int status, char *text, const char *type);

/* A problem of the request's making, in our own words. */
extern void request_problem(Request *r, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An error of the database; NULL: the connection was lost, or there is none. */
extern void request_error(Request *r, const PGresult *result);

#endif
