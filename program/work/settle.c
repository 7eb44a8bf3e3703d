/*
 * work/settle.c
 *	  The connection "settle": says what became of messages.
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

static const char *const settle_sql[OUTCOMES] = {
	[OUTCOME_COMPLETE] = "select settled from baton.complete_batch($1::text[], $2::jsonb[], "
						 "strict => false) order by position",
	[OUTCOME_FAIL] = "select settled from baton.fail_batch($1::text[], $2::text[], "
					 "strict => false) order by position",
	[OUTCOME_RELEASE] = "select settled from baton.release_batch($1::text[], "
						"strict => false) order by position",
};

static void
pause_ended(void *arg)
{
	(void) arg;
}

/* ---- which claims ---- */

int
settle_collect(Worker *worker, Link *link, Outcome outcome, Text *receipts, Text *texts)
{
	int			count = 0;

	for (Claim *claim = worker->claims; claim && count < SETTLE_MOST; claim = claim->next)
	{
		if (claim->state != CLAIM_ENDED || claim->outcome != outcome || claim->alone)
			continue;
		claim->settled_by = link;
		claim_move(claim, CLAIM_SETTLING);
		array_add(receipts, claim->receipt);
		array_add(texts, claim->text);
		count++;
	}
	return count;
}

Claim *
settle_next(Worker *worker, const Link *link, Claim *claim)
{
	for (claim = claim ? claim->next : worker->claims; claim; claim = claim->next)
		if (claim->state == CLAIM_SETTLING && claim->settled_by == link)
			return claim;
	return NULL;
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
		claim->lost = true;
	else if (claim->outcome == OUTCOME_COMPLETE && (is_class(result, "22") || is_class(result, "54")))
		claim_kill(claim, OUTCOME_FAIL, mem_format("its result was refused: %s", message));
	else if (++claim->refusals >= REFUSALS_MOST)
	{
		log_message(LOG_ERROR, "not_settled", "%s (%s)", message, query_sqlstate(result));
		claim->lost = true;
	}
	else
		loop_timer(&claim->worker->settle_pause, PAUSE_MS, pause_ended, NULL);
}

static void
refused(Claim *claim, const PGresult *result, bool alone)
{
	claim_move(claim, CLAIM_ENDED);
	claim->alone = true;
	if (alone && result)
		refused_alone(claim, result);
	if (!claim->lost)
		return;
	claim->lost = false;		/* claim_lose() says it and counts it, once */
	claim_lose(claim, result ? query_message(result) : "the connection was lost");
}

void
settle_refused(Worker *worker, const Link *link, const PGresult *result)
{
	Claim	   *claim = settle_next(worker, link, NULL);
	bool		alone = claim && settle_next(worker, link, claim) == NULL;

	while (claim)
	{
		Claim	   *next = settle_next(worker, link, claim);

		refused(claim, result, alone);
		claim = next;
	}
}

/* ---- settled ---- */

static void
settled(void *arg, const PGresult *result)
{
	Worker	   *worker = arg;
	Claim	   *claim = settle_next(worker, &worker->settle, NULL);

	if (result == NULL || query_failed(result))
	{
		settle_refused(worker, &worker->settle, result);
		return;
	}
	for (int row = 0; claim; row++)
	{
		Claim	   *next = settle_next(worker, &worker->settle, claim);

		if (row < PQntuples(result) && strcmp(PQgetvalue(result, row, 0), "t") == 0)
			claim_settled(claim);
		else
		{
			claim_move(claim, CLAIM_ENDED);
			claim_lose(claim, "the claim was lost before it was settled");
		}
		claim = next;
	}
}

static void
send_settlement(Worker *worker, Outcome outcome, Text *receipts, Text *texts)
{
	const char *values[] = {array_done(receipts), array_done(texts)};
	Query		query = {settle_sql[outcome], outcome == OUTCOME_RELEASE ? 1 : 2, values};

	if (!link_send(&worker->settle, query, settled, worker))
		settle_refused(worker, &worker->settle, NULL);
}

/* One that was refused with others, if there is one. */
static bool
settle_one_alone(Worker *worker)
{
	Text		receipts = {0};
	Text		texts = {0};

	for (Claim *claim = worker->claims; claim; claim = claim->next)
		if (claim->state == CLAIM_ENDED && claim->alone)
		{
			claim->settled_by = &worker->settle;
			claim_move(claim, CLAIM_SETTLING);
			array_add(&receipts, claim->receipt);
			array_add(&texts, claim->text);
			send_settlement(worker, claim->outcome, &receipts, &texts);
			text_free(&receipts);
			text_free(&texts);
			return true;
		}
	return false;
}

void
settle_step(Worker *worker)
{
	/* A receive that is about to end takes the next completes along. */
	bool		leave_completes = worker->taking == TAKING_RECEIVE && !worker->stop;

	if (worker->settle.state != LINK_IDLE || renew_step(worker) || worker->settle_pause.set)
		return;
	for (Outcome outcome = leave_completes ? OUTCOME_FAIL : OUTCOME_COMPLETE; outcome < OUTCOMES;
		 outcome++)
	{
		Text		receipts = {0};
		Text		texts = {0};
		int			count = settle_collect(worker, &worker->settle, outcome, &receipts, &texts);

		if (count > 0)
			send_settlement(worker, outcome, &receipts, &texts);
		text_free(&receipts);
		text_free(&texts);
		if (count > 0)
			return;
	}
	(void) settle_one_alone(worker);
}
