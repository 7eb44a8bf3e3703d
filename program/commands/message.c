/*
 * commands/message.c
 *	  baton message: one message, what became of it, and its history.
 */
#include <stdio.h>
#include <string.h>

#include "base/die.h"
#include "base/terminal.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/events.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

static struct
{
	bool json;
} asked;

/* clang-format off */
static const char message_text[] =
	"select status, payload, headers, key, priority, attempt, failures, crashes, sent_at as sent, "
	"deliver_at as \"deliver at\", expires_at as \"expires at\", claimed_at as claimed, "
	"finished_at as finished, process_id as \"held by process\", result, error, origin as \"copy of\" "
	"from baton.get($1, $2::bigint)";

static const char message_json[] =
	"select to_jsonb(m) || jsonb_build_object('history', coalesce(("
	"select jsonb_agg(to_jsonb(l) - 'queue' - 'message_id' - 'xid' order by l.id) "
	"from baton.queue_log l where l.message_id = m.id), '[]')) "
	"from baton.get($1, $2::bigint) m";

static const char history[] =
	"select " EVENT_COLUMNS("l") "from baton.queue_log l where l.message_id = $1::bigint order by l.id";
/* clang-format on */

static Colour
status_colour(const char *status)
{
	if (strcmp(status, "completed") == 0)
		return COLOUR_GREEN;
	return strcmp(status, "dead") == 0 ? COLOUR_RED : COLOUR_BOLD;
}

/* Column 0 is the status, the rest goes below it by name; what is null is left out. */
static void
show_message(const char *queue, const char *id, const PGresult *message)
{
	const char *status = PQgetvalue(message, 0, 0);
	Text text = {0};

	text_add(&text, "message ");
	text_add_line(&text, id, 0);
	text_add(&text, " of ");
	text_add_line(&text, queue, 0);
	text_addf(&text, ": %s%s%s\n", colour(status_colour(status)), status,
	          colour(COLOUR_END));
	for (int c = 1; c < PQnfields(message); c++)
	{
		const char *value = query_value(message, 0, c);

		if (value == NULL)
			continue;
		text_addf(&text, "  %-16s", PQfname(message, c));
		text_add_line(&text, value, 0);
		text_add_char(&text, '\n');
	}
	fputs(text_str(&text), stdout);
	text_free(&text);
}

static void
show_history(PGconn *conn, const char *id)
{
	PGresult *events = query_run(conn, QUERY(history, id));

	if (PQntuples(events) > 0)
		puts("history");
	for (int row = 0; row < PQntuples(events); row++)
	{
		fputs("  ", stdout);
		event_show(events, row);
	}
	PQclear(events);
}

static int
run_message(int argc, char **argv)
{
	PGconn *conn = connection_open("baton message");
	PGresult *message = query_run(
	    conn, QUERY(asked.json ? message_json : message_text, argv[0], argv[1]));

	(void) argc;
	if (PQntuples(message) == 0)
		die(EXIT_NOTHING, "queue \"%s\" has no message %s", argv[0], argv[1]);
	if (asked.json)
		print_lines(message);
	else
	{
		show_message(argv[0], argv[1], message);
		show_history(conn, argv[1]);
	}
	print_flush();
	PQclear(message);
	PQfinish(conn);
	return EXIT_OK;
}

static const Option options[] = {
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "an object with all columns of baton.get(), and the history as an array"},
    {0},
};

static const char *const examples[] = {
    "baton message mail 17",
    "baton message mail 17 --json | jq .result",
    NULL,
};

const Command command_message = {
    .name = "message",
    .arguments = "QUEUE ID",
    .least = 2,
    .most = 2,
    .summary = "show a message: its status, its result, its history",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_message,
};
