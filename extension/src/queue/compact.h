/*
 * queue/compact.h
 *	  Moving the few messages that are still needed out of a segment, so that it can be emptied.
 *
 * Each is in state MOVING while its row is copied with its events, so nobody receives, settles or loads it; the
 * commit callback writes the new place into its slot.  `moved`, appended to the old segment's
 * events in the same transaction, says that the row there doesn't count any more.
 */
#ifndef BATON_QUEUE_COMPACT_H
#define BATON_QUEUE_COMPACT_H

#include "postgres.h"

#include "log/registry.h"
#include "queue/xact.h"

/*
 * Moves up to so many messages out of a closed segment, in the caller's transaction, who has
 * maintenance_lock().  What a consumer holds is left for later.  *row gets moved_at and moved_xid; the caller
 * writes it.  Returns how many were moved; *left tells whether it stopped with more to move.
 */
extern int	compact_segment(uint32 database, uint32 segment, SegmentRow *row, bool *left);

/* Callbacks' parts; they raise nothing. */
extern void moves_commit(const PendingMove *moves, uint32 n);
extern void moves_undo(const PendingMove *moves, uint32 n);

#endif
