/*
 * core/policy.h
 *	  What the owner of a queue decides about it.
 */
#ifndef BATON_CORE_POLICY_H
#define BATON_CORE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct QueuePolicy
{
	int32_t		max_attempts;	/* failures before a message is dead, >= 1 */
	int32_t		max_crashes;	/* lost holders before a message is dead, >= 1 */
	int64_t		backoff;		/* microseconds, >= 0 */
	int64_t		backoff_max;	/* microseconds, >= backoff */
	int64_t		lease;			/* microseconds, > 0 */
	int32_t		key_in_flight;	/* messages of one key in flight at a time, >= 1 */
	int64_t		retention;		/* how long finished messages stay, microseconds, >= 0 */
	int64_t		purged_id;		/* messages up to this one are gone, but for claims; 0: none */
	bool		paused;			/* nothing is handed out */
} QueuePolicy;

#endif
