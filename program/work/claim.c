/*
 * work/claim.c
 *	  Claims: their states, and what the end of a command means.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "work/internal.h"

void
claim_log(const Claim *claim, LogLevel level, const char *event, const char *error)
{
	LogLine line;

	log_begin(&line, level, event);
	log_string(&line, "queue", claim->worker->options->queue);
	log_number(&line, "message_id", claim->id);
	log_number(&line, "attempt", claim->attempt);
	if (claim->state != CLAIM_RUNNING)
		log_number(&line, "ms", clock_ms() - claim->started);
	log_string(&line, "error", error);
	log_end(&line);
}

/* ---- states ---- */

void
claim_move(Claim *claim, ClaimState state)
{
	claim->worker->counts[claim->state]--;
	claim->state = state;
	claim->worker->counts[state]++;
}

void
claim_remove(Claim *claim)
{
	Worker *worker = claim->worker;

	for (Claim **p = &worker->claims; *p; p = &(*p)->next)
		if (*p == claim)
		{
			*p = claim->next;
			break;
		}
	worker->counts[claim->state]--;
	loop_timer_stop(&claim->limit);
	child_free(&claim->child);
	free(claim->receipt);
	free(claim->text);
	free(claim);
}

void
claim_kill(Claim *claim, Outcome outcome, char *text)
{
	if (claim->state == CLAIM_RUNNING)
	{
		child_signal(&claim->child, SIGKILL);
		claim_move(claim, CLAIM_ENDING);
	}
	free(claim->text);
	claim->outcome = outcome;
	claim->text = text;
}

void
claim_lose(Claim *claim, const char *why)
{
	if (!claim->lost)
	{
		claim->lost = true;
		claim->worker->totals->lost++;
		claim_log(claim, LOG_WARNING, "lost", why);
	}
	if (claim->state == CLAIM_RUNNING)
		claim_kill(claim, OUTCOME_RELEASE, NULL);
	else if (claim->state == CLAIM_ENDED)
		claim_remove(claim);
}

/* ---- the end of a command ---- */

static void
decide_outcome(Claim *claim, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
	{
		claim->outcome = OUTCOME_COMPLETE;
		claim->text = output_result(&claim->child.out);
	}
	else if (claim->asked)
		claim->outcome = OUTCOME_RELEASE;
	else
	{
		claim->outcome = OUTCOME_FAIL;
		claim->text = output_error(status, &claim->child.err);
	}
}

static void
command_ended(Claim *claim, int status)
{
	loop_timer_stop(&claim->limit);
	child_close(&claim->child);
	if (claim->lost)
	{
		claim_remove(claim);
		return;
	}
	if (claim->state == CLAIM_RUNNING)
		decide_outcome(claim, status);
	claim_move(claim, CLAIM_ENDED);
}

void
claim_child_ended(Worker *worker, pid_t pid, int status)
{
	for (Claim *claim = worker->claims; claim; claim = claim->next)
		if (claim->child.pid == pid)
		{
			command_ended(claim, status);
			return;
		}
}

void
claim_settled(Claim *claim)
{
	WorkerTotals *totals = claim->worker->totals;
	const struct
	{
		LogLevel level;
		const char *event;
		long *total;
	} of[OUTCOMES] = {
	    [OUTCOME_COMPLETE] = {LOG_INFO, "completed", &totals->completed},
	    [OUTCOME_FAIL] = {LOG_WARNING, "failed", &totals->failed},
	    [OUTCOME_RELEASE] = {LOG_INFO, "released", &totals->released},
	};

	(*of[claim->outcome].total)++;
	claim_log(claim, of[claim->outcome].level, of[claim->outcome].event,
	          claim->outcome == OUTCOME_FAIL ? claim->text : NULL);
	claim_remove(claim);
}
