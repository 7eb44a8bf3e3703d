/*
 * queue/depth.h
 *	  How many messages of a queue are unfinished, in memory and in the log.
 *
 * Each commit counts, so it costs nothing to ask.  What was in the log when the server started is counted once, in the
 * background; and so is a queue again whose number has become doubtful.
 */
#ifndef BATON_QUEUE_DEPTH_H
#define BATON_QUEUE_DEPTH_H

#include "postgres.h"

#include "memory/memory.h"

/* Whether a queue of the database is to be counted. */
extern bool depth_unknown(uint32 database);

/* Counts those, in the caller's transaction.  Returns whether it is worth calling again. */
extern bool depth_count(uint32 database);

/* Takes what has expired off the numbers. */
extern void depth_expire(uint32 database);

#endif
