/*
 * memory/waiters.c
 *	  Who sleeps for a queue, and whom to wake.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/shmem.h"

#include "memory/waiters.h"

/* After a debt the guard looks every WAKE_DEBT for so long; who makes the next debt
 * needn't wake it. */
#define GUARD_AWAKE (10 * WAKE_DEBT)

uint64	   *waiter_bits;

static uint32
words(uint32 session_count)
{
	return (session_count + 63) / 64;
}

Size
waiters_size(uint32 queue_count, uint32 session_count)
{
	return mul_size(queue_count, words(session_count) * sizeof(uint64));
}

static uint64 *
bits_of(uint32 queue)
{
	return waiter_bits + (Size) queue * words(shared->sessions);
}

static void
wakes_add(Wakes *wakes, uint32 session)
{
	if (wakes->count > 0 && wakes->session[wakes->count - 1] == session)
		return;
	if (wakes->count < WAKES_MAX)
		wakes->session[wakes->count++] = session;
}

void
waiters_wake_session(uint32 session, Wakes *wakes)
{
	if (session != NONE)
		wakes_add(wakes, session);
}

void
wakes_send(Wakes *wakes)
{
	for (uint32 i = 0; i < wakes->count; i++)
		session_wake(wakes->session[i]);
	wakes->count = 0;
}

void
waiters_clear(uint32 queue)
{
	memset(bits_of(queue), 0, words(shared->sessions) * sizeof(uint64));
	queues[queue].waiting = 0;
	queues[queue].guard = NONE;
	queues[queue].rotor = 0;
	queues[queue].watch_until = 0;
	queues[queue].guard_awake = 0;
}

bool
waiters_has(uint32 queue, uint32 session)
{
	return (bits_of(queue)[session / 64] & (UINT64CONST(1) << (session % 64))) != 0;
}

void
waiters_add(uint32 queue, uint32 session)
{
	if (waiters_has(queue, session))
		return;
	bits_of(queue)[session / 64] |= UINT64CONST(1) << (session % 64);
	queues[queue].waiting++;
	if (queues[queue].guard == NONE)
		queues[queue].guard = session;
}

/* The next waiter from the rotor on, round; NONE: none.  The guard only if there is no other. */
static uint32
next_waiter(uint32 queue)
{
	uint64	   *bits = bits_of(queue);
	uint32		count = words(shared->sessions);
	uint32		start = queues[queue].rotor;
	uint32		guard = queues[queue].guard;

	if (queues[queue].waiting == 0)
		return NONE;
	for (uint32 i = 0; i <= count; i++)
	{
		uint32		word = (start / 64 + i) % count;
		uint64		found = bits[word];

		if (i == 0)
			found &= ~UINT64CONST(0) << (start % 64);
		if (i == count)
			found &= ~(~UINT64CONST(0) << (start % 64));
		if (guard != NONE && guard / 64 == word)
			found &= ~(UINT64CONST(1) << (guard % 64));
		if (found != 0)
			return word * 64 + pg_rightmost_one_pos64(found);
	}
	return guard;
}

static void
clear_bit(uint32 queue, uint32 session, Wakes *wakes)
{
	Queue	   *q = &queues[queue];

	bits_of(queue)[session / 64] &= ~(UINT64CONST(1) << (session % 64));
	q->waiting--;
	if (q->guard != session)
		return;
	q->guard = NONE;
	q->guard = next_waiter(queue);
	if (q->guard != NONE)
		wakes_add(wakes, q->guard);
}

void
waiters_remove(uint32 queue, uint32 session, Wakes *wakes)
{
	if (waiters_has(queue, session))
		clear_bit(queue, session, wakes);
}

void
waiters_poke_guard(Queue *queue, Wakes *wakes)
{
	if (queue->guard != NONE)
		wakes_add(wakes, queue->guard);
}

void
waiters_wake(uint32 queue, uint32 n, Wakes *wakes)
{
	Queue	   *q = &queues[queue];
	TimestampTz now;

	if (q->waiting == 0)
		return;
	for (; n > 0 && q->waiting > 0 && wakes->count < WAKES_MAX - WAKES_RESERVED; n--)
	{
		uint32		session = next_waiter(queue);

		q->rotor = (session + 1) % shared->sessions;
		wakes_add(wakes, session);
		clear_bit(queue, session, wakes);
	}
	if (q->guard == NONE)
		return;
	now = baton_now();
	q->watch_until = now + WAKE_DEBT;
	if (q->guard_awake < now + WAKE_DEBT)
	{
		q->guard_awake = now + GUARD_AWAKE;
		waiters_poke_guard(q, wakes);
	}
}
