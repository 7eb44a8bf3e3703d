/*
 * work/renew.c
 *	  Renews the leases of what is in work, on the connection "hold", long before
 *	  they end: so a lease may be short and a command long.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"
#include "pg/array.h"
#include "work/internal.h"

#define PARTS 3 /* renewed when a third of it is over */
#define LEAST_MS 20
#define UNKNOWN_MS 300000L

/* ---- how long a lease is ---- */

static const char lease_given[] =
    "select (extract(epoch from $1::interval) * 1000)::bigint";
static const char lease_of_queue[] =
    "select (extract(epoch from lease) * 1000)::bigint from baton.queue where name = $1";

/* Milliseconds from the server; 0: this role may receive, but not look at queues. */
static long
ask_lease(const Worker *worker, PGconn *conn)
{
	const WorkerOptions *options = worker->options;
	PGresult *found =
	    query_try(conn, options->lease ? QUERY(lease_given, options->lease)
	                                   : QUERY(lease_of_queue, options->queue));
	long ms = 0;

	if (query_failed(found) && strcmp(query_sqlstate(found), "42501") != 0)
	{
		query_complain(conn, found);
		exit(query_exit_code(conn));
	}
	if (!query_failed(found) && PQntuples(found) == 0)
		die_hint(EXIT_ERROR, "\"baton queue create NAME\" makes one.",
		         "queue \"%s\" does not exist", options->queue);
	if (!query_failed(found))
		ms = strtol(PQgetvalue(found, 0, 0), NULL, 10);
	PQclear(found);
	return ms;
}

void
renew_setup(Worker *worker, PGconn *conn)
{
	long ms = ask_lease(worker, conn);

	if (ms == 0 && worker->options->lease == NULL)
	{
		ms = UNKNOWN_MS;
		log_message(LOG_INFO, "lease",
		            "the queue's lease can't be seen, so %ld s; --lease says another",
		            ms / 1000);
	}
	worker->lease = mem_format("%ld ms", ms);
	worker->renew_ms = ms / PARTS > LEAST_MS ? ms / PARTS : LEAST_MS;
}

/* ---- renewing ---- */

static bool
is_lost(const PGresult *result)
{
	return result && strcmp(query_sqlstate(result), "BT001") == 0;
}

static void
log_refusal(const PGresult *result)
{
	log_message(LOG_WARNING, "renew_failed", "%s (%s)", query_message(result),
	            query_sqlstate(result));
}

/* One claim was asked for: now it is known whose renewal was refused. */
static void
renewed_one(void *arg, const PGresult *result)
{
	Worker *worker = arg;
	Claim *claim = worker->claims;

	while (claim && strcmp(claim->receipt, worker->renewing) != 0)
		claim = claim->next;
	free(worker->renewing);
	worker->renewing = NULL;
	/* Its command may have ended meanwhile. */
	if (claim == NULL || claim->state != CLAIM_RUNNING)
		return;
	if (is_lost(result))
		claim_lose(claim, query_message(result));
	else if (result && query_failed(result))
		log_refusal(result);
}

/* All were asked for: it's all or nothing, so on a loss each is asked for alone. */
static void
renewed_all(void *arg, const PGresult *result)
{
	Worker *worker = arg;

	if (result == NULL || !query_failed(result))
		return;
	if (!is_lost(result))
		log_refusal(result);
	for (Claim *claim = worker->claims; claim; claim = claim->next)
		claim->doubtful = claim->state == CLAIM_RUNNING;
}

static bool
renew_one(Worker *worker)
{
	for (Claim *claim = worker->claims; claim; claim = claim->next)
	{
		if (!claim->doubtful)
			continue;
		claim->doubtful = false;
		if (claim->state != CLAIM_RUNNING)
			continue;
		worker->renewing = mem_copy(claim->receipt);
		return link_send(
		    &worker->hold,
		    QUERY("select baton.extend($1, $2::interval)", claim->receipt, worker->lease),
		    renewed_one, worker);
	}
	return false;
}

static bool
renew_all(Worker *worker)
{
	Text receipts = {0};
	bool sent = false;

	for (Claim *claim = worker->claims; claim; claim = claim->next)
		if (claim->state == CLAIM_RUNNING)
			array_add(&receipts, claim->receipt);
	if (receipts.length > 0)
		sent = link_send(&worker->hold,
		                 QUERY("select baton.extend(receipt, $2::interval) "
		                       "from unnest($1::text[]) receipt",
		                       array_done(&receipts), worker->lease),
		                 renewed_all, worker);
	text_free(&receipts);
	return sent;
}

static void
renewal_comes(void *arg)
{
	Worker *worker = arg;

	worker->renewal_due = true;
}

bool
renew_step(Worker *worker)
{
	if (renew_one(worker))
		return true;
	if (!worker->renewal_due && worker->renew.set)
		return false;
	loop_timer(&worker->renew, worker->renew_ms, renewal_comes, worker);
	if (!worker->renewal_due)
		return false;
	worker->renewal_due = false;
	return renew_all(worker);
}
