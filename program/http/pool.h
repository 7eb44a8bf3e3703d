/*
 * http/pool.h
 *	  A few connections for many requests.
 *
 * A statement goes to a connection that is free, or waits in line for one; each is a
 * transaction of its own.  What needs several statements in one transaction (a stream of
 * messages) takes a connection for itself for a while.
 *
 * Statements are prepared after their first use in a session, under a name made from their
 * text.  Nothing else is kept in a session, so a pooler in transaction mode may stand between: it
 * shows by a statement that is not there, or that is there already; then nothing was
 * done, and from then on nothing is prepared.
 */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/link.h"

#define POOL_MOST 64
#define PREPARED_MOST 64 /* a session; statements beyond that are not prepared */

typedef struct Pool Pool;
typedef struct PoolJob PoolJob;

typedef struct PoolLink
{
	Link link;
	Pool *pool;
	PoolJob *job;                     /* under way on it */
	bool taken;                       /* by a stream */
	uint64_t prepared[PREPARED_MOST]; /* hashes of their texts */
	int prepared_count;
} PoolLink;

/* Called once with a link to use until pool_give(), or NULL: no connection. */
typedef void (*PoolTaken)(void *arg, PoolLink *link);

struct PoolJob
{
	char *sql; /* copied, and its values too: it may be sent more than once */
	uint64_t hash;
	bool named; /* was sent as a prepared one */
	int count;
	char **values;
	LinkAnswer answer;
	PoolTaken taken; /* wants the link for itself; else NULL */
	void *arg;
	PoolLink *on; /* NULL: in line */
	PoolJob *next;
};

typedef struct PoolLine
{
	PoolJob *first;
	PoolJob *last;
} PoolLine;

struct Pool
{
	PoolLink links[POOL_MOST];
	int size;
	int taken; /* links that streams have */
	PoolLine jobs;
	PoolLine takers; /* who wants a link for itself */
	LoopTimer look;  /* something has changed */
	bool pooler;     /* something stands between: nothing is prepared */
};

/* Takes over the first connection, and opens the others. */
extern void pool_start(Pool *pool, int size, PGconn *first);
extern void pool_stop(Pool *pool);

/* Some connection is up. */
extern bool pool_up(const Pool *pool);

/*
 * Runs a statement; answer is called once, and not before this returns: with NULL if no
 * connection is up, or the one it ran on was lost.
 */
extern PoolJob *pool_run(Pool *pool, Query query, LinkAnswer answer, void *arg);

/* Nobody wants the answer any more; a statement under way is cancelled. */
extern void pool_forget(Pool *pool, PoolJob *job);

/* A link for oneself; as pool_run.  At most half of them are given away. */
extern PoolJob *pool_take(Pool *pool, PoolTaken taken, void *arg);
extern void pool_give(PoolLink *link);

#endif
