/*
 * commands/send.c
 *	  baton send: one payload, or one a line from a file or a pipe.
 *
 * Lines go in batches, each a transaction of its own, or with --atomic all in
 * one.  The server alone judges a line.  When it refuses a batch nothing of that
 * batch is there; the lines are then tried one by one in a transaction that is
 * rolled back, to say which one it was and why.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/lines.h"
#include "commands/command.h"
#include "pg/array.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

#define BATCH_BYTES (4 * 1024 * 1024)
#define PROGRESS_MS 200

static struct
{
	const char *file;
	const char *headers;
	OptionValues header; /* NAME=VALUE each */
	char *header_object; /* the same as JSON; NULL: none */
	const char *priority;
	const char *delay;
	const char *deliver_at;
	const char *expires_in;
	const char *key;
	int batch;
	bool atomic;
	bool text;
	bool json;
} asked = {.batch = 500};

typedef struct Line
{
	long number;
	char *payload;
	size_t length;
} Line;

typedef struct Sending
{
	const char *queue;
	PGconn *conn;
	Line *lines; /* the batch under construction, asked.batch places */
	int count;
	size_t bytes;
	long number; /* of the line read last, from 1 */
	long sent;   /* committed, or with --atomic to be committed at the end */
	int64_t started;
	int64_t next_progress;
	bool progress; /* a person looks at standard error */
} Sending;

/* ---- statements ---- */

#define HEADERS                                                                          \
	"case when $9::jsonb is null then $3::jsonb else coalesce($3::jsonb, '{}') || "      \
	"$9::jsonb end"

static const char send_one[] =
    "select baton.send($1, $2::jsonb, headers => " HEADERS ", priority => "
    "coalesce($4::int, 0), "
    "delay => $5::interval, deliver_at => $6::timestamptz, expires_in => $7::interval, "
    "key => $8)";

/* Each option is one value for all messages of the batch: an array of one. */
static const char send_many[] =
    "select from baton.send_batch($1, $2::jsonb[], "
    "headers => case when coalesce($3::jsonb, $9::jsonb) is not null then array[" HEADERS
    "] end, "
    "priority => case when $4::int is not null then array[$4] end, "
    "delay => case when $5::interval is not null then array[$5] end, "
    "deliver_at => case when $6::timestamptz is not null then array[$6] end, "
    "expires_in => case when $7::interval is not null then array[$7] end, "
    "key => case when $8::text is not null then array[$8] end)";

static PGresult *
send_by(PGconn *conn, const char *sql, const char *queue, const char *payloads)
{
	return query_try(conn, QUERY(sql, queue, payloads, asked.headers, asked.priority,
	                             asked.delay, asked.deliver_at, asked.expires_in,
	                             asked.key, asked.header_object));
}

/* A payload as it was typed or read: JSON, or with --text a string to be made JSON. */
static char *
make_payload(const char *bytes, size_t length)
{
	Text payload = {0};

	if (asked.text)
	{
		Text clean = {0};

		text_add_clean(&clean, bytes, length);
		text_add_json(&payload, text_str(&clean));
		text_free(&clean);
	}
	else
		text_add_bytes(&payload, bytes, length);
	return text_take(&payload);
}

/* ---- progress ---- */

static void
show_progress(Sending *s, bool last)
{
	int64_t now = clock_ms();
	double seconds = (now - s->started) / 1000.0;

	if (!s->progress || (!last && now < s->next_progress))
		return;
	s->next_progress = now + PROGRESS_MS;
	fprintf(stderr, "\r%ld sent, %.0f a second%s", s->sent,
	        seconds > 0 ? s->sent / seconds : 0, last ? "\n" : "   ");
}

/* ---- what can't be sent ---- */

static void
say_what_was_sent(const Sending *s)
{
	if (asked.atomic || s->sent == 0)
		say("Nothing was sent.");
	else
		say("The %ld messages of the batches before were sent.", s->sent);
}

/* Line NULL: what was refused is the command itself (no such queue, a bad option). */
static void
refuse(const Sending *s, const Line *line, const PGresult *error)
{
	ExitCode code = query_exit_code(s->conn);

	if (s->progress && s->sent > 0)
		fputc('\n', stderr);
	if (line)
	{
		say("baton: line %ld can't be sent", line->number);
		code = code == EXIT_ERROR ? EXIT_INPUT : code;
	}
	query_complain(s->conn, error);
	say_what_was_sent(s);
	exit(code);
}

