/*
 * work/start.c
 *	  Starts the command for a message that was received.
 */
#define _GNU_SOURCE 1 /* environ */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/text.h"
#include "work/internal.h"

/* A variable longer than this is left out: the kernel refuses 128 kB. */
#define VARIABLE_MOST 65536

/*
 * What goes as variables.  The last three are headers that carry a trace from program to program (W3C Trace Context
 * and Baggage), under the names by which OpenTelemetry hands them on in an environment.
 */
static const struct
{
	const char *name;
	ClaimColumn column;
} variables[] = {
    {"BATON_MESSAGE_ID", COLUMN_ID},     {"BATON_ATTEMPT", COLUMN_ATTEMPT},
    {"BATON_KEY", COLUMN_KEY},           {"BATON_PRIORITY", COLUMN_PRIORITY},
    {"BATON_SENT_AT", COLUMN_SENT_AT},   {"BATON_HEADERS", COLUMN_HEADERS},
    {"TRACEPARENT", COLUMN_TRACEPARENT}, {"TRACESTATE", COLUMN_TRACESTATE},
    {"BAGGAGE", COLUMN_BAGGAGE},
};

#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

/* Of a message: ours may come from another one, that we were started for. */
static bool
is_of_message(const char *variable)
{
	if (strncmp(variable, "BATON_", strlen("BATON_")) == 0)
		return true;
	for (size_t i = 0; i < VARIABLES; i++)
	{
		size_t length = strlen(variables[i].name);

		if (strncmp(variable, variables[i].name, length) == 0 && variable[length] == '=')
			return true;
	}
	return false;
}

/* Our environment and the message's variables; ends with NULL. */
static char **
make_environment(const Worker *worker, const PGresult *result, int row)
{
	size_t count = 0;
	char **list;

	while (environ[count])
		count++;
	list = mem_alloc(sizeof(char *) * (count + VARIABLES + 2));
	count = 0;
	for (char **old = environ; *old; old++)
		if (!is_of_message(*old))
			list[count++] = mem_copy(*old);
	list[count++] = mem_format("BATON_QUEUE=%s", worker->options->queue);
	for (size_t i = 0; i < VARIABLES; i++)
	{
		const char *value = query_value(result, row, variables[i].column);

		if (value && strlen(value) < VARIABLE_MOST)
			list[count++] = mem_format("%s=%s", variables[i].name, value);
	}
	return list;
}

static void
free_environment(char **list)
{
	for (char **p = list; *p; p++)
		free(*p);
	free(list);
}

/* JSON with the end of the line, or the bare text of a JSON string if that is wanted. */
static Text
make_input(const PGresult *result, int row)
{
	const char *text = query_value(result, row, COLUMN_PAYLOAD_TEXT);
	Text input = {0};

	if (text)
		text_add(&input, text);
	else
		text_addf(&input, "%s\n", PQgetvalue(result, row, COLUMN_PAYLOAD));
	return input;
}

static Claim *
make_claim(Worker *worker, const PGresult *result, int row)
{
	Claim *claim = mem_alloc(sizeof(Claim));
	Claim **end = &worker->claims;

	claim->worker = worker;
	claim->receipt = mem_copy(PQgetvalue(result, row, COLUMN_RECEIPT));
	claim->id = strtoll(PQgetvalue(result, row, COLUMN_ID), NULL, 10);
	claim->attempt = (int) strtol(PQgetvalue(result, row, COLUMN_ATTEMPT), NULL, 10);
	claim->started = clock_ms();
	while (*end)
		end = &(*end)->next;
	*end = claim;
	worker->counts[CLAIM_RUNNING]++;
	return claim;
}

static void
time_is_over(void *arg)
{
	Claim *claim = arg;

	claim_kill(claim, OUTCOME_FAIL,
	           mem_format("killed: it took more than %g seconds",
	                      claim->worker->options->timeout));
}

/* Not worked on, through no fault of its own. */
static void
give_back(Claim *claim)
{
	claim->outcome = OUTCOME_RELEASE;
	claim_move(claim, CLAIM_ENDED);
}

static bool
start_command(Claim *claim, const PGresult *result, int row)
{
	const WorkerOptions *options = claim->worker->options;
	char **environment = make_environment(claim->worker, result, row);
	Text input = make_input(result, row);
	bool started = child_start(&claim->child, options->command, environment, &input,
	                           options->most_output);

	free_environment(environment);
	text_free(&input);
	return started;
}

void
claim_start(Worker *worker, const PGresult *result, int row)
{
	Claim *claim = make_claim(worker, result, row);

	if (worker->stop)
	{
		give_back(claim);
		return;
	}
	claim_log(claim, LOG_INFO, claim->attempt > 1 ? "claimed_again" : "claimed", NULL);
	if (!start_command(claim, result, row))
	{
		claim_log(claim, LOG_ERROR, "not_started", strerror(errno));
		give_back(claim);
		take_pause(worker);
	}
	else if (worker->options->timeout > 0)
		loop_timer(&claim->limit, (int64_t) (worker->options->timeout * 1000),
		           time_is_over, claim);
}
