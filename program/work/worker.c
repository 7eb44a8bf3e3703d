/*
 * work/worker.c
 *	  A worker from its start to its end: connections, signals, stopping.
 */
#include "work/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "pg/connection.h"
#include "work/guard.h"
#include "work/internal.h"

#define ASKING_MS 3000      /* between SIGTERM and SIGKILL when the grace is over */
#define GIVING_BACK_MS 5000 /* to tell the server, when all has been killed */

/* ---- stopping ---- */

static void stop_now(void *arg);

static void
give_up_settling(void *arg)
{
	Worker *worker = arg;
	int left = 0;

	for (Claim *claim = worker->claims; claim; claim = claim->next)
		left++;
	log_message(LOG_ERROR, "not_settled",
	            "%d claims are left to their session's end or their lease", left);
	worker->exit_code = EXIT_CONNECTION;
	loop_stop();
}

static void
stop_now(void *arg)
{
	Worker *worker = arg;

	worker->stop = STOP_NOW;
	if (worker->counts[CLAIM_RUNNING] > 0)
		worker->exit_code = EXIT_STOPPED;
	for (Claim *claim = worker->claims; claim; claim = claim->next)
		if (claim->state == CLAIM_RUNNING)
			claim_kill(claim, OUTCOME_RELEASE, NULL);
	loop_timer(&worker->stop_timer, GIVING_BACK_MS, give_up_settling, worker);
}

static void
grace_is_over(void *arg)
{
	Worker *worker = arg;

	log_message(LOG_WARNING, "stopping",
	            "the grace period is over, %d commands still run",
	            worker->counts[CLAIM_RUNNING]);
	worker->stop = STOP_ASKING;
	worker->exit_code = EXIT_STOPPED;
	for (Claim *claim = worker->claims; claim; claim = claim->next)
		if (claim->state == CLAIM_RUNNING)
		{
			claim->asked = true;
			child_signal(&claim->child, SIGTERM);
		}
	loop_timer(&worker->stop_timer, ASKING_MS, stop_now, worker);
}

static void
stop_gently(Worker *worker)
{
	log_message(LOG_INFO, "stopping", "%d commands are still to finish",
	            worker->counts[CLAIM_RUNNING]);
	worker->stop = STOP_GENTLY;
	take_stop(worker);
	loop_timer(&worker->stop_timer, (int64_t) (worker->options->grace * 1000),
	           grace_is_over, worker);
}

/* The first signal: finish.  The second: now. */
static void
stop_asked(void *arg)
{
	Worker *worker = arg;

	if (worker->stop == STOP_NOT)
		stop_gently(worker);
	else if (worker->stop != STOP_NOW)
		stop_now(worker);
}

bool
worker_gives_up(Worker *worker, const PGresult *result)
{
	/* No such queue, schema, function; no right; not preloaded; a value that is wrong. */
	static const char *const hopeless[] = {"42704", "3F000", "42883", "42P01",
	                                       "42501", "55000", "22023", "22007"};
	const char *state = query_sqlstate(result);

	for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++)
		if (strcmp(state, hopeless[i]) == 0)
		{
			query_complain(worker->hold.conn, result);
			worker->exit_code = EXIT_ERROR;
			if (worker->stop == STOP_NOT)
				stop_gently(worker);
			return true;
		}
	return false;
}

/* ---- events ---- */

static void
children_ended(void *arg)
{
	Worker *worker = arg;
	int status;
	pid_t pid;

	while ((pid = child_ended(&status)) != 0)
		claim_child_ended(worker, pid, status);
}

/* Bound claims have ended with their session: their messages are with others. */
static void
hold_went_down(void *arg)
{
	Worker *worker = arg;
	Claim *next;

	worker->more = true;
	if (worker->options->detached)
		return;
	for (Claim *claim = worker->claims; claim; claim = next)
	{
		next = claim->next;
		claim_lose(claim, "the connection that held it was lost");
	}
}

/* Back after a loss: claims that only have a lease may have lost it meanwhile. */
static void
hold_went_up(void *arg)
{
	Worker *worker = arg;

	worker->renewal_due = true;
}

static void
worker_step(void *arg)
{
	Worker *worker = arg;

	if (worker->hold.state == LINK_IDLE)
		(void) (renew_step(worker) || settle_step(worker) || take_step(worker));
	take_wait_step(worker);
	/* A receive that is still under way may bring claims to be given back. */
	if (worker->stop && worker->claims == NULL && worker->hold.state != LINK_BUSY &&
	    take_stopped(worker))
		loop_stop();
}

/* ---- start and end ---- */

/* Two pipes a command: as many descriptors as we may have. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
log_totals(const Worker *worker)
{
	LogLine line;

	log_begin(&line, LOG_INFO, "stopped");
	log_string(&line, "queue", worker->options->queue);
	log_number(&line, "completed", worker->totals->completed);
	log_number(&line, "failed", worker->totals->failed);
	log_number(&line, "released", worker->totals->released);
	log_number(&line, "lost", worker->totals->lost);
	log_end(&line);
}

static void
set_up_links(Worker *worker, const char *application)
{
	worker->hold = (Link){.name = "hold",
	                      .application = application,
	                      .went_up = hold_went_up,
	                      .went_down = hold_went_down,
	                      .arg = worker};
	worker->wait = (Link){.name = "wait", .application = application, .arg = worker};
	link_adopt(&worker->hold, connection_open(application));
	renew_setup(worker, worker->hold.conn);
	link_adopt(&worker->wait, connection_open(application));
}

static void
log_start(const Worker *worker)
{
	LogLine line;

	log_begin(&line, LOG_INFO, "started");
	log_string(&line, "queue", worker->options->queue);
	log_number(&line, "concurrency", worker->options->concurrency);
	log_string(&line, "lease", worker->lease);
	log_number(&line, "pid", getpid());
	log_number(&line, "session", PQbackendPID(worker->hold.conn));
	log_end(&line);
}

int
worker_run(const WorkerOptions *options, WorkerTotals *totals)
{
	Worker worker = {.options = options, .totals = totals, .more = true};
	char *application = mem_format("baton work %s", options->queue);

	raise_descriptors();
	srandom((unsigned int) (getpid() ^ clock_ms()));
	guard_start();
	loop_signal(SIGCHLD, children_ended, &worker);
	loop_signal(SIGTERM, stop_asked, &worker);
	loop_signal(SIGINT, stop_asked, &worker);
	set_up_links(&worker, application);
	log_start(&worker);
	loop_run(worker_step, &worker);
	link_close(&worker.hold);
	link_close(&worker.wait);
	log_totals(&worker);
	while (worker.claims)
		claim_remove(worker.claims);
	free(worker.lease);
	free(application);
	return worker.exit_code;
}