/* Sends one message and undoes it; the result says whether it would have been taken. */
static PGresult *
try_payload(const Sending *s, const char *payload)
{
	PGresult *result;

	query_command(s->conn, "begin");
	result = send_by(s->conn, send_one, s->queue, payload);
	PQclear(query_try(s->conn, QUERY("rollback")));
	return result;
}

/*
 * A batch was refused with this error: finds the line that is to blame.  With
 * --atomic the transaction is spoilt anyway, so it may be ended here.
 */
static void
find_culprit(const Sending *s, const PGresult *error)
{
	PGresult *harmless;

	if (PQstatus(s->conn) != CONNECTION_OK)
		refuse(s, NULL, error);
	if (asked.atomic)
		query_command(s->conn, "rollback");
	harmless = try_payload(s, "null");
	for (int i = 0; !query_failed(harmless) && i < s->count; i++)
	{
		PGresult *alone = try_payload(s, s->lines[i].payload);

		if (query_failed(alone))
			refuse(s, &s->lines[i], alone);
		PQclear(alone);
	}
	refuse(s, NULL, error);
}

/* ---- batches ---- */

static void
flush_batch(Sending *s)
{
	Text payloads = {0};
	PGresult *result;

	if (s->count == 0)
		return;
	for (int i = 0; i < s->count; i++)
		array_add_bytes(&payloads, s->lines[i].payload, s->lines[i].length);
	result = send_by(s->conn, send_many, s->queue, array_done(&payloads));
	text_free(&payloads);
	if (query_failed(result))
		find_culprit(s, result);
	PQclear(result);
	s->sent += s->count;
	for (int i = 0; i < s->count; i++)
		free(s->lines[i].payload);
	s->count = 0;
	s->bytes = 0;
	show_progress(s, false);
}

static bool
is_blank(const char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (strchr(" \t\r", line[i]) == NULL || line[i] == '\0')
			return false;
	return true;
}

static void
add_line(Sending *s, const char *line, size_t length)
{
	Line *place = &s->lines[s->count];

	s->number++;
	if (is_blank(line, length))
		return;
	if (!asked.text && memchr(line, '\0', length))
	{
		complain_of("line %ld can't be sent: it has a zero byte", s->number);
		say_what_was_sent(s);
		exit(EXIT_INPUT);
	}
	place->number = s->number;
	place->payload = make_payload(line, length);
	place->length = strlen(place->payload);
	s->bytes += place->length;
	if (++s->count == asked.batch || s->bytes >= BATCH_BYTES)
		flush_batch(s);
}

static void
read_lines(Sending *s, Lines *lines)
{
	const char *line;
	size_t length;

	for (;;)
		switch (lines_next(lines, &line, &length))
		{
			case LINES_LINE:
				add_line(s, line, length);
				break;
			case LINES_LATER:
				/* Who writes slowly must not wait for a batch to be full. */
				flush_batch(s);
				lines_wait(lines);
				break;
			case LINES_END:
				flush_batch(s);
				return;
			case LINES_FAILED:
				complain_of("could not read: %s", strerror(lines->error));
				say_what_was_sent(s);
				exit(EXIT_INPUT);
		}
}

/* ---- the command ---- */

static int
open_input(const char *path)
{
	int fd;

	if (path == NULL || strcmp(path, "-") == 0)
		return STDIN_FILENO;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_INPUT, "could not open \"%s\": %s", path, strerror(errno));
	return fd;
}

static int
send_lines(const char *queue, const char *path)
{
	Lines lines = {.fd = open_input(path)};
	Sending s = {.queue = queue,
	             .started = clock_ms(),
	             .progress = isatty(STDERR_FILENO) && !want_quiet,
	             .lines = mem_alloc(sizeof(Line) * asked.batch)};

	s.conn = connection_open("baton send");
	if (asked.atomic)
		query_command(s.conn, "begin");
	read_lines(&s, &lines);
	if (asked.atomic)
		query_command(s.conn, "commit");
	show_progress(&s, true);
	if (!want_quiet)
		printf(asked.json ? "{\"sent\": %ld}\n" : "%ld sent\n", s.sent);
	print_flush();
	PQfinish(s.conn);
	free(s.lines);
	text_free(&lines.buffer);
	return EXIT_OK;
}

