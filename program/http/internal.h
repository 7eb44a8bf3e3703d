/*
 * http/internal.h
 *	  The server's inside: what server.c, request.c and polls.c share.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <microhttpd.h>

#include "http/auth.h"
#include "http/gate.h"
#include "http/polls.h"
#include "http/pool.h"
#include "http/request.h"
#include "http/server.h"

/* A connection.  In the list of all from its first to its last moment. */
struct Client
{
	Server *server;
	struct MHD_Connection *connection;
	int fd;
	Request *request;  /* NULL: between requests */
	int64_t heard;     /* clock_us(), between requests: of the next one's first byte; 0: none yet */
	bool told;         /* had an answer that isn't the library's: nothing comes after it */
	LoopTimer limit;   /* of what goes on: see client_limit() */
	LoopSource hangup; /* watched while a poll waits */
	bool peer_known;
	bool peer_own;
	Client *next;
	Client *previous;
};

struct Server
{
	const ServerOptions *options;
	struct MHD_Daemon *daemon;
	LoopSource io;   /* the library's own epoll descriptor */
	LoopTimer again; /* the library has more to do at once */
	LoopTimer last;  /* while stopping: no later than this */
	LoopTimer cleanup;
	bool due; /* the library is to run */
	bool stopping;
	int requests;    /* from headers to the end of the answer */
	size_t buffered; /* bytes of bodies in memory */
	LoopSource listening;
	LoopTimer pause; /* of accepting */
	int listener;    /* -1: closed */
	int connections; /* gates and clients */
	int most_connections;
	Gate *gates;
	Client *clients;
	Pool pool;
	Polls polls;
	TokenCache tokens;
};

/* Milliseconds for each part of a connection's life. */
#define LIMIT_FIRST_MS                                                                   \
	30000 /* headers of the first request (with TLS: and its handshake) */
#define LIMIT_IDLE_MS 75000    /* until the headers of the next one are complete */
#define LIMIT_BODY_MS 60000    /* a body */
#define LIMIT_STREAM_MS 600000 /* a body in lines */
#define LIMIT_RUN_MS 30000     /* a statement */
#define LIMIT_ANSWER_MS 60000  /* until the answer is taken */

/* Sets the time limit of what goes on now. */
extern void client_limit(Client *client, int64_t ms);

/* ---- request.c: called by server.c ---- */

extern enum MHD_Result request_step(void *cls, struct MHD_Connection *connection,
                                    const char *url, const char *method,
                                    const char *version, const char *data, size_t *size,
                                    void **state);
extern void request_ended(void *cls, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode code);

/* Who asks is known, after a wait: goes on with the request. */
extern void request_go_on(Request *r);

/* A problem after which the connection is closed: where the next request begins is not certain. */
extern void request_refuse(Request *r, int status, const char *detail);

/* ---- library.c ---- */

/* A connection is the library's: from its first to its last moment there. */
extern void library_add(Client *client);
extern void library_remove(const Client *client);

/*
 * Answers beside the library, which then must close the connection, and counts that: with a problem in our own words,
 * or as it is.  Only where the library sends nothing: before it has an answer.  Refusing is a no-op after either.
 */
extern void client_refuse(Client *client, int status, const char *detail);
extern void client_last_words(Client *client, int status, const char *problem);

/* MHD_queue_response() of the library: the program's is for what the library answers by itself. */
extern enum MHD_Result library_queue(struct MHD_Connection *connection, int status,
                                     struct MHD_Response *response);

/* ---- framing.c ---- */

/* False: the headers don't say clearly what the request is, which is answered. */
extern bool framing_check(Request *r, const char *url, const char *version);

/* ---- authorize.c ---- */

/*
 * Fills in r->who, or answers why not.  May have to ask the database: then the request is
 * suspended, and goes on, or is answered, later.
 */
extern void authorize(Request *r);

/* ---- request.c: called by server.c and others ---- */

/* Its time is over while it runs: answers. */
extern void request_timed_out(Request *r);

/* The library leaves it alone until request_resume(), or an answer; no-op once answered. */
extern void request_suspend(Request *r);
extern void request_resume(Request *r);

#endif
