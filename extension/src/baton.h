/*
 * baton.h
 *	  What every file of the extension shares: SQLSTATEs, settings, the clock and
 *	  the test points.  Include after postgres.h.
 */
#ifndef BATON_H
#define BATON_H

#include "utils/elog.h"
#include "utils/timestamp.h"

/* SQLSTATE of our own: what a receipt stands for is not held any more; drop the work done for it. */
#define BATON_ERR_CLAIM_LOST MAKE_SQLSTATE('B', 'T', '0', '0', '1')

/* The queue was purged between a send and its commit. */
#define BATON_ERR_PURGED MAKE_SQLSTATE('B', 'T', '0', '0', '3')

#define BATON_VERSION "0.2.0"	/* as in baton.control */

#define BATON_PRIORITIES 10		/* 0 .. 9, higher first */
#define BATON_QUEUE_NAME_MAX 63 /* bytes */

/* Settings (baton.c defines and documents them). */
extern int	baton_window_size;
extern int	baton_max_queues;
extern int	baton_max_message_size; /* kB */
extern int	baton_segment_size;		/* kB */
extern int	baton_segment_age;		/* seconds */

/*
 * The one source of time in the extension.  Tests can move it.
 * Returns microseconds since 2000-01-01, as GetCurrentTimestamp() does.
 */
extern TimestampTz baton_now(void);

/*
 * BATON_POINT("name"): a place where a test can hold a session, let it go, or
 * make it fail.  Compiled out unless BATON_TEST is defined.
 *
 * BATON_POINT_NOFAIL marks a point on a path that must not raise an error, such
 * as a commit callback: it can hold, never fail.
 */
#ifdef BATON_TEST
extern void baton_test_point(const char *name, bool may_fail);
#define BATON_POINT(name) baton_test_point((name), true)
#define BATON_POINT_NOFAIL(name) baton_test_point((name), false)
#else
#define BATON_POINT(name) ((void) 0)
#define BATON_POINT_NOFAIL(name) ((void) 0)
#endif

#endif