static int
send_single(const char *queue, const char *bytes)
{
	PGconn *conn = connection_open("baton send");
	char *payload = make_payload(bytes, strlen(bytes));
	PGresult *result = send_by(conn, send_one, queue, payload);

	if (query_failed(result))
	{
		query_complain(conn, result);
		return query_exit_code(conn);
	}
	if (!want_quiet)
		printf(asked.json ? "{\"id\": %s}\n" : "%s\n", PQgetvalue(result, 0, 0));
	print_flush();
	PQclear(result);
	PQfinish(conn);
	free(payload);
	return EXIT_OK;
}

/* {"NAME": "VALUE", ...}; the same name again: the last one counts. */
static char *
make_header_object(const OptionValues *headers)
{
	Text object = {0};

	for (int i = 0; i < headers->count; i++)
	{
		const char *equals = strchr(headers->value[i], '=');
		Text name = {0};
		Text value = {0};

		if (equals == NULL || equals == headers->value[i])
			usage_error(&command_send, "--header takes NAME=VALUE, not \"%s\"",
			            headers->value[i]);
		text_add_clean(&name, headers->value[i], equals - headers->value[i]);
		text_add_clean(&value, equals + 1, strlen(equals + 1));
		text_add(&object, i == 0 ? "{" : ", ");
		text_add_json(&object, text_str(&name));
		text_add(&object, ": ");
		text_add_json(&object, text_str(&value));
		text_free(&name);
		text_free(&value);
	}
	if (headers->count == 0)
		return NULL;
	text_add_char(&object, '}');
	return text_take(&object);
}

static int
run_send(int argc, char **argv)
{
	const char *payload = argc > 1 ? argv[1] : NULL;

	asked.header_object = make_header_object(&asked.header);

	if (asked.file && payload)
		usage_error(&command_send, "both a payload and --file are given");
	if (payload && strcmp(payload, "-") != 0)
		return send_single(argv[0], payload);
	if (!payload && !asked.file && isatty(STDIN_FILENO))
		usage_error(&command_send,
		            "a payload is missing (\"-\" reads lines from the terminal)");
	return send_lines(argv[0], asked.file);
}

static const Option options[] = {
    {"file", 'f', OPTION_STRING, "FILE", &asked.file, 0, 0,
     "a payload a line from this file; \"-\": standard input"},
    {"text", 0, OPTION_FLAG, NULL, &asked.text, 0, 0,
     "payloads are plain text and become JSON strings"},
    {"batch", 0, OPTION_COUNT, "N", &asked.batch, 1, 10000,
     "lines that are sent in one transaction (500)"},
    {"atomic", 0, OPTION_FLAG, NULL, &asked.atomic, 0, 0,
     "all lines in one transaction: all are sent, or none"},
    {"headers", 0, OPTION_STRING, "JSON", &asked.headers, 0, 0,
     "headers, an object, for each message"},
    {"header", 'H', OPTION_EACH, "NAME=VALUE", &asked.header, 0, 0,
     "one more header; may be given again"},
    {"priority", 0, OPTION_STRING, "0-9", &asked.priority, 0, 0,
     "higher comes first (0)"},
    {"delay", 0, OPTION_STRING, "TIME", &asked.delay, 0, 0,
     "deliver after this time: '90 s', '2 hours'"},
    {"deliver-at", 0, OPTION_STRING, "WHEN", &asked.deliver_at, 0, 0,
     "deliver at this moment: '2026-12-31 23:59+01'"},
    {"expires-in", 0, OPTION_STRING, "TIME", &asked.expires_in, 0, 0,
     "of no use any more after this time"},
    {"key", 'k', OPTION_STRING, "KEY", &asked.key, 0, 0,
     "messages of one key are worked in order"},
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "print {\"id\": N}, or for lines {\"sent\": N}"},
    {0},
};

static const char *const examples[] = {
    "baton send mail '{\"to\": \"you@example.org\"}'",
    "baton send mail --file orders.jsonl --atomic",
    "find /srv/scans -name '*.pdf' | baton send scans - --text",
    "tail -f access.log | baton send hits - --text",
    "baton send mail '{}' --header traceparent=\"$TRACEPARENT\"",
    NULL,
};

const Command command_send = {
    .name = "send",
    .arguments = "QUEUE [PAYLOAD | -]",
    .least = 1,
    .most = 2,
    .summary = "send one message, or one a line from a file or a pipe",
    .description =
        "A payload is JSON. One: its id is printed. Lines: each batch is a transaction "
        "of its\n"
        "own; a batch with a line that can't be sent is refused as a whole, the line is\n"
        "named, and what was sent before stays sent (with --atomic: nothing is). Blank "
        "lines\n"
        "are skipped. A pipe that pauses doesn't hold back what it has written.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_send,
};
