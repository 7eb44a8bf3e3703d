/*
 * queue/load.h
 *	  Bringing messages from the log into the window: the keeper's work.
 *
 * A lane is loaded by passes.  A pass moves `cursor`, then takes its snapshot and reads the rows
 * of (loaded, cursor], puts them in the id hash, then, with a newer snapshot, asks the
 * log which of them are finished; what remains is placed; last it sets loaded = cursor.
 * Who commits meanwhile an id in that range publishes it itself; the hash by id sorts out
 * doubles.  After a start each lane begins at 0, so starting is nothing special.
 *
 * What is due later is found by a second pair of marks, by time, over the rows and events that
 * have one.
 */
#ifndef BATON_QUEUE_LOAD_H
#define BATON_QUEUE_LOAD_H

#include "postgres.h"

#include "memory/memory.h"

/* Whether a lane is short of messages that the log has.  Under the queue's lock. */
extern bool load_needed(const Queue *queue);

/*
 * One round over all queues of the database, those with consumers first.  Runs transactions of
 * its own; call outside of one.  Returns whether there is more to do at once.
 */
extern bool load_round(uint32 database);

/* Undoes what a loader of this database left half done when it died. */
extern void load_recover(uint32 database);

/* All of the log has to be read again: tables were found that were not known. */
extern void load_again(uint32 database);

#endif
