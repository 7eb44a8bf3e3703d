/*
 * queue/history.h
 *	  What the loader knows of closed segments: which messages were unfinished when they were counted.
 *
 * There can only be fewer since, so a segment full of history costs nothing.  Kept by each process for itself.
 */
#ifndef BATON_QUEUE_HISTORY_H
#define BATON_QUEUE_HISTORY_H

#include "postgres.h"

#include "memory/memory.h"

/* Learns what baton.segment says of a segment, if that has changed.  In a transaction. */
extern void history_look(uint32 segment);

/* The ids that may be unfinished, ascending, *n of them; NULL: it isn't known.  Good until the next look. */
extern const int64 *history_unfinished(uint32 segment, int *n);

/* Whether a segment may have a message with after < id <= upto that is not finished. */
extern bool history_may_have(uint32 segment, int64 after, int64 upto);

#endif
