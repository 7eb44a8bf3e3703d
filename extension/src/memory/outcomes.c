/*
 * memory/outcomes.c
 *	  What happened to claims without their holders, until the keeper has written it to the log.
 */
#include "postgres.h"

#include "memory/outcomes.h"

bool
outcome_post(uint32 database, const Outcome *outcome)
{
	Database   *d = &shared->databases[database];
	uint32		i;

	LWLockAcquire(outcome_lock(), LW_EXCLUSIVE);
	i = shared->free_outcomes;
	if (i == NONE)
	{
		d->outcomes_lost = true;
		d->outcomes_dropped++;
	}
	else
	{
		shared->free_outcomes = outcomes[i].next;
		outcomes[i] = *outcome;
		outcomes[i].next = NONE;
		if (d->outcomes_tail != NONE)
			outcomes[d->outcomes_tail].next = i;
		else
			d->outcomes_head = i;
		d->outcomes_tail = i;
		d->outcomes_pending++;
	}
	LWLockRelease(outcome_lock());
	return i != NONE;
}

uint32
outcomes_peek(uint32 database, Outcome *out, uint32 n)
{
	uint32		found = 0;

	LWLockAcquire(outcome_lock(), LW_SHARED);
	for (uint32 i = shared->databases[database].outcomes_head; i != NONE && found < n;
		 i = outcomes[i].next)
		out[found++] = outcomes[i];
	LWLockRelease(outcome_lock());
	return found;
}

bool
outcome_death_pending(uint32 database, int64 message_id)
{
	uint32		i;

	LWLockAcquire(outcome_lock(), LW_SHARED);
	for (i = shared->databases[database].outcomes_head; i != NONE; i = outcomes[i].next)
		if (outcomes[i].dead && outcomes[i].message_id == message_id)
			break;
	LWLockRelease(outcome_lock());
	return i != NONE;
}

bool
outcome_pending(uint32 database, int64 message_id)
{
	uint32		i;

	LWLockAcquire(outcome_lock(), LW_SHARED);
	for (i = shared->databases[database].outcomes_head; i != NONE; i = outcomes[i].next)
		if (outcomes[i].message_id == message_id)
			break;
	LWLockRelease(outcome_lock());
	return i != NONE;
}

bool
outcome_pending_for(uint32 database, uint32 segment)
{
	uint32		i;

	LWLockAcquire(outcome_lock(), LW_SHARED);
	for (i = shared->databases[database].outcomes_head; i != NONE; i = outcomes[i].next)
		if (outcomes[i].segment == segment)
			break;
	LWLockRelease(outcome_lock());
	return i != NONE;
}

void
outcomes_drop(uint32 database, uint32 n)
{
	Database   *d = &shared->databases[database];

	LWLockAcquire(outcome_lock(), LW_EXCLUSIVE);
	while (n-- > 0 && d->outcomes_head != NONE)
	{
		uint32		i = d->outcomes_head;

		d->outcomes_head = outcomes[i].next;
		if (d->outcomes_head == NONE)
			d->outcomes_tail = NONE;
		outcomes[i].next = shared->free_outcomes;
		shared->free_outcomes = i;
		d->outcomes_pending--;
	}
	LWLockRelease(outcome_lock());
}
