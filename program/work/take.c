/*
 * work/take.c
 *	  Claims messages on the connection "hold" while there are some, and waits on the
 *	  connection "wait" while there are none.
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
#define CANCEL_AGAIN_MS 250
#define CANCELS_MOST 8
#define DRY_ENOUGH 3
#define DRY_PAUSE_MOST_MS 200

/* clang-format off */
static const char receive_sql[] =
	"select " CLAIM_COLUMNS("$5")
	"from baton.receive($1, $2::int, $3::interval, $4::boolean)";

static const char exchange_sql[] =
	"select " CLAIM_COLUMNS("$5")
	"from baton.complete_and_receive($6::text[], $7::jsonb[], $1, $2::int, $3::interval, "
	"$4::boolean)";
/* clang-format on */

/* ---- pausing ---- */

static void
pause_ended(void *arg)
{
	(void) arg; /* worker_step() comes after every event */
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
	int64_t ms;

	if (++worker->dry < DRY_ENOUGH)
		return;
	ms = 1L << (worker->dry - DRY_ENOUGH < 10 ? worker->dry - DRY_ENOUGH : 10);
	loop_timer(&worker->take_pause, ms < DRY_PAUSE_MOST_MS ? ms : DRY_PAUSE_MOST_MS,
	           pause_ended, worker);
}

/* Result NULL: the connection was lost, which the link deals with. */
static void
take_failed(Worker *worker, const PGresult *result)
{
	if (result == NULL || worker_gives_up(worker, result))
		return;
	log_message(LOG_WARNING, "receive_failed", "%s (%s)", query_message(result),
	            query_sqlstate(result));
	take_pause(worker);
}

/* ---- receiving ---- */

static void
start_all(Worker *worker, const PGresult *result)
{
	int count = PQntuples(result);

	worker->more = count == worker->asked_for;
	if (count > 0)
		worker->dry = 0;
	for (int row = 0; row < count; row++)
		claim_start(worker, result, row);
}

static void
received(void *arg, const PGresult *result)
{
	Worker *worker = arg;

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
	Worker *worker = arg;
	Claim *claim;

	if (result == NULL || query_failed(result))
	{
		/* Each alone, then; if it was the receive that is wrong the next one says so. */
		settle_refused(worker, result);
		return;
	}
	while ((claim = settle_next(worker, NULL)) != NULL)
		claim_settled(claim);
	start_all(worker, result);
}

static bool
receive(Worker *worker, Text *receipts, Text *results)
{
	const WorkerOptions *options = worker->options;
	bool exchange = receipts->length > 0;
	char *max = mem_format("%d", worker->asked_for);
	const char *values[] = {options->queue,
	                        max,
	                        worker->lease,
	                        options->detached ? "true" : "false",
	                        options->text ? "true" : "false",
	                        exchange ? array_done(receipts) : NULL,
	                        exchange ? array_done(results) : NULL};
	Query query = {exchange ? exchange_sql : receive_sql, exchange ? 7 : 5, values};
	bool sent = link_send(&worker->hold, query, exchange ? exchanged : received, worker);

	if (!sent)
		settle_refused(worker, NULL);
	free(max);
	return sent;
}

/* How many commands more may run; not while settling lags far behind. */
static int
room(const Worker *worker)
{
	int most = worker->options->concurrency;
	int running = worker->counts[CLAIM_RUNNING] + worker->counts[CLAIM_ENDING];
	int unsettled = worker->counts[CLAIM_ENDED] + worker->counts[CLAIM_SETTLING];

	return unsettled > most + SETTLE_MOST ? 0 : most - running;
}

bool
take_can(const Worker *worker)
{
	return worker->more && !worker->stop && !worker->take_pause.set && room(worker) > 0;
}

bool
take_step(Worker *worker)
{
	Text receipts = {0};
	Text results = {0};
	bool sent;

	if (!take_can(worker))
		return false;
	worker->asked_for = room(worker);
	(void) settle_collect(worker, OUTCOME_COMPLETE, &receipts, &results);
	sent = receive(worker, &receipts, &results);
	text_free(&receipts);
	text_free(&results);
	return sent;
}

/* ---- waiting ---- */

static void
waited(void *arg, const PGresult *result)
{
	Worker *worker = arg;

	if (result && !query_failed(result))
		worker->more = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	else if (!worker->stop)
		take_failed(worker, result);
}

void
take_wait_step(Worker *worker)
{
	if (worker->wait.state == LINK_IDLE && !worker->more && !worker->stop &&
	    !worker->take_pause.set && room(worker) > 0)
		(void) link_send(&worker->wait,
		                 QUERY("call baton.wait($1, $2::interval)",
		                       worker->options->queue, WAIT_INTERVAL),
		                 waited, worker);
}

static void
cancel_again(void *arg)
{
	take_stop(arg);
}

/*
 * A wait holds no claim, so nothing can be lost by cancelling it.  A cancel that
 * comes before its statement is for nothing, so it is repeated.
 */
void
take_stop(Worker *worker)
{
	if (worker->wait.state != LINK_BUSY)
		return;
	link_cancel(&worker->wait);
	worker->cancels++;
	loop_timer(&worker->take_pause, CANCEL_AGAIN_MS, cancel_again, worker);
}

bool
take_stopped(const Worker *worker)
{
	return worker->wait.state != LINK_BUSY || worker->cancels > CANCELS_MOST;
}
