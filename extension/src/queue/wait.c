/*
 * queue/wait.c
 *	  Sleeping until a queue has something, with no snapshot.
 *
 * See memory/waiters.h for waiters, debts and the guard.
 */
#include "postgres.h"

/* Of Port only the socket is used, which comes before what needs the headers of GSSAPI. */
#undef ENABLE_GSS
#include "libpq/libpq.h"
#include "libpq/libpq-be.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "compat.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/tail.h"
#include "memory/waiters.h"
#include "queue/ending.h"
#include "queue/load.h"
#include "queue/wait.h"
#include "queue/xact.h"

/* Nobody sleeps longer in one go, in case all who should wake it are stopped. */
#define NAP_MAX (INT64CONST(1) * USECS_PER_SEC)

/* What this session waits for; kept where the abort callback finds it. */
static QueueRef *waiting = NULL;
static int	waiting_count = 0;
static int	waiting_room = 0;

typedef enum WaitVerdict
{
	WAIT_ON,
	WAIT_READY,
	WAIT_DROPPED
} WaitVerdict;

/* Looks at one queue and says in *nap how long this session may sleep for it. */
static WaitVerdict
look(const QueueRef *ref, bool first, TimestampTz now, int64 *nap)
{
	Queue	   *queue = &queues[ref->queue];
	uint32		session = session_begin();
	WaitVerdict verdict = WAIT_ON;
	Wakes		wakes = {0};
	TimestampTz watch_until;
	bool		low;

	LWLockAcquire(queue_lock(ref->queue), LW_EXCLUSIVE);
	if (!queue_current(ref))
	{
		LWLockRelease(queue_lock(ref->queue));
		return WAIT_DROPPED;
	}
	advance_timers(ref->queue, now, 256, &wakes);
	line_lose_patience(queue, now);
	if (first)
	{
		pg_atomic_write_u64(&queue->received_at, (uint64) now);
		waiters_add(ref->queue, session);
	}
	else if (!waiters_has(ref->queue, session))
		verdict = WAIT_READY;
	/* the guard may be stopped as well as who was woken; who wakes up by itself then does its work */
	watch_until = queue->watch_until + (queue->guard == session ? 0 : WAKE_DEBT);
	if (line_has_ready(queue) && (first || now >= watch_until))
		verdict = WAIT_READY;
	if (verdict == WAIT_READY)
		waiters_remove(ref->queue, session, &wakes);
	else if (queue->guard == session)
	{
		*nap = Min(*nap, (int64) pg_atomic_read_u64(&queue->next_due) - now);
		if (queue->guard_awake > now)
			*nap = Min(*nap, WAKE_DEBT);
	}
	low = load_needed(queue);
	LWLockRelease(queue_lock(ref->queue));
	wakes_send(&wakes);
	if (low && first)
		keeper_wake(queue->database);
	return verdict;
}

static void
leave(const QueueRef *ref, bool used)
{
	Wakes		wakes = {0};

	LWLockAcquire(queue_lock(ref->queue), LW_EXCLUSIVE);
	if (waiters_has(ref->queue, session_begin()))
		waiters_remove(ref->queue, session_begin(), &wakes);
	else if (!used && line_has_ready(&queues[ref->queue]))
		waiters_wake(ref->queue, 1, &wakes);
	LWLockRelease(queue_lock(ref->queue));
	wakes_send(&wakes);
}

static void
leave_all(int used)
{
	int			count = waiting_count;

	waiting_count = 0;
	for (int i = 0; i < count; i++)
		if (queue_current(&waiting[i]))
			leave(&waiting[i], i == used);
}

void
wait_leave(void)
{
	tail_leave();
	if (waiting_count > 0)
		leave_all(-1);
}

void
wait_nap(int64 us)
{
	int			events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	pgsocket	sock = PGINVALID_SOCKET;
	long		ms = (long) ((Min(Max(us, 0), NAP_MAX) + 999) / 1000);
	int			rc;

	if (MyProcPort != NULL && BATON_SOCKET_CLOSED)
	{
		events |= BATON_SOCKET_CLOSED;
		sock = MyProcPort->sock;
	}
	rc = WaitLatchOrSocket(MyLatch, events, sock, ms, BatonWaitEvent("BatonWait"));
	if ((rc & BATON_SOCKET_CLOSED) || (MyProcPort != NULL && (rc & WL_TIMEOUT) &&
									   !BATON_SOCKET_CLOSED && !pq_check_connection()))
		ereport(FATAL, (errcode(ERRCODE_CONNECTION_FAILURE),
						errmsg("connection to client lost while waiting")));
	ResetLatch(MyLatch);
}

static void
begin_waiting(const QueueRef *refs, int n)
{
	if (n > waiting_room)
	{
		waiting = waiting ? repalloc(waiting, n * sizeof(QueueRef))
						  : MemoryContextAlloc(TopMemoryContext, n * sizeof(QueueRef));
		waiting_room = n;
	}
	memcpy(waiting, refs, n * sizeof(QueueRef));
	waiting_count = n;
}

/* True once for each call of wait_end(). */
static bool
ended(void)
{
	pg_atomic_uint32 *flag = &sessions[session_begin()].end_wait;

	return pg_atomic_read_u32(flag) != 0 && pg_atomic_exchange_u32(flag, 0) != 0;
}

bool
wait_end(int process_id)
{
	PGPROC	   *proc = BackendPidGetProc(process_id);
	uint32		session;

	if (proc == NULL || proc->databaseId != MyDatabaseId)
		return false;
	if (!has_privs_of_role(GetUserId(), proc->roleId) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_SIGNAL_BACKEND))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to end the wait of another role's session"),
						errhint("Membership in that role, or in pg_signal_backend, is needed.")));
	session = BatonProcNumber(proc);
	pg_atomic_write_u32(&sessions[session].end_wait, 1);
	session_wake(session);
	return true;
}

int
queue_wait(const QueueRef *refs, int n, int64 timeout)
{
	TimestampTz start = baton_now();
	TimestampTz deadline = timeout > PG_INT64_MAX - start ? PG_INT64_MAX : start + timeout;

	xact_session();
	begin_waiting(refs, n);
	for (bool first = true;; first = false)
	{
		TimestampTz now = baton_now();
		int64		sleep = deadline - now;

		for (int i = 0; i < n; i++)
		{
			WaitVerdict verdict = look(&refs[i], first, now, &sleep);

			if (verdict == WAIT_ON)
				continue;
			leave_all(i);
			if (verdict == WAIT_DROPPED)
				ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
								errmsg("a queue was dropped while it was waited for")));
			return i;
		}
		if (now >= deadline || ended())
		{
			leave_all(-1);
			return -1;
		}
		BATON_POINT("wait-before-sleep");
		wait_nap(sleep);
		CHECK_FOR_INTERRUPTS();
	}
}
