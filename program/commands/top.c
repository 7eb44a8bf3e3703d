/*
 * commands/top.c
 *	  baton top: queues, rates and holders, again and again.
 *
 * A look is what the views say at one moment; rates are the difference of two.  A frame is
 * made of two looks, as lines for the screen, for a plain print, or as JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/screen.h"
#include "base/text.h"
#include "commands/command.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

#define NUMBERS_WIDTH 67 /* of a queue's line, beside its name */
#define NAME_LEAST 13
#define NAME_MOST 40
#define NAME_PRINTED 24 /* where there is no screen */
#define ROLE_WIDTH 12
#define APPLICATION_WIDTH 24

static struct
{
	double interval;
	bool once;
	bool json;
} asked = {.interval = 2};

/* ---- looks ---- */

/* clang-format off */
static const char queues_sql[] =
	"select name, paused, depth, ready, delayed, in_flight, blocked, "
	"extract(epoch from clock_timestamp() - oldest)::bigint as oldest, "
	"sent, completed, failed, vanished, dead from baton.queue "
	"order by coalesce(depth > 0, true) desc, name";

static const char holders_sql[] =
	"select f.process_id, f.role, case when f.detached then '(detached)' else coalesce(a.application_name, '') end "
	"as application, coalesce(f.queue, '(dropped)') as queue, count(*) as messages, "
	"extract(epoch from clock_timestamp() - min(f.claimed_at))::bigint as longest "
	"from baton.in_flight f left join pg_stat_activity a on a.pid = f.process_id and not f.detached "
	"group by 1, 2, 3, 4 order by longest desc limit 100";

static const char trouble_sql[] = "select item, value, hint from baton.health where not ok";

static const char where_sql[] = "select current_database(), to_char(clock_timestamp(), 'HH24:MI:SS')";
/* clang-format on */

enum QueueColumn
{
	QUEUE_NAME,
	QUEUE_PAUSED,
	QUEUE_DEPTH,
	QUEUE_READY,
	QUEUE_DELAYED,
	QUEUE_IN_FLIGHT,
	QUEUE_BLOCKED,
	QUEUE_OLDEST,
	QUEUE_SENT,
	QUEUE_COMPLETED,
	QUEUE_FAILED,
	QUEUE_VANISHED,
	QUEUE_DEAD
};

typedef struct Look
{
	int64_t at; /* clock_ms() */
	PGresult *queues;
	PGresult *holders;
	PGresult *trouble;
	PGresult *where;
} Look;

static void
look_free(Look *look)
{
	PQclear(look->queues);
	PQclear(look->holders);
	PQclear(look->trouble);
	PQclear(look->where);
	*look = (Look){0};
}

/* NULL: the connection was lost.  Any other error ends the program. */
static PGresult *
ask(PGconn *conn, const char *sql)
{
	PGresult *result = query_try(conn, (Query){.sql = sql});

	if (!query_failed(result))
		return result;
	if (PQstatus(conn) == CONNECTION_OK)
	{
		screen_end();
		query_complain(conn, result);
		exit(EXIT_ERROR);
	}
	PQclear(result);
	return NULL;
}

static bool
look_take(Look *look, PGconn *conn)
{
	look_free(look);
	look->at = clock_ms();
	look->queues = ask(conn, queues_sql);
	look->holders = look->queues ? ask(conn, holders_sql) : NULL;
	look->trouble = look->holders ? ask(conn, trouble_sql) : NULL;
	look->where = look->trouble ? ask(conn, where_sql) : NULL;
	return look->where != NULL;
}

/* ---- numbers ---- */

