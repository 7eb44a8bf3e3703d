/*
 * work/take.c
 *	  The connection "take": claims messages while there are some, and waits while
 *	  there are none.
 *
 * What has been completed goes along with the next receive, in one statement and
 * one commit: complete_and_receive().
 */
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"
#include "pg/array.h"
#include "work/internal.h"

#define WAIT_INTERVAL "60 s"
#define PAUSE_MS 1000
#define DRY_ENOUGH 3
#define DRY_PAUSE_MOST_MS 200

static const char receive_sql[] =
	"select " CLAIM_COLUMNS("$5") "from baton.receive($1, $2::int, $3::interval, $4::boolean)";

static const char exchange_sql[] =
	"select " CLAIM_COLUMNS("$5")
	"from baton.complete_and_receive($6::text[], $7::jsonb[], $1, $2::int, $3::interval, "
	"$4::boolean)";

/* ---- pausing ---- */

static void
pause_ended(void *arg)
{
	(void) arg;					/* worker_step() comes after every event */
}

void
take_pause(Worker *worker)
{
	loop_timer(&worker->take_pause, PAUSE_MS, pause_ended, worker);
}

/*
 * Woken, but others were faster, again and again: they keep up without us, so less
 * haste.
 */
static void
pause_when_dry(Worker *worker)
{
	int64_t		ms;

	if (++worker->dry < DRY_ENOUGH)
		return;
	ms = 1L << (worker->dry - DRY_ENOUGH < 10 ? worker->dry - DRY_ENOUGH : 10);
	loop_timer(&worker->take_pause, ms < DRY_PAUSE_MOST_MS ? ms : DRY_PAUSE_MOST_MS, pause_ended,
			   worker);
}

/* ---- receiving ---- */

static void
start_all(Worker *worker, const PGresult *result)
{
	int			count = PQntuples(result);

	worker->more = count == worker->asked_for;
	if (count > 0)
		worker->dry = 0;
	for (int row = 0; row < count; row++)
		claim_start(worker, result, row);
}

static void
take_failed(Worker *worker, const PGresult *result)
{
	if (result == NULL || worker_gives_up(worker, result))
		return;
	log_message(LOG_WARNING, "receive_failed", "%s (%s)", query_message(result),
				query_sqlstate(result));
	take_pause(worker);
}

static void
received(void *arg, const PGresult *result)
{
	Worker	   *worker = arg;

	worker->taking = TAKING_NOTHING;
	if (result == NULL || query_failed(result))
	{
		take_failed(worker, result);
		return;
	}
	if (PQntuples(result) == 0)
		pause_when_dry(worker);
	start_all(worker, result);
}

/* All of its receipts are settled if it succeeded, none if it failed. */
static void
exchanged(void *arg, const PGresult *result)
{
	Worker	   *worker = arg;
	Claim	   *claim;

	worker->taking = TAKING_NOTHING;
	if (result == NULL || query_failed(result))
	{
		settle_refused(worker, &worker->take, result);
		/* One receipt that is lost is no reason to pause. */
		if (result && strcmp(query_sqlstate(result), "BT001") == 0)
			return;
		take_failed(worker, result);
		return;
	}
	while ((claim = settle_next(worker, &worker->take, NULL)) != NULL)
		claim_settled(claim);
	start_all(worker, result);
}

static void
receive(Worker *worker, Text *receipts, Text *results)
{
	const WorkerOptions *options = worker->options;
	bool		exchange = receipts->length > 0;
	char	   *max = mem_format("%d", worker->asked_for);
	const char *values[] = {options->queue, max, worker->lease,
							options->detached ? "true" : "false",
							options->text ? "true" : "false",
							exchange ? array_done(receipts) : NULL,
							exchange ? array_done(results) : NULL};
	Query		query = {exchange ? exchange_sql : receive_sql, exchange ? 7 : 5, values};

	worker->taking = TAKING_RECEIVE;
	if (!link_send(&worker->take, query, exchange ? exchanged : received, worker))
	{
		worker->taking = TAKING_NOTHING;
		settle_refused(worker, &worker->take, NULL);
	}
	free(max);
}

/* ---- waiting ---- */

static void
waited(void *arg, const PGresult *result)
{
	Worker	   *worker = arg;

	worker->taking = TAKING_NOTHING;
	if (result && !query_failed(result))
		worker->more = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	else if (!worker->stop)
		take_failed(worker, result);
}

static void
wait_for_more(Worker *worker)
{
	if (link_send(&worker->take,
				  QUERY("call baton.wait($1, $2::interval)", worker->options->queue,
						WAIT_INTERVAL),
				  waited, worker))
		worker->taking = TAKING_WAIT;
}

void
take_stop(Worker *worker)
{
	/* A wait holds no claim, so nothing can be lost by cancelling it. */
	if (worker->taking == TAKING_WAIT)
		link_cancel(&worker->take);
}

/* ---- what else ---- */

/* Bound claims have ended with their session: their messages are with others. */
void
take_went_down(void *arg)
{
	Worker	   *worker = arg;
	Claim	   *next;

	worker->more = true;
	if (worker->options->detached)
		return;
	for (Claim *claim = worker->claims; claim; claim = next)
	{
		next = claim->next;
		claim_lose(claim, "the connection that held it was lost");
	}
}

/* How many commands more may run; not while settling lags far behind. */
static int
room(const Worker *worker)
{
	int			most = worker->options->concurrency;
	int			running = worker->counts[CLAIM_RUNNING] + worker->counts[CLAIM_ENDING];
	int			unsettled = worker->counts[CLAIM_ENDED] + worker->counts[CLAIM_SETTLING];

	return unsettled > most + SETTLE_MOST ? 0 : most - running;
}

void
take_step(Worker *worker)
{
	Text		receipts = {0};
	Text		results = {0};

	if (worker->take.state != LINK_IDLE || worker->stop || worker->take_pause.set ||
		room(worker) <= 0)
		return;
	worker->asked_for = room(worker);
	if (settle_collect(worker, &worker->take, OUTCOME_COMPLETE, &receipts, &results) > 0 ||
		worker->more)
		receive(worker, &receipts, &results);
	else
		wait_for_more(worker);
	text_free(&receipts);
	text_free(&results);
}
