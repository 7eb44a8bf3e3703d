/*
 * pg/link.h
 *	  A connection in the event loop: it never makes the program wait, carries one
 *	  statement at a time, and comes back by itself when it was lost.
 *
 *		down ──(timer)──> connecting ──> idle <──> busy
 *		  ^___________________|___________|_________|      any loss
 */
#ifndef PG_LINK_H
#define PG_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <libpq-fe.h>

#include "base/loop.h"
#include "pg/query.h"

typedef enum LinkState
{
	LINK_DOWN,
	LINK_CONNECTING,
	LINK_IDLE,
	LINK_BUSY
} LinkState;

/* Called once a statement; result is NULL when the connection was lost under it. */
typedef void (*LinkAnswer)(void *arg, const PGresult *result);

typedef struct Link
{
	/* set by the owner before link_adopt() */
	const char *name;        /* for the log */
	const char *application; /* application_name */
	const char *conninfo;    /* NULL: as -d and the environment say */
	LoopHandler went_up;     /* connected again; not called by link_adopt */
	LoopHandler went_down;   /* lost; after the answer NULL of a statement under way */
	void *arg;

	/* private to link.c, except that state may be read */
	LinkState state;
	PGconn *conn; /* NULL when down */
	LoopSource io;
	LoopTimer retry;   /* when down: connect again; when connecting: give up */
	int64_t pause_ms;  /* before the next try */
	bool failed;       /* since it was last up */
	LinkAnswer answer; /* of the statement under way */
	void *answer_arg;
	PGresult *result; /* its last result so far */
} Link;

/* Takes over an open connection; state becomes idle. */
extern void link_adopt(Link *link, PGconn *conn);

/* Begins to connect; went_up tells when it is done, which is tried for ever. */
extern void link_open(Link *link);

/* Sends a statement; only when idle.  False: the connection was lost just now, and
 * answer is not called. */
extern bool link_send(Link *link, Query query, LinkAnswer answer, void *arg);

/*
 * The same, for a statement that was prepared in this session by link_prepare().  Sessions
 * end with the connection, and behind a pooler they may change with each statement.
 */
extern bool link_send_prepared(Link *link, const char *name, Query query,
                               LinkAnswer answer, void *arg);
extern bool link_prepare(Link *link, const char *name, const char *sql, LinkAnswer answer,
                         void *arg);

/*
 * Asks the server to cancel the statement under way, by a child process, as
 * libpq's PQcancel waits.  The answer comes as ever, mostly with SQLSTATE 57014.
 */
extern void link_cancel(Link *link);

/* Closes for good; nothing is called. */
extern void link_close(Link *link);

#endif
