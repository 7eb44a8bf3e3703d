/*
 * work/settle.c
 *	  Says what became of messages, on the connection "hold".
 *
 * Claims with one outcome go together in one statement that leaves out those that
 * are lost.  If the server refuses the statement as a whole, each goes alone, so
 * that one bad result doesn't hold up the others.
 */
#include <string.h>

#include "base/die.h"
#include "base/log.h"
#include "pg/array.h"
#include "work/internal.h"

#define PAUSE_MS 200
#define REFUSALS_MOST 10

/* clang-format off */
static const char *const settle_sql[OUTCOMES] = {
	[OUTCOME_COMPLETE] =
		"select settled from baton.complete_batch($1::text[], $2::jsonb[], strict => false) "
		"order by position",
	[OUTCOME_FAIL] =
		"select settled from baton.fail_batch($1::text[], $2::text[], strict => false) "
		"order by position",
	[OUTCOME_RELEASE] =
		"select settled from baton.release_batch($1::text[], strict => false) "
		"order by position",
};
/* clang-format on */

static void
pause_ended(void *arg)
{
	(void) arg; /* worker_step() comes after every event */
}

/* ---- which claims ---- */

int
settle_collect(Worker *worker, Outcome outcome, Text *receipts, Text *texts)
{
	int count = 0;

	for (Claim *claim = worker->claims; claim && count < SETTLE_MOST; claim = claim->next)
	{
		if (claim->state != CLAIM_ENDED || claim->outcome != outcome || claim->alone)
			continue;
		claim_move(claim, CLAIM_SETTLING);
		array_add(receipts, claim->receipt);
		array_add(texts, claim->text);
		count++;
	}
	return count;
}

Claim *
settle_next(Worker *worker, Claim *claim)
{
	claim = claim ? claim->next : worker->claims;
	while (claim && claim->state != CLAIM_SETTLING)
		claim = claim->next;
	return claim;
}

/* ---- refused ---- */

static bool
is_class(const PGresult *result, const char *class)
{
	return strncmp(query_sqlstate(result), class, 2) == 0;
}

/*
 * Refused although it was alone.  A result the server can't take (too large, not its
 * idea of JSON) is a failure of the message; a lost claim is lost; the rest may pass.
 */
static void
refused_alone(Claim *claim, const PGresult *result)
{
	const char *message = query_message(result);

	if (strcmp(query_sqlstate(result), "BT001") == 0)
		claim_lose(claim, message);
	else if (claim->outcome == OUTCOME_COMPLETE &&
	         (is_class(result, "22") || is_class(result, "54")))
		claim_kill(claim, OUTCOME_FAIL,
		           mem_format("its result was refused: %s", message));
	else if (++claim->refusals >= REFUSALS_MOST)
	{
		log_message(LOG_ERROR, "not_settled", "%s (%s)", message, query_sqlstate(result));
		claim_lose(claim, "its settlement was refused again and again");
	}
	else
		loop_timer(&claim->worker->settle_pause, PAUSE_MS, pause_ended, NULL);
}

static void
refused(Claim *claim, const PGresult *result, bool alone)
{
	claim_move(claim, CLAIM_ENDED);
	if (result)
		claim->alone = true;
	if (claim->lost)
		claim_lose(claim, NULL);
	else if (result && alone)
		refused_alone(claim, result);
}

void
settle_refused(Worker *worker, const PGresult *result)
{
	Claim *claim = settle_next(worker, NULL);
	bool alone = claim && settle_next(worker, claim) == NULL;

	while (claim)
	{
		Claim *next = settle_next(worker, claim);

		refused(claim, result, alone);
		claim = next;
	}
}

/* ---- settled ---- */

static void
settled(void *arg, const PGresult *result)
{
	Worker *worker = arg;
	Claim *claim = settle_next(worker, NULL);

	if (result == NULL || query_failed(result))
	{
		settle_refused(worker, result);
		return;
	}
	for (int row = 0; claim; row++)
	{
		Claim *next = settle_next(worker, claim);

		if (row < PQntuples(result) && strcmp(PQgetvalue(result, row, 0), "t") == 0)
			claim_settled(claim);
		else
		{
			claim_move(claim, CLAIM_ENDED);
			claim_lose(claim, "settled already, or lost before");
		}
		claim = next;
	}
}

static bool
send_settlement(Worker *worker, Outcome outcome, Text *receipts, Text *texts)
{
	const char *values[] = {array_done(receipts), array_done(texts)};
	Query query = {settle_sql[outcome], outcome == OUTCOME_RELEASE ? 1 : 2, values};
	bool sent = link_send(&worker->hold, query, settled, worker);

	if (!sent)
		settle_refused(worker, NULL);
	return sent;
}

/* ---- what is to be done ---- */

static bool
settle_outcome(Worker *worker, Outcome outcome)
{
	Text receipts = {0};
	Text texts = {0};
	bool sent = settle_collect(worker, outcome, &receipts, &texts) > 0 &&
	            send_settlement(worker, outcome, &receipts, &texts);

	text_free(&receipts);
	text_free(&texts);
	return sent;
}

/* One that was refused with others, if there is one. */
static bool
settle_alone(Worker *worker)
{
	Claim *claim = worker->claims;
	Text receipts = {0};
	Text texts = {0};
	bool sent;

	while (claim && !(claim->state == CLAIM_ENDED && claim->alone))
		claim = claim->next;
	if (claim == NULL)
		return false;
	claim_move(claim, CLAIM_SETTLING);
	array_add(&receipts, claim->receipt);
	array_add(&texts, claim->text);
	sent = send_settlement(worker, claim->outcome, &receipts, &texts);
	text_free(&receipts);
	text_free(&texts);
	return sent;
}

bool
settle_step(Worker *worker)
{
	if (worker->settle_pause.set)
		return false;
	if (settle_outcome(worker, OUTCOME_FAIL) || settle_outcome(worker, OUTCOME_RELEASE) ||
	    settle_alone(worker))
		return true;
	/* Where a receive comes next it takes them along. */
	return !take_can(worker) && settle_outcome(worker, OUTCOME_COMPLETE);
}
