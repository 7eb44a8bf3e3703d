/*
 * commands/queue.c
 *	  baton queue: lists queues, makes, changes, pauses and drops them.
 */
#include <stdio.h>
#include <string.h>

#include "base/die.h"
#include "commands/command.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

/*
 * A queue's policy: an option and the argument of create_queue() and
 * alter_queue() it becomes.  What isn't given isn't passed: the defaults are the
 * extension's.
 */
static struct
{
	const char *max_attempts;
	const char *max_crashes;
	const char *backoff;
	const char *backoff_max;
	const char *lease;
	const char *key_in_flight;
	const char *retention;
	bool lenient;
	bool json;
} asked;

static const struct
{
	const char *argument;
	const char *type;
	const char **value;
} policy[] = {
    {"max_attempts", "int", &asked.max_attempts},
    {"max_crashes", "int", &asked.max_crashes},
    {"backoff", "interval", &asked.backoff},
    {"backoff_max", "interval", &asked.backoff_max},
    {"lease", "interval", &asked.lease},
    {"key_in_flight", "int", &asked.key_in_flight},
    {"retention", "interval", &asked.retention},
};

#define POLICY_SIZE ((int) (sizeof(policy) / sizeof(policy[0])))

#define POLICY_OPTIONS                                                                   \
	{"max-attempts",                                                                     \
	 0,                                                                                  \
	 OPTION_STRING,                                                                      \
	 "N",                                                                                \
	 &asked.max_attempts,                                                                \
	 0,                                                                                  \
	 0,                                                                                  \
	 "tries before a message is dead"},                                                  \
	    {"max-crashes",                                                                  \
	     0,                                                                              \
	     OPTION_STRING,                                                                  \
	     "N",                                                                            \
	     &asked.max_crashes,                                                             \
	     0,                                                                              \
	     0,                                                                              \
	     "lost holders before a message is dead"},                                       \
	    {"backoff",                                                                      \
	     0,                                                                              \
	     OPTION_STRING,                                                                  \
	     "TIME",                                                                         \
	     &asked.backoff,                                                                 \
	     0,                                                                              \
	     0,                                                                              \
	     "first pause before a retry; doubled each time, with jitter"},                  \
	    {"backoff-max",                                                                  \
	     0,                                                                              \
	     OPTION_STRING,                                                                  \
	     "TIME",                                                                         \
	     &asked.backoff_max,                                                             \
	     0,                                                                              \
	     0,                                                                              \
	     "longest pause before a retry"},                                                \
	    {"lease",                                                                        \
	     0,                                                                              \
	     OPTION_STRING,                                                                  \
	     "TIME",                                                                         \
	     &asked.lease,                                                                   \
	     0,                                                                              \
	     0,                                                                              \
	     "how long a claim lasts unless renewed: '30 s', '5 min'"},                      \
	    {"key-in-flight",                                                                \
	     0,                                                                              \
	     OPTION_STRING,                                                                  \
	     "N",                                                                            \
	     &asked.key_in_flight,                                                           \
	     0,                                                                              \
	     0,                                                                              \
	     "messages of one key in work at a time"},                                       \
	{                                                                                    \
		"retention", 0, OPTION_STRING, "TIME", &asked.retention, 0, 0,                   \
		    "how long finished messages stay readable: '7 days', '0'"                    \
	}

/* ---- one statement for each ---- */

/* select baton.FUNCTION($1, argument => $2::type, ...) */
static void
call(const char *function, const char *queue, const char *flag)
{
	const char *values[POLICY_SIZE + 1] = {queue};
	int count = 1;
	Text sql = {0};
	PGconn *conn = connection_open("baton queue");

	text_addf(&sql, "select baton.%s($1", function);
	for (int i = 0; i < POLICY_SIZE; i++)
		if (*policy[i].value)
		{
			values[count++] = *policy[i].value;
			text_addf(&sql, ", %s => $%d::%s", policy[i].argument, count, policy[i].type);
		}
	if (flag && asked.lenient)
		text_addf(&sql, ", %s => true", flag);
	text_add(&sql, ")");
	PQclear(query_run(conn, (Query){text_str(&sql), count, values}));
	text_free(&sql);
	PQfinish(conn);
}

static int
run_create(int argc, char **argv)
{
	(void) argc;
	call("create_queue", argv[0], "if_not_exists");
	return EXIT_OK;
}

static int
run_alter(int argc, char **argv)
{
	(void) argc;
	call("alter_queue", argv[0], NULL);
	return EXIT_OK;
}

