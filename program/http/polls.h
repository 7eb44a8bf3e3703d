/*
 * http/polls.h
 *	  Receiving: thousands of requests that wait share one connection.
 *
 * Requests for one queue stand in line.  A claim is one statement on the pool for as many of
 * them as it may serve, one at a time a queue, first come, first served.  Queues that turned out
 * empty are waited for together, by one CALL baton.wait_any() on a connection of its
 * own, which holds no claim:
 *
 *		maybe ──(claim)──> claiming ──(all that was asked for)──> maybe
 *		  ^                    └──(less)──> empty ──(wait_any)──> maybe
 *		  └── a request that nobody has claimed for yet
 *
 * Claims are detached: only their lease counts.  What was claimed for a request whose client
 * has gone is released.
 */
#ifndef HTTP_POLLS_H
#define HTTP_POLLS_H

#include "base/loop.h"
#include "http/pool.h"
#include "pg/link.h"

typedef struct Server Server;
typedef struct Request Request;
typedef struct Poll Poll;
typedef struct PollQueue PollQueue;

#define POLL_BUCKETS 1024

typedef struct Polls
{
	Server *server;
	Link wait;
	PollQueue *buckets[POLL_BUCKETS];
	int64_t came;       /* requests so far */
	LoopTimer collect;  /* a moment for more queues, before a wait about them */
	LoopTimer fallback; /* there is no connection to wait on */
} Polls;

/* Takes over the connection that waits. */
extern void polls_start(Polls *polls, Server *server, PGconn *waiting);

/* All that wait get an empty answer, and who comes from now on doesn't wait. */
extern void polls_end(Polls *polls);
extern void polls_stop(Polls *polls);

#endif
