/*
 * memory/inflight.h
 *	  Which messages are in flight, where a crash of the server doesn't clear it.
 *
 * An anonymous shared mapping made at preload, outside the server's shared memory: it keeps its
 * contents across a crash restart.  An entry for each slot that is claimed, and, after a
 * crash, a sorted list of the suspects: messages that were in flight at it.
 *
 * If the postmaster goes down after a crash (restart_after_crash = off), it writes the mapping to
 * pg_stat_tmp/baton.inflight, which the next start reads and removes.
 *
 * A message that was alone in flight at a crash did it: that counts as a crash
 * against its budget.  Otherwise it is only a suspect.  After two crashes in
 * ten minutes suspects are handed out one at a time (quarantine), so the one that does it will be
 * alone among them, and that counts.
 */
#ifndef BATON_MEMORY_INFLIGHT_H
#define BATON_MEMORY_INFLIGHT_H

#include "memory/memory.h"

/* What is remembered of a message that was in flight at a crash of the server. */
typedef struct Suspect
{
	Oid			database;
	Oid			extension;
	int64		id;
	uint16		crashes;		/* crashes to count against it, not yet in the log */
	uint8		suspicion;		/* crashes it was in flight at */
	bool		unlogged;		/* its vanished event, and its crashes, are not in the log yet */
	bool		posted;			/* but are about to be written, in this life of the server */
	bool		gone;			/* settled for ever: the entry counts for nothing */
} Suspect;

/* In _PG_init under preload: makes the mapping. */
extern void inflight_define(void);

/* In the startup hook: what was in flight becomes suspect.  Returns whether quarantine is on. */
extern bool inflight_begin_life(void);

/* A claim begins and ends.  Under the queue's lock. */
extern void inflight_set(uint32 slot);
extern void inflight_clear(uint32 slot);

/*
 * A loaded message: false if it was not in flight at a crash.  Else *out is filled; where out->posted is false,
 * the caller has to post what is unlogged.  It stays here until it is in the log, as the next crash may
 * come before.  Only the loader of that database calls it, under the queue's lock.
 */
extern bool inflight_suspect(uint32 database, int64 id, Suspect *out);

/* Whether a message was in flight at a crash, and hasn't been settled since.  No lock needed. */
extern bool inflight_is_suspect(uint32 database, int64 id);

/* The counts of a message are in the log.  Under the queue's lock, if the message has a slot. */
extern void inflight_logged(uint32 database, int64 id);

/* The message of this slot is finished for ever. */
extern void inflight_acquit(uint32 slot);

/* In quarantine one suspect at a time: false if another one is in flight.  Spinlock. */
extern bool suspect_begin(uint32 slot);
extern void suspect_end(uint32 slot);

#endif
