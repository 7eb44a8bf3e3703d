/*
 * api/metrics.c
 *	  SQL functions for monitoring: counters and histograms by queue, and the use of the window.
 *
 * All of it is read from shared memory, so what it costs depends on the number of queues alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "memory/directory.h"
#include "memory/line.h"
#include "memory/slots.h"
#include "queue/resolve.h"

PG_FUNCTION_INFO_V1(baton_queue_counters);
PG_FUNCTION_INFO_V1(baton_window_use);

static Datum
seconds(uint64 microseconds)
{
	return Float8GetDatum(microseconds / (double) USECS_PER_SEC);
}

/* Two columns: the counts by bucket, and the sum in seconds. */
static void
put_histogram(Datum *values, const Histogram *histogram)
{
	Datum		counts[HISTOGRAM_BOUNDS + 1];

	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		counts[i] = Int64GetDatum(histogram->count[i]);
	values[0] = PointerGetDatum(construct_array(counts, lengthof(counts), INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = seconds(histogram->sum);
}

/* What the row of a queue shows, copied under its lock. */
typedef struct QueueCopy
{
	char		name[BATON_QUEUE_NAME_MAX + 1];
	QueueCounters counters;
	uint32		waiting;
	int			spilled_lanes;
} QueueCopy;

static int
count_spilled(const Queue *queue)
{
	int			n = 0;

	for (int i = 0; i < BATON_PRIORITIES; i++)
		n += lane_spilled(&queue->lanes[i]);
	return n;
}

static bool
copy_queue(uint32 i, uint32 database, QueueCopy *copy)
{
	const Queue *queue = &queues[i];
	bool		wanted;

	LWLockAcquire(queue_lock(i), LW_SHARED);
	wanted = queue->state == QUEUE_LIVE && queue->database == database;
	if (wanted)
	{
		strlcpy(copy->name, queue->name, sizeof(copy->name));
		copy->counters = queue->counters;
		copy->waiting = queue->waiting;
		copy->spilled_lanes = count_spilled(queue);
	}
	LWLockRelease(queue_lock(i));
	return wanted;
}

static void
put_queue(Rows *rows, const QueueCopy *queue)
{
	const QueueCounters *c = &queue->counters;
	Datum		values[17];
	bool		nulls[17] = {false};

	values[0] = CStringGetTextDatum(queue->name);
	values[1] = Int64GetDatum(c->sent);
	values[2] = Int64GetDatum(c->delivered);
	values[3] = Int64GetDatum(c->completed);
	values[4] = Int64GetDatum(c->failed);
	values[5] = Int64GetDatum(c->vanished);
	values[6] = Int64GetDatum(c->lease_expired);
	values[7] = Int64GetDatum(c->released);
	values[8] = Int64GetDatum(c->dead);
	values[9] = Int64GetDatum(c->loaded);
	values[10] = Int64GetDatum(c->strange);
	values[11] = Int32GetDatum(queue->waiting);
	values[12] = Int32GetDatum(queue->spilled_lanes);
	put_histogram(&values[13], &c->time_in_queue);
	put_histogram(&values[15], &c->time_in_work);
	rows_put(rows, values, nulls);
}

Datum
baton_queue_counters(PG_FUNCTION_ARGS)
{
	uint32		database = baton_database_if_any();
	Rows		rows;

	rows_begin(fcinfo, NULL, &rows);
	if (database == NONE)
		return (Datum) 0;
	for (uint32 i = 0; i < shared->queues; i++)
	{
		QueueCopy	copy;

		CHECK_FOR_INTERRUPTS();
		if (queues[i].state == QUEUE_LIVE && copy_queue(i, database, &copy))
			put_queue(&rows, &copy);
	}
	return (Datum) 0;
}

/* Slots in use by state, over all databases; read without locks, so the sum may be off by what moves meanwhile. */
static void
count_states(int64 *count)
{
	memset(count, 0, SLOT_STATES * sizeof(int64));
	for (uint32 i = 0; i < shared->queues; i++)
		for (int state = 0; state < SLOT_STATES; state++)
			count[state] += queues[i].count[state];
}

static Datum
bounds_array(void)
{
	Datum		bounds[HISTOGRAM_BOUNDS];

	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
		bounds[i] = seconds(histogram_bound(i));
	return PointerGetDatum(construct_array(bounds, lengthof(bounds), FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
baton_window_use(PG_FUNCTION_ARGS)
{
	uint32		database = baton_database_if_any();
	const Database *d;
	int64		count[SLOT_STATES];
	Rows		rows;
	Datum		values[16];
	bool		nulls[16] = {false};

	rows_begin(fcinfo, NULL, &rows);
	if (database == NONE)
		return (Datum) 0;
	d = &shared->databases[database];
	count_states(count);
	values[0] = Int64GetDatum(shared->window);
	values[1] = Int64GetDatum(slots_free());
	values[2] = Int64GetDatum(count[SLOT_ARRIVING]);
	values[3] = Int64GetDatum(count[SLOT_READY]);
	values[4] = Int64GetDatum(count[SLOT_BLOCKED]);
	values[5] = Int64GetDatum(count[SLOT_DELAYED]);
	values[6] = Int64GetDatum(count[SLOT_CLAIMED]);
	values[7] = Int64GetDatum(count[SLOT_SETTLING]);
	values[8] = Int64GetDatum(count[SLOT_MOVING]);
	values[9] = Int64GetDatum(count[SLOT_CONDEMNED]);
	values[10] = Int64GetDatum(d->outcomes_pending);
	values[11] = Int64GetDatum(d->outcomes_dropped);
	values[12] = BoolGetDatum(pg_atomic_read_u32(&shared->launcher_session) != NONE);
	values[13] = BoolGetDatum(d->keeper_pid != 0);
	values[14] = BoolGetDatum(shared->quarantine);
	values[15] = bounds_array();
	rows_put(&rows, values, nulls);
	return (Datum) 0;
}