static int64_t
number(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* The row of the queue in an earlier look; -1: it was not there. */
static int
row_before(const Look *before, const char *name)
{
	for (int row = 0; before->queues && row < PQntuples(before->queues); row++)
		if (strcmp(PQgetvalue(before->queues, row, QUEUE_NAME), name) == 0)
			return row;
	return -1;
}

/* A second; negative: not known (a new queue, counters that begin again). */
static double
rate(const Look *before, const Look *now, int row, int column)
{
	int old = row_before(before, PQgetvalue(now->queues, row, QUEUE_NAME));
	int64_t difference;

	if (old < 0 || now->at == before->at)
		return -1;
	difference = number(now->queues, row, column) - number(before->queues, old, column);
	return difference < 0 ? -1 : difference * 1000.0 / (now->at - before->at);
}

/* ---- a frame as lines ---- */

static int
name_width(void)
{
	int width = screen_columns() - NUMBERS_WIDTH;

	if (screen_columns() == 0)
		return NAME_PRINTED;
	return width < NAME_LEAST ? NAME_LEAST : width > NAME_MOST ? NAME_MOST : width;
}

static void
add_left(Text *frame, const char *value, size_t width)
{
	Text cell = {0};
	size_t taken;

	text_add_line(&cell, value, text_width(value) > width ? width - 3 : 0);
	taken = text_width(text_str(&cell));
	text_addf(frame, "%s%*s", text_str(&cell), (int) (taken < width ? width - taken : 0),
	          "");
	text_free(&cell);
}

/* To the right; millions as such, so that columns stay in line. */
static void
add_count(Text *frame, int64_t value, int width)
{
	if (value > 99999)
		text_addf(frame, " %*.1f%c", width - 1,
		          value > 999999 ? value / 1000000.0 : value / 1000.0,
		          value > 999999 ? 'M' : 'k');
	else
		text_addf(frame, " %*" PRId64, width, value);
}

static void
add_rate(Text *frame, double value, int width)
{
	if (value < 0)
		text_addf(frame, " %*s", width, "-");
	else if (value < 100)
		text_addf(frame, " %*.1f", width, value);
	else
		add_count(frame, (int64_t) value, width);
}

/* 59s, 59m, 47h, 99d */
static void
add_age(Text *frame, int64_t seconds)
{
	char age[32];

	if (seconds < 60)
		snprintf(age, sizeof(age), "%" PRId64 "s", seconds);
	else if (seconds < 3600)
		snprintf(age, sizeof(age), "%" PRId64 "m", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(age, sizeof(age), "%" PRId64 "h", seconds / 3600);
	else
		snprintf(age, sizeof(age), "%" PRId64 "d", seconds / 86400);
	text_addf(frame, " %4s", age);
}

static void
add_head(Text *frame, const Look *now)
{
	text_addf(frame, "%cbaton top  %s  %s  rates over %g s%s\n", SCREEN_HEADING,
	          PQgetvalue(now->where, 0, 0), PQgetvalue(now->where, 0, 1), asked.interval,
	          screen_columns() > 0 ? "; q quits" : "");
	for (int row = 0; row < PQntuples(now->trouble); row++)
		text_addf(frame, "%c! %s: %s. %s\n", SCREEN_HEADING,
		          PQgetvalue(now->trouble, row, 0), PQgetvalue(now->trouble, row, 1),
		          PQgetvalue(now->trouble, row, 2));
}

/* The columns of numbers; those from QUEUE_SENT on are rates, but for dead. */
static const struct
{
	const char *head; /* NULL: left out */
	int width;
} numbers[] = {
    [QUEUE_DEPTH] = {"DEPTH", 6},   [QUEUE_READY] = {"READY", 6},
    [QUEUE_DELAYED] = {"DELAY", 5}, [QUEUE_IN_FLIGHT] = {"HELD", 5},
    [QUEUE_BLOCKED] = {NULL, 0},    [QUEUE_OLDEST] = {"OLD", 4},
    [QUEUE_SENT] = {"SENT/s", 7},   [QUEUE_COMPLETED] = {"DONE/s", 7},
    [QUEUE_FAILED] = {"FAIL/s", 6}, [QUEUE_VANISHED] = {"LOST/s", 6},
    [QUEUE_DEAD] = {"DEAD", 5},
};

static void
add_number(Text *frame, const Look *before, const Look *now, int row, int c)
{
	if (PQgetisnull(now->queues, row, c))
		text_addf(frame, " %*s", numbers[c].width, "-");
	else if (c == QUEUE_OLDEST)
		add_age(frame, number(now->queues, row, c));
	else if (c >= QUEUE_SENT && c < QUEUE_DEAD)
		add_rate(frame, rate(before, now, row, c), numbers[c].width);
	else
		add_count(frame, number(now->queues, row, c), numbers[c].width);
}

static void
add_queue(Text *frame, const Look *before, const Look *now, int row)
{
	bool paused = *PQgetvalue(now->queues, row, QUEUE_PAUSED) == 't';
	char *name =
	    mem_format("%s%s", paused ? "|| " : "", PQgetvalue(now->queues, row, QUEUE_NAME));

	add_left(frame, name, name_width());
	for (int c = QUEUE_DEPTH; c <= QUEUE_DEAD; c++)
		if (numbers[c].head)
			add_number(frame, before, now, row, c);
	text_add_char(frame, '\n');
	free(name);
}

static void
add_queues(Text *frame, const Look *before, const Look *now)
{
	text_addf(frame, "\n%c%-*s", SCREEN_HEADING, name_width(), "QUEUE");
	for (int c = QUEUE_DEPTH; c <= QUEUE_DEAD; c++)
		if (numbers[c].head)
			text_addf(frame, " %*s", numbers[c].width, numbers[c].head);
	text_add_char(frame, '\n');
	for (int row = 0; row < PQntuples(now->queues); row++)
		add_queue(frame, before, now, row);
}

static void
add_holders(Text *frame, const Look *now)
{
	const PGresult *holders = now->holders;
	const int widths[] = {0, ROLE_WIDTH, APPLICATION_WIDTH, name_width()};

	if (PQntuples(holders) == 0)
		return;
	text_addf(frame, "\n%c%7s %-*s %-*s %-*s %5s %4s\n", SCREEN_HEADING, "PROCESS",
	          widths[1], "ROLE", widths[2], "APPLICATION", widths[3], "QUEUE", "HELD",
	          "OLD");
	for (int row = 0; row < PQntuples(holders); row++)
	{
		text_addf(frame, "%7s", PQgetvalue(holders, row, 0));
		for (int c = 1; c <= 3; c++)
		{
			text_add_char(frame, ' ');
			add_left(frame, PQgetvalue(holders, row, c), widths[c]);
		}
		add_count(frame, number(holders, row, 4), 5);
		add_age(frame, number(holders, row, 5));
		text_add_char(frame, '\n');
	}
}

static void
make_frame(Text *frame, const Look *before, const Look *now)
{
	text_clear(frame);
	add_head(frame, now);
	add_queues(frame, before, now);
	add_holders(frame, now);
}

/* ---- a frame as JSON ---- */

/* The columns of a row: numbers and booleans as they are, the rest as strings. */
static void
add_members(Text *json, const PGresult *result, int row)
{
	for (int c = 0; c < PQnfields(result); c++)
	{
		const char *value = query_value(result, row, c);

		text_addf(json, "%s\"%s\": ", c == 0 ? "" : ", ", PQfname(result, c));
		if (value == NULL)
			text_add(json, "null");
		else if (PQftype(result, c) == BOOL_OID)
			text_add(json, *value == 't' ? "true" : "false");
		else if (print_is_number(PQftype(result, c)))
			text_add(json, value);
		else
			text_add_json(json, value);
	}
}

static void
add_rates(Text *json, const Look *before, const Look *now, int row)
{
	text_add(json, ", \"per_second\": {");
	for (int c = QUEUE_SENT; c <= QUEUE_DEAD; c++)
	{
		double value = rate(before, now, row, c);

		text_addf(json, "%s\"%s\": ", c == QUEUE_SENT ? "" : ", ",
		          PQfname(now->queues, c));
		if (value < 0)
			text_add(json, "null");
		else
			text_addf(json, "%.3f", value);
	}
	text_add_char(json, '}');
}

static void
add_array(Text *json, const char *name, const PGresult *rows, const Look *before,
          const Look *now)
{
	text_addf(json, ", \"%s\": [", name);
	for (int row = 0; row < PQntuples(rows); row++)
	{
		text_add(json, row == 0 ? "{" : ", {");
		add_members(json, rows, row);
		if (rows == now->queues)
			add_rates(json, before, now, row);
		text_add_char(json, '}');
	}
	text_add_char(json, ']');
}

static void
print_json(const Look *before, const Look *now)
{
	Text json = {0};

	text_addf(&json, "{\"seconds\": %.3f", (now->at - before->at) / 1000.0);
	add_array(&json, "queues", now->queues, before, now);
	add_array(&json, "holders", now->holders, before, now);
	add_array(&json, "trouble", now->trouble, before, now);
	printf("%s}\n", text_str(&json));
	text_free(&json);
}

/* ---- running ---- */

static int
show_once(PGconn *conn)
{
	Look before = {0};
	Look now = {0};
	Text frame = {0};

	if (!look_take(&before, conn))
		die(EXIT_CONNECTION, "%s", connection_error(conn));
	clock_pause_ms((int64_t) (asked.interval * 1000));
	if (!look_take(&now, conn))
		die(EXIT_CONNECTION, "%s", connection_error(conn));
	if (asked.json)
		print_json(&before, &now);
	else
	{
		make_frame(&frame, &before, &now);
		screen_print(text_str(&frame));
	}
	print_flush();
	text_free(&frame);
	look_free(&before);
	look_free(&now);
	return EXIT_OK;
}

/* The next frame, or why there is none: then it connects again, for the one after it. */
static void
next_frame(PGconn *conn, Text *frame, Look *before, Look *now)
{
	Look fresh = {0};

	if (PQstatus(conn) == CONNECTION_OK && look_take(&fresh, conn))
	{
		look_free(before);
		*before = *now;
		*now = fresh;
		make_frame(frame, before, now);
	}
	else
	{
		char *error = connection_error(conn);

		look_free(&fresh);
		text_clear(frame);
		text_addf(frame, "%cbaton top  no connection; q quits\n\n%s\n", SCREEN_HEADING,
		          error);
		free(error);
		PQreset(conn);
	}
}

static int
show_live(PGconn *conn)
{
	Look before = {0};
	Look now = {0};
	Text frame = {0};
	int key = 0;

	if (!screen_begin())
		return show_once(conn);
	while (key != 'q' && key != 'Q')
	{
		int64_t next = clock_ms() + (int64_t) (asked.interval * 1000);
		int64_t left;

		next_frame(conn, &frame, &before, &now);
		screen_show(text_str(&frame));
		do
		{
			left = next - clock_ms();
			key = screen_key(left > 0 ? left : 0);
			screen_show(text_str(&frame)); /* the size may have changed */
		} while (key != 'q' && key != 'Q' && next > clock_ms());
	}
	screen_end();
	text_free(&frame);
	look_free(&before);
	look_free(&now);
	return EXIT_OK;
}

static int
run_top(int argc, char **argv)
{
	PGconn *conn = connection_open("baton top");
	bool live =
	    !asked.once && !asked.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	int code = live ? show_live(conn) : show_once(conn);

	(void) argc, (void) argv;
	PQfinish(conn);
	return code;
}

static const Option options[] = {
    {"interval", 'i', OPTION_SECONDS, "SECONDS", &asked.interval, 0, 0,
     "between two looks (2)"},
    {"once", '1', OPTION_FLAG, NULL, &asked.once, 0, 0, "print one frame and end"},
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0, "the same, as an object"},
    {0},
};

static const char *const examples[] = {
    "baton top",
    "baton top --interval 0.5",
    "baton top --once --interval 10 >> top.log",
    NULL,
};

const Command command_top = {
    .name = "top",
    .arguments = "",
    .summary = "watch the queues: what is ready, rates, who holds what since when",
    .description =
        "Rates are of the last interval. Queues that have something come first. Where\n"
        "standard output is not a terminal one frame is printed, after one interval. "
        "DEPTH is\n"
        "what is unfinished, also in the log; OLD the age of the oldest ready message; "
        "LOST\n"
        "claims whose holder was lost; || a queue that is paused. Below are the "
        "holders:\n"
        "session (of detached claims: the one that received), how many messages it "
        "holds,\n"
        "and since when.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_top,
};
