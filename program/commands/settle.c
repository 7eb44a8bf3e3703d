/*
 * commands/settle.c
 *	  baton complete, fail, release: end a claim by its receipt, as a script does that
 *	  got it from "baton receive".
 */
#include <stdio.h>

#include "base/die.h"
#include "commands/command.h"
#include "pg/connection.h"
#include "pg/query.h"

static struct
{
	const char *retry_in;
	const char *delay;
	bool no_retry;
} asked;

static void
settle(Query query)
{
	PGconn *conn = connection_open("baton settle");

	PQclear(query_run(conn, query));
	PQfinish(conn);
}

static int
run_complete(int argc, char **argv)
{
	settle(QUERY("select baton.complete($1, $2::jsonb)", argv[0],
	             argc > 1 ? argv[1] : NULL));
	return EXIT_OK;
}

static int
run_fail(int argc, char **argv)
{
	(void) argc;
	settle(QUERY("select baton.fail($1, $2, $3::interval, $4::boolean)", argv[0], argv[1],
	             asked.retry_in, asked.no_retry ? "false" : "true"));
	return EXIT_OK;
}

static int
run_release(int argc, char **argv)
{
	(void) argc;
	settle(QUERY("select baton.release($1, $2::interval)", argv[0],
	             asked.delay ? asked.delay : "0"));
	return EXIT_OK;
}

static const Option fail_options[] = {
    {"retry-in", 0, OPTION_STRING, "TIME", &asked.retry_in, 0, 0,
     "pause before the next try, in place of the queue's backoff"},
    {"no-retry", 0, OPTION_FLAG, NULL, &asked.no_retry, 0, 0,
     "it is dead: no further try"},
    {0},
};

static const Option release_options[] = {
    {"delay", 0, OPTION_STRING, "TIME", &asked.delay, 0, 0,
     "hand it out again only after this time"},
    {0},
};

static const char *const complete_examples[] = {
    "baton complete \"$receipt\" '{\"success\": true}'",
    NULL,
};
static const char *const fail_examples[] = {
    "baton fail \"$receipt\" 'no such address' --retry-in '10 min'",
    NULL,
};
static const char *const release_examples[] = {"baton release \"$receipt\"", NULL};

const Command command_complete = {
    .name = "complete",
    .arguments = "RECEIPT [RESULT]",
    .least = 1,
    .most = 2,
    .summary = "settle a received message: done, with a result (JSON)",
    .examples = complete_examples,
    .connects = true,
    .run = run_complete,
};

const Command command_fail = {
    .name = "fail",
    .arguments = "RECEIPT ERROR",
    .least = 2,
    .most = 2,
    .summary =
        "settle a received message: it failed, and is tried again by the queue's policy",
    .options = fail_options,
    .examples = fail_examples,
    .connects = true,
    .run = run_fail,
};

const Command command_release = {
    .name = "release",
    .arguments = "RECEIPT",
    .least = 1,
    .most = 1,
    .summary = "give a received message back, untried",
    .options = release_options,
    .examples = release_examples,
    .connects = true,
    .run = run_release,
};
