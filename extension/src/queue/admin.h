/*
 * queue/admin.h
 *	  Making, changing and dropping queues: the table at once, memory at commit.
 */
#ifndef BATON_QUEUE_ADMIN_H
#define BATON_QUEUE_ADMIN_H

#include "postgres.h"

#include "core/policy.h"
#include "queue/xact.h"

/* Which parts of a policy a caller gives; the others stay. */
typedef struct PolicyChange
{
	QueuePolicy value;
	bool		max_attempts;
	bool		max_crashes;
	bool		backoff;
	bool		backoff_max;
	bool		lease;
	bool		key_in_flight;
	bool		paused;
	bool		retention;
	bool		purged_id;
} PolicyChange;

/* Raises 42710 queue exists, 22023 bad values, 53400 too many queues. */
extern void queue_create(const char *name, const QueuePolicy *policy, bool if_not_exists);

/* Raises 42704 no such queue, 22023 bad values. */
extern void queue_alter(const char *name, const PolicyChange *change);

/* Gives up all messages with ids that have been given out so far, at commit.  Raises 42704 no such queue. */
extern void queue_purge(const char *name);
extern void queue_drop(const char *name, bool if_exists);

/* Callbacks' parts; they raise nothing. */
extern void ddl_commit(const PendingDdl *ddl, uint32 n);
extern void ddl_undo(const PendingDdl *ddl, uint32 n);

#endif
