/*
 * queue/wait.h
 *	  Sleeping until a queue has something, with no snapshot.
 */
#ifndef BATON_QUEUE_WAIT_H
#define BATON_QUEUE_WAIT_H

#include "postgres.h"

#include "queue/resolve.h"

/*
 * Sleeps until one of the queues has something to hand out or `timeout` microseconds have
 * passed, or wait_end() is called for this session.  Returns its index in refs, or -1.  The caller holds no snapshot and no
 * lock.  Raises 42704 if a queue is dropped meanwhile, and what CHECK_FOR_INTERRUPTS raises; ends
 * the session if its client is gone.
 */
extern int	queue_wait(const QueueRef *refs, int n, int64 timeout);

/*
 * Ends the wait of a backend of this database, or its next one if it isn't waiting just now.
 * False: there is no such backend.  Raises 42501.
 */
extern bool wait_end(int process_id);

/*
 * Sleeps until the latch is set, but for `us` microseconds or a second at most.  Ends the session if its client is
 * gone: whatever was handed to it would be lost until its lease ends.
 */
extern void wait_nap(int64 us);

/* This session waits for nothing any more; wake-ups that it got and didn't use go to others.
 * Called from abort and exit callbacks. */
extern void wait_leave(void);

#endif
