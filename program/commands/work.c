/*
 * commands/work.c
 *	  baton work: runs a command for each message of a queue.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/die.h"
#include "commands/command.h"
#include "work/worker.h"

static struct
{
	const char *shell;
	const char *lease;
	int concurrency;
	int most_output;
	double timeout;
	double grace;
	bool detached;
	bool text;
	bool json;
} asked = {.concurrency = 1, .most_output = 65536, .grace = 30};

static int
run_work(int argc, char **argv)
{
	const char *const shell[] = {"/bin/sh", "-c", asked.shell, NULL};
	WorkerOptions options = {
	    .queue = argv[0],
	    .command = asked.shell ? shell : (const char *const *) argv + 1,
	    .concurrency = asked.concurrency,
	    .lease = asked.lease,
	    .detached = asked.detached,
	    .text = asked.text,
	    .timeout = asked.timeout,
	    .grace = asked.grace,
	    .most_output = asked.most_output,
	};
	WorkerTotals totals = {0};
	int code;

	if (asked.shell && argc > 1)
		usage_error(&command_work, "both --exec and a program are given");
	if (!asked.shell && argc == 1)
		usage_error(&command_work, "a command is missing: --exec COMMAND, or -- PROGRAM");
	code = worker_run(&options, &totals);
	if (asked.json)
		printf(
		    "{\"completed\": %ld, \"failed\": %ld, \"released\": %ld, \"lost\": %ld}\n",
		    totals.completed, totals.failed, totals.released, totals.lost);
	else if (!want_quiet && isatty(STDOUT_FILENO))
		printf("%ld completed, %ld failed, %ld released, %ld lost\n", totals.completed,
		       totals.failed, totals.released, totals.lost);
	return code;
}

static const Option options[] = {
    {"exec", 'e', OPTION_STRING, "COMMAND", &asked.shell, 0, 0,
     "the command, for /bin/sh"},
    {"concurrency", 'c', OPTION_COUNT, "N", &asked.concurrency, 1, 1000,
     "commands that run at a time (1)"},
    {"timeout", 0, OPTION_SECONDS, "SECONDS", &asked.timeout, 0, 0,
     "kill a command that takes longer; the message has failed (no bound)"},
    {"grace", 0, OPTION_SECONDS, "SECONDS", &asked.grace, 0, 0,
     "to finish in after SIGTERM, then what still runs is given back (30)"},
    {"text", 0, OPTION_FLAG, NULL, &asked.text, 0, 0,
     "a payload that is a JSON string is given as its bare text"},
    {"max-output", 0, OPTION_COUNT, "BYTES", &asked.most_output, 0, 16777216,
     "of a command's standard output kept as the result (65536)"},
    {"lease", 0, OPTION_STRING, "TIME", &asked.lease, 0, 0,
     "of the claims, renewed while the command runs (the queue's)"},
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "print at the end what became of the messages, as an object"},
    {"detached", 0, OPTION_FLAG, NULL, &asked.detached, 0, 0,
     "behind a pooler in transaction mode: claims that last until their lease ends"},
    {0},
};

static const char *const examples[] = {
    "baton work mail --exec 'sendmail -t' --concurrency 4",
    "baton work scans --text --exec 'IFS= read -r file; ocr \"$file\"' -c 2 --timeout "
    "10m",
    "baton work payments -- /usr/local/bin/pay --from-queue",
    NULL,
};

const Command command_work = {
    .name = "work",
    .arguments = "QUEUE [-- PROGRAM [ARGUMENT]...]",
    .least = 1,
    .most = -1,
    .summary = "run a command for each message of a queue",
    .description =
        "The payload is on the command's standard input, JSON on one line; BATON_QUEUE,\n"
        "BATON_MESSAGE_ID, BATON_ATTEMPT, BATON_KEY, BATON_PRIORITY, BATON_SENT_AT and\n"
        "BATON_HEADERS (JSON) are in its environment, and of the headers traceparent,\n"
        "tracestate and baggage as TRACEPARENT and so on. Exit status 0: the message is "
        "completed, and\n"
        "what the command wrote is its result: JSON as it is, other text as {\"output\": "
        "\"...\"}.\n"
        "Anything else: it has failed, with the tail of standard error, and is tried "
        "again by\n"
        "the queue's policy. When the command has ended, what it left running is "
        "killed.\n"
        "\n"
        "Leases are renewed while commands run. SIGTERM or Ctrl-C: takes nothing new "
        "and\n"
        "finishes; a second one: kills the commands and gives their messages back. If "
        "the\n"
        "worker itself is killed or loses its connection, others have its messages at "
        "once.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_work,
};
