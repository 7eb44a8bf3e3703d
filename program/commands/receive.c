/*
 * commands/receive.c
 *	  baton receive: takes messages and prints them.
 *
 * The program ends after printing, and its session with it.  So the claims are
 * detached (they last until they are settled by their receipt, or their lease
 * ends), except with --complete: then they are bound to the session until what was
 * printed is settled, and a program that dies in between loses nothing.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/die.h"
#include "commands/command.h"
#include "pg/array.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

static struct
{
	int max;
	double wait; /* seconds */
	const char *lease;
	bool complete;
	bool payload;
	bool json;
} asked = {.max = 1};

/* Column 0 is what is printed, column 1 the receipt. */
static const char take_object[] = "select to_jsonb(m), receipt from baton.receive($1, "
                                  "$2::int, $3::interval, $4::boolean) m";
static const char take_payload[] = "select payload, receipt from baton.receive($1, "
                                   "$2::int, $3::interval, $4::boolean) m";

static PGresult *
take(PGconn *conn, const char *queue)
{
	char max[16];

	snprintf(max, sizeof(max), "%d", asked.max);
	return query_run(conn, QUERY(asked.payload ? take_payload : take_object, queue, max,
	                             asked.lease, asked.complete ? "false" : "true"));
}

/* Takes what is there, or what comes in time; another consumer may be faster: again. */
static PGresult *
take_in_time(PGconn *conn, const char *queue)
{
	int64_t end = clock_ms() + (int64_t) (asked.wait * 1000);

	for (;;)
	{
		PGresult *messages = take(conn, queue);
		int64_t left = end - clock_ms();
		char timeout[32];

		if (PQntuples(messages) > 0 || left <= 0)
			return messages;
		PQclear(messages);
		snprintf(timeout, sizeof(timeout), "%" PRId64 " ms", left);
		PQclear(
		    query_run(conn, QUERY("call baton.wait($1, $2::interval)", queue, timeout)));
	}
}

static void
complete_all(PGconn *conn, const PGresult *messages)
{
	Text receipts = {0};

	for (int row = 0; row < PQntuples(messages); row++)
		array_add(&receipts, PQgetvalue(messages, row, 1));
	PQclear(query_run(conn, QUERY("select from baton.complete_batch($1::text[])",
	                              array_done(&receipts))));
	text_free(&receipts);
}

static int
run_receive(int argc, char **argv)
{
	PGconn *conn;
	PGresult *messages;
	int count;

	(void) argc;
	if (asked.json && asked.payload)
		usage_error(&command_receive, "both --json and --payload are given");
	conn = connection_open("baton receive");
	messages = take_in_time(conn, argv[0]);
	count = PQntuples(messages);
	print_lines(messages);
	print_flush();
	if (asked.complete && count > 0)
		complete_all(conn, messages);
	PQclear(messages);
	PQfinish(conn);
	return count > 0 ? EXIT_OK : EXIT_NOTHING;
}

static const Option options[] = {
    {"max", 'n', OPTION_COUNT, "N", &asked.max, 1, 0, "at most so many messages (1)"},
    {"wait", 'w', OPTION_SECONDS, "SECONDS", &asked.wait, 0, 0,
     "wait so long for one if there is none"},
    {"complete", 0, OPTION_FLAG, NULL, &asked.complete, 0, 0,
     "complete them once they are printed"},
    {"lease", 0, OPTION_STRING, "TIME", &asked.lease, 0, 0,
     "how long the claim lasts, in place of the queue's lease"},
    {"payload", 0, OPTION_FLAG, NULL, &asked.payload, 0, 0,
     "print only the payload, not the whole message"},
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "print the whole message as JSON, which is what it does anyway"},
    {0},
};

static const char *const examples[] = {
    "baton receive mail --complete",
    "baton receive mail --max 100 --wait 10 --complete --payload",
    "receipt=$(baton receive mail | jq -r .receipt) && baton complete \"$receipt\"",
    NULL,
};

const Command command_receive = {
    .name = "receive",
    .arguments = "QUEUE",
    .least = 1,
    .most = 1,
    .summary = "take messages and print them, a JSON object a line",
    .description = "Without --complete the messages stay claimed until \"baton "
                   "complete\", \"fail\" or\n"
                   "\"release\" is called with the receipt, or their lease ends: then "
                   "others get them.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_receive,
};