static int
run_drop(int argc, char **argv)
{
	(void) argc;
	call("drop_queue", argv[0], "if_exists");
	return EXIT_OK;
}

static int
run_purge(int argc, char **argv)
{
	(void) argc;
	call("purge_queue", argv[0], NULL);
	return EXIT_OK;
}

static int
run_pause(int argc, char **argv)
{
	(void) argc;
	call("pause_queue", argv[0], NULL);
	return EXIT_OK;
}

static int
run_resume(int argc, char **argv)
{
	(void) argc;
	call("resume_queue", argv[0], NULL);
	return EXIT_OK;
}

/* ---- the list ---- */

static const char list_table[] =
    "select name as queue, case when paused then 'paused' else '' end as state, depth, "
    "ready, "
    "delayed, "
    "in_flight, coalesce(date_trunc('second', now() - oldest)::text, '') as oldest, "
    "sent, "
    "completed, failed, vanished, dead "
    "from baton.queue where $1::text is null or name = $1 order by name";

static const char list_json[] = "select to_jsonb(q) from baton.queue q where $1::text is "
                                "null or name = $1 order by name";

static int
run_list(int argc, char **argv)
{
	const char *name = argc > 0 ? argv[0] : NULL;
	PGconn *conn = connection_open("baton queue");
	PGresult *list = query_run(conn, QUERY(asked.json ? list_json : list_table, name));

	if (name && PQntuples(list) == 0)
		die_hint(EXIT_ERROR, "\"baton queue\" lists them all.",
		         "queue \"%s\" does not exist", name);
	if (asked.json)
		print_lines(list);
	else if (PQntuples(list) > 0)
		print_table(list);
	else if (!want_quiet)
		say("no queues yet: baton queue create NAME");
	print_flush();
	PQclear(list);
	PQfinish(conn);
	return EXIT_OK;
}

/* ---- the commands ---- */

static const Option list_options[] = {
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "all columns, a JSON object a line"},
    {0},
};

static const Option create_options[] = {
    POLICY_OPTIONS,
    {"if-not-exists", 0, OPTION_FLAG, NULL, &asked.lenient, 0, 0,
     "do nothing if it is there already"},
    {0},
};

static const Option alter_options[] = {
    POLICY_OPTIONS,
    {0},
};

static const Option drop_options[] = {
    {"if-exists", 0, OPTION_FLAG, NULL, &asked.lenient, 0, 0,
     "do nothing if it is not there"},
    {0},
};

static const char *const list_examples[] = {"baton queue", "baton queue mail --json",
                                            NULL};
static const char *const create_examples[] = {
    "baton queue create mail",
    "baton queue create payments --max-attempts 20 --backoff '5 s' --lease '30 s'",
    NULL,
};
static const char *const alter_examples[] = {"baton queue alter mail --max-attempts 3",
                                             NULL};
static const char *const drop_examples[] = {"baton queue drop mail", NULL};
static const char *const purge_examples[] = {"baton queue purge mail", NULL};
static const char *const pause_examples[] = {"baton queue pause mail", NULL};
static const char *const resume_examples[] = {"baton queue resume mail", NULL};

const Command command_queue = {
    .name = "queue",
    .arguments = "[NAME]",
    .most = 1,
    .summary =
        "list the queues: what is ready, delayed, in flight, and what became of the rest",
    .description =
        "sent, completed, failed, vanished and dead count since the server's start.",
    .options = list_options,
    .examples = list_examples,
    .connects = true,
    .run = run_list,
};

const Command command_queue_create = {
    .name = "queue create",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "make a queue",
    .options = create_options,
    .examples = create_examples,
    .connects = true,
    .run = run_create,
};

const Command command_queue_alter = {
    .name = "queue alter",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "change a queue's policy; what isn't named stays as it is",
    .options = alter_options,
    .examples = alter_examples,
    .connects = true,
    .run = run_alter,
};

const Command command_queue_drop = {
    .name = "queue drop",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "drop a queue with its messages",
    .options = drop_options,
    .examples = drop_examples,
    .connects = true,
    .run = run_drop,
};

const Command command_queue_purge = {
    .name = "queue purge",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "give up all messages of a queue that nobody holds, however many",
    .examples = purge_examples,
    .connects = true,
    .run = run_purge,
};

const Command command_queue_pause = {
    .name = "queue pause",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "hand out no more messages of a queue until it is resumed",
    .examples = pause_examples,
    .connects = true,
    .run = run_pause,
};

const Command command_queue_resume = {
    .name = "queue resume",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "go on with a paused queue",
    .examples = resume_examples,
    .connects = true,
    .run = run_resume,
};
