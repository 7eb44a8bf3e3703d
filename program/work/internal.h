/*
 * work/internal.h
 *	  The worker's inside: what its files share.
 *
 * Two connections.  "hold" claims messages, settles them and renews their leases, each by
 * a statement that takes no time; the claims are bound to its session: if the worker dies,
 * however it dies, the server ends that session and others have the messages at once.  If
 * only that connection is lost the claims are as void, and the worker kills their
 * commands.  "wait" does nothing but wait while the queue is empty, and holds nothing.
 *
 * A claim's life; claim_move() alone changes its state:
 *
 *		running ──> ended ──> settling ──> (gone)
 *		   │          ^  ^_______│			the statement was refused: again, alone
 *		   └> ending ─┘						killed; its outcome is known before its end
 *
 * A claim that is lost (renewal refused, session gone, settled by nobody of us) is not
 * settled any more: it goes when its command, and a statement about it, have ended.
 *
 * After each event worker_step() looks at the whole and does what can be done next: if
 * "hold" is free, one of renew_step(), settle_step(), take_step(); if "wait" is,
 * take_wait_step().
 */
#ifndef WORK_INTERNAL_H
#define WORK_INTERNAL_H

#include <stdint.h>

#include "base/log.h"
#include "pg/link.h"
#include "work/child.h"
#include "work/worker.h"

/* ---- claims (claim.c) ---- */

typedef enum Outcome
{
	OUTCOME_COMPLETE,
	OUTCOME_FAIL,
	OUTCOME_RELEASE,
	OUTCOMES
} Outcome;

typedef enum ClaimState
{
	CLAIM_RUNNING,  /* its command runs */
	CLAIM_ENDING,   /* its command has been killed */
	CLAIM_ENDED,    /* to be settled */
	CLAIM_SETTLING, /* a statement that settles it is under way */
	CLAIM_STATES
} ClaimState;

typedef struct Worker Worker;

typedef struct Claim
{
	Worker *worker;
	int64_t id;
	char *receipt; /* owned */
	int attempt;
	ClaimState state;
	bool lost;       /* no more ours */
	bool asked;      /* its command has got SIGTERM: unless it succeeds, release */
	bool doubtful;   /* a renewal with others was refused: ask for it alone */
	bool alone;      /* a settlement with others was refused: settle it alone */
	Outcome outcome; /* from CLAIM_ENDING or CLAIM_ENDED on */
	char *text;      /* owned: the result (JSON, or NULL), or the error */
	int refusals;    /* of its settlement */
	int64_t started; /* clock_ms() */
	Child child;
	LoopTimer limit; /* --timeout */
	struct Claim *next;
} Claim;

/* What a worker is about to do with what it has. */
typedef enum StopStage
{
	STOP_NOT,
	STOP_GENTLY, /* takes nothing new, finishes what runs */
	STOP_ASKING, /* grace is over: commands got SIGTERM */
	STOP_NOW     /* commands got SIGKILL, all is released */
} StopStage;

#define SETTLE_MOST 100 /* claims in one statement */

struct Worker
{
	const WorkerOptions *options;
	WorkerTotals *totals;
	int exit_code;

	Claim *claims; /* oldest first */
	int counts[CLAIM_STATES];

	Link hold;
	Link wait;

	/* take.c */
	int asked_for; /* messages in the receive under way */
	bool more;     /* the queue may have more than was taken */
	int dry;       /* receives in a row that brought nothing */
	int cancels;   /* of the wait under way, while stopping */
	LoopTimer take_pause;

	/* settle.c */
	LoopTimer settle_pause;

	/* renew.c */
	char *lease; /* interval */
	int64_t renew_ms;
	LoopTimer renew;
	bool renewal_due;
	char *renewing; /* receipt of the one that is asked for alone; NULL: all */

	/* worker.c */
	StopStage stop;
	LoopTimer stop_timer;
};

/* The columns that both kinds of receive select; $text is the number of a boolean parameter. */
#define CLAIM_COLUMNS(text)                                                              \
	"receipt, id, attempt, key, priority, sent_at, headers::text, "                      \
	"headers ->> 'traceparent', headers ->> 'tracestate', headers ->> 'baggage', "       \
	"payload::text, "                                                                    \
	"case when " text                                                                    \
	"::boolean and jsonb_typeof(payload) = 'string' then payload #>> '{}' end "

typedef enum ClaimColumn
{
	COLUMN_RECEIPT,
	COLUMN_ID,
	COLUMN_ATTEMPT,
	COLUMN_KEY,
	COLUMN_PRIORITY,
	COLUMN_SENT_AT,
	COLUMN_HEADERS,
	COLUMN_TRACEPARENT,
	COLUMN_TRACESTATE,
	COLUMN_BAGGAGE,
	COLUMN_PAYLOAD,
	COLUMN_PAYLOAD_TEXT
} ClaimColumn;

/* Starts the command for a row of a receive's result; it's a claim from now on (start.c). */
extern void claim_start(Worker *worker, const PGresult *result, int row);

/* The one place that changes a claim's state. */
extern void claim_move(Claim *claim, ClaimState state);

/* Settled, or lost with nothing running: forgets it. */
extern void claim_remove(Claim *claim);

/*
 * The message is no more ours: says so once, kills its command if one runs, forgets it
 * unless a command or a statement about it is still to end; then call it again.
 */
extern void claim_lose(Claim *claim, const char *why);

/* Kills its command and says what is to be settled when it has ended; takes text over. */
extern void claim_kill(Claim *claim, Outcome outcome, char *text);

/* A process has ended: if it was a claim's command, the claim has ended too. */
extern void claim_child_ended(Worker *worker, pid_t pid, int status);

/* Settled as its outcome says: logs and counts it, and forgets it. */
extern void claim_settled(Claim *claim);

/* One line of the log about it. */
extern void claim_log(const Claim *claim, LogLevel level, const char *event,
                      const char *error);

/* ---- taking (take.c) ---- */

/*
 * The steps: true if a statement is under way on "hold" now.  Called when it is free.
 */
extern bool take_step(Worker *worker);
extern void take_wait_step(Worker *worker);
extern bool take_can(const Worker *worker); /* a receive can come next */
extern void take_pause(Worker *worker);     /* takes nothing for a second */

/* Ends a wait under way, soon; take_stopped: none is under way, or it can't be ended. */
extern void take_stop(Worker *worker);
extern bool take_stopped(const Worker *worker);

/* ---- settling (settle.c) ---- */

extern bool settle_step(Worker *worker);

/*
 * Up to SETTLE_MOST claims that one statement can settle with this outcome are moved to
 * settling, and their receipts and texts added to the arrays.  Returns how many.
 */
extern int settle_collect(Worker *worker, Outcome outcome, Text *receipts, Text *texts);

/*
 * The next claim after claim (NULL: the first) that the statement under way settles, in
 * the order of settle_collect().  NULL: no more.
 */
extern Claim *settle_next(Worker *worker, Claim *claim);

/* The statement failed (NULL: the connection was lost): what it was to settle goes back. */
extern void settle_refused(Worker *worker, const PGresult *result);

/* ---- renewing (renew.c) ---- */

/* Finds out how long leases are, before the start; ends the program if it can't. */
extern void renew_setup(Worker *worker, PGconn *conn);
extern bool renew_step(Worker *worker);

/* ---- the worker (worker.c) ---- */

/* An error that won't get better by trying again: stops, and says so. */
extern bool worker_gives_up(Worker *worker, const PGresult *result);

#endif
