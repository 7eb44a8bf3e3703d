/*
 * queue/depth.h
 *	  How many messages of a queue are unfinished, in memory and in the log.
 *
 * Each commit counts, so it costs nothing to ask.  What was in the log when the server started is counted once, in the
 * background.
 */
#ifndef BATON_QUEUE_DEPTH_H
#define BATON_QUEUE_DEPTH_H

#include "postgres.h"

#include "memory/memory.h"

/* Whether a queue of the database has not been counted since the server started. */
extern bool depth_unknown(uint32 database);

/* Counts those, in the caller's transaction.  Returns whether it is worth calling again. */
extern bool depth_count(uint32 database);

#endif
