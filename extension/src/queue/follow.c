/*
 * queue/follow.c
 *	  Sleeping until events are committed, with no snapshot.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "queue/follow.h"
#include "queue/wait.h"
#include "queue/xact.h"

int
follow_wait(const TailFilter *filter, int64 *mark, int64 timeout, TailEntry *out, int room)
{
	TimestampTz start = baton_now();
	TimestampTz deadline = timeout > PG_INT64_MAX - start ? PG_INT64_MAX : start + timeout;
	int			n;

	xact_session();
	for (;;)
	{
		TimestampTz now = baton_now();

		n = tail_read(filter, mark, out, room);
		if (n != 0 || now >= deadline)
			break;
		BATON_POINT("follow-before-sleep");
		wait_nap(deadline - now);
		CHECK_FOR_INTERRUPTS();
	}
	tail_leave();
	return n;
}
