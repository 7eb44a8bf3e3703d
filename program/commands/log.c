/*
 * commands/log.c
 *	  baton log: what happened to messages; with --follow also what happens.
 *
 * Following is CALL baton.wait_log: it sleeps until events are committed, and gives each once in the order of
 * commits, by its id and its message's; the rows are looked up by message.  Ids don't rise in that
 * order, so nothing here compares them.
 *
 * When the server has to say that there may be more than it knows (it was restarted, we were away
 * or too slow), the log itself is read: all that the snapshot `older` doesn't see, but for what has been shown
 * since.  Everything that `older` sees has been shown: it is taken only to be used LAG_MS later, after another
 * call that left nothing unread.  A commit is noted an instant after it has become
 * visible; LAG_MS is a long instant.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "commands/command.h"
#include "commands/events.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

#define LAG_MS 10000
#define WAIT_INTERVAL "30 s"
#define WAIT_BATCH 1000 /* wait_log gives no more at a time */
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000

static struct
{
	const char *id;
	int lines;
	bool all;
	bool follow;
	bool json;
} asked = {.lines = 20};

/* ---- sets of ids ---- */

typedef struct Ids
{
	int64_t *id;
	size_t count;
	size_t room;
	bool sorted;
} Ids;

static void
ids_add(Ids *ids, int64_t id)
{
	if (ids->count == ids->room)
	{
		ids->room = ids->room ? 2 * ids->room : 64;
		ids->id = mem_resize(ids->id, ids->room * sizeof(int64_t));
	}
	ids->id[ids->count++] = id;
	ids->sorted = false;
}

static int
compare_ids(const void *a, const void *b)
{
	int64_t left = *(const int64_t *) a;
	int64_t right = *(const int64_t *) b;

	return (left > right) - (left < right);
}

static bool
ids_have(Ids *ids, int64_t id)
{
	if (ids->count == 0)
		return false;
	if (!ids->sorted)
		qsort(ids->id, ids->count, sizeof(int64_t), compare_ids);
	ids->sorted = true;
	return bsearch(&id, ids->id, ids->count, sizeof(int64_t), compare_ids) != NULL;
}

static void
ids_free(Ids *ids)
{
	free(ids->id);
	*ids = (Ids){0};
}

/* ---- the state of following ---- */

/* A snapshot, and what has been shown since it was taken. */
typedef struct Since
{
	char *snapshot; /* NULL: none yet */
	int64_t taken;  /* clock_ms() */
	Ids shown;
} Since;

typedef struct Follow
{
	PGconn *conn;
	const char *queue;
	char *mark;  /* of wait_log; NULL at first */
	bool behind; /* some that come before mark have not been shown */
	Ids overlap; /* shown when the log was last read: they may come by wait_log, too */
	Since older;
	Since newer;
} Follow;

/* ---- statements ---- */

/* clang-format off */
#define FILTER "($1::text is null or l.queue = $1) and ($2::bigint is null or l.message_id = $2) "

static const char columns_json[] = "select l.id, to_jsonb(l) - 'xid' ";
static const char columns_text[] = "select " EVENT_COLUMNS("l");

static const char from_all[] = "from baton.queue_log l where " FILTER "order by l.id";

static const char from_tail[] =
	"from (select * from baton.queue_log l where " FILTER "order by l.id desc limit $3::bigint) l "
	"order by l.id";

static const char from_pairs[] =
	"from unnest($3::bigint[], $4::bigint[]) with ordinality as p (event_id, message_id, n) "
	"join baton.queue_log l on l.message_id = p.message_id and l.id = p.event_id "
	"where " FILTER "order by p.n";

/* A row's xid, which has 32 bits, with the upper bits of those about to be given out. */
#define FULL_XID "(s.top - ((s.top - l.xid::text::bigint) & 4294967295))"

static const char from_unseen[] =
	"from baton.queue_log l, (select $3::pg_snapshot as seen, "
	"pg_snapshot_xmin($3::pg_snapshot)::text::bigint as bottom, "
	"pg_snapshot_xmax(pg_current_snapshot())::text::bigint as top) s "
	"where " FILTER "and " FULL_XID " >= s.bottom "
	"and not pg_visible_in_snapshot(" FULL_XID "::text::xid8, s.seen) order by l.id";

/*
 * Few rows of large tables that are never analyzed, which the planner takes for many: by index, whatever it thinks.  Not
 * by enable_seqscan, which would weigh the empty parent as much as any child.
 */
static const char settings_sql[] =
	"set seq_page_cost = 1000000; set random_page_cost = 0.001; set enable_hashjoin = off; "
	"set enable_mergejoin = off; set jit = off; set statement_timeout = 0";
/* clang-format on */

/* ---- showing ---- */

static void
show(const PGresult *row)
{
	if (asked.json)
		puts(PQgetvalue(row, 0, 1));
	else
		event_show(row, 0);
}

/*
 * Runs a statement and gives each row to a function as it comes.  False: the connection was lost.  Any other error ends the
 * program.
 */
static bool
each_row(Follow *f, const char *from, int count, const char *const *values,
         void (*take)(Follow *f, const PGresult *row))
{
	char *sql = mem_format("%s%s", asked.json ? columns_json : columns_text, from);
	PGresult *result;

	if (!PQsendQueryParams(f->conn, sql, count, NULL, values, NULL, NULL, 0))
	{
		free(sql);
		return false;
	}
	free(sql);
	PQsetSingleRowMode(f->conn);
	while ((result = PQgetResult(f->conn)) != NULL)
	{
		if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
			take(f, result);
		else if (query_failed(result) && PQstatus(f->conn) == CONNECTION_OK)
		{
			query_complain(f->conn, result);
			exit(EXIT_ERROR);
		}
		PQclear(result);
	}
	print_flush();
	return PQstatus(f->conn) == CONNECTION_OK;
}

static int64_t
row_id(const PGresult *row)
{
	return strtoll(PQgetvalue(row, 0, 0), NULL, 10);
}

/* From the log: it may come by wait_log too. */
static void
take_old(Follow *f, const PGresult *row)
{
	int64_t id = row_id(row);

	if (ids_have(&f->older.shown, id) || ids_have(&f->newer.shown, id))
		return;
	if (asked.follow)
		ids_add(&f->overlap, id);
	show(row);
}

/* By wait_log. */
static void
take_new(Follow *f, const PGresult *row)
{
	int64_t id = row_id(row);

	if (ids_have(&f->overlap, id))
		return;
	ids_add(&f->newer.shown, id);
	show(row);
}

/* ---- reading the log ---- */

static bool
read_log(Follow *f, const char *from, int count, const char *const *values)
{
	bool good;

	ids_free(&f->overlap);
	good = each_row(f, from, count, values, take_old);
	for (size_t i = 0; i < f->overlap.count; i++)
		ids_add(&f->newer.shown, f->overlap.id[i]);
	return good;
}

static bool
show_log(Follow *f)
{
	char lines[16];
	const char *values[] = {f->queue, asked.id, lines};

	if (asked.all || asked.id)
		return read_log(f, from_all, 2, values);
	snprintf(lines, sizeof(lines), "%d", asked.lines);
	return asked.lines == 0 || read_log(f, from_tail, 3, values);
}

/* What `older` doesn't see and hasn't been shown. */
static bool
catch_up(Follow *f)
{
	const char *seen = f->older.snapshot ? f->older.snapshot : f->newer.snapshot;
	const char *values[] = {f->queue, asked.id, seen};

	log_message(LOG_INFO, "catching_up", "reading what was committed meanwhile");
	return read_log(f, from_unseen, 3, values);
}

/* ---- following ---- */

/* All that `newer` sees has been shown: it becomes `older`, and another one is taken. */
static bool
take_snapshot(Follow *f)
{
	PGresult *result = query_try(f->conn, QUERY("select pg_current_snapshot()"));
	bool good = !query_failed(result);

	if (good)
	{
		free(f->older.snapshot);
		ids_free(&f->older.shown);
		f->older = f->newer;
		f->newer =
		    (Since){.snapshot = mem_copy(PQgetvalue(result, 0, 0)), .taken = clock_ms()};
	}
	PQclear(result);
	return good;
}

/*
 * Waits for the answer to what was sent, but no longer than somebody reads what we print: head has
 * enough at some time.
 */
static PGresult *
wait_for_answer(PGconn *conn)
{
	struct pollfd watched[] = {{.fd = PQsocket(conn), .events = POLLIN},
	                           {.fd = STDOUT_FILENO}};
	PGresult *last = NULL;
	PGresult *result;

	while (PQisBusy(conn))
	{
		if (poll(watched, 2, -1) < 0 && errno != EINTR)
			die(EXIT_ERROR, "poll: %s", strerror(errno));
		if (watched[1].revents & (POLLERR | POLLNVAL))
			exit(EXIT_OK);
		if (!PQconsumeInput(conn))
			return NULL;
	}
	while ((result = PQgetResult(conn)) != NULL)
	{
		PQclear(last);
		last = result;
	}
	return last;
}

/* NULL: the connection was lost.  Any other error ends the program. */
static PGresult *
wait_log(Follow *f, const char *timeout)
{
	const char *values[] = {f->queue, timeout, f->mark};
	PGresult *result;

	if (!PQsendQueryParams(f->conn, "call baton.wait_log($1, $2::interval, $3::bigint)",
	                       3, NULL, values, NULL, NULL, 0))
		return NULL;
	result = wait_for_answer(f->conn);
	if (result && !query_failed(result))
	{
		free(f->mark);
		f->mark = mem_copy(PQgetvalue(result, 0, 0));
		return result;
	}
	if (PQstatus(f->conn) == CONNECTION_OK)
	{
		query_complain(f->conn, result);
		exit(EXIT_ERROR);
	}
	PQclear(result);
	return NULL;
}

/* Shows what a wait brought; true: at least up to the end of the wait nothing is left unread. */
static bool
show_waited(Follow *f, const PGresult *waited, bool *drained)
{
	const char *values[] = {f->queue, asked.id, PQgetvalue(waited, 0, 1),
	                        PQgetvalue(waited, 0, 2)};
	int ids = 1;

	f->behind = f->behind || PQgetisnull(waited, 0, 1);
	if (f->behind || strcmp(values[2], "{}") == 0)
		return true;
	for (const char *p = values[2]; *p; p++)
		ids += *p == ',';
	*drained = ids < WAIT_BATCH;
	f->behind = true; /* should it fail on the way */
	if (!each_row(f, from_pairs, 4, values, take_new))
		return false;
	f->behind = false;
	return true;
}

/* False: the connection was lost. */
static bool
follow_step(Follow *f)
{
	int64_t started = clock_ms();
	PGresult *waited = wait_log(f, f->behind ? "0" : WAIT_INTERVAL);
	bool drained = true;
	bool good = waited && show_waited(f, waited, &drained);

	PQclear(waited);
	if (!good)
		return false;
	if (f->behind && !catch_up(f))
		return false;
	f->behind = false;
	return !drained || started - f->newer.taken < LAG_MS || take_snapshot(f);
}

/* The mark first, then what is there: what comes in between comes by the mark, too. */
static bool
follow_start(Follow *f)
{
	PGresult *waited = wait_log(f, "0");
	bool good = waited != NULL;

	PQclear(waited);
	return good && take_snapshot(f) && show_log(f);
}

static void
use_settings(Follow *f)
{
	PQclear(PQexec(f->conn, settings_sql));
}

/* Comes back by itself, as a server that was restarted does. */
static void
connect_again(Follow *f)
{
	int64_t pause = FIRST_PAUSE_MS;
	char *error = connection_error(f->conn);

	log_message(LOG_WARNING, "disconnected", "%s", error);
	free(error);
	for (PQreset(f->conn); PQstatus(f->conn) != CONNECTION_OK; PQreset(f->conn))
	{
		clock_pause_ms(pause);
		pause = pause * 2 < LONGEST_PAUSE_MS ? pause * 2 : LONGEST_PAUSE_MS;
	}
	log_message(LOG_WARNING, "connected", "following again");
	use_settings(f);
}

static _Noreturn void
follow(Follow *f)
{
	if (!follow_start(f))
		die(EXIT_CONNECTION, "%s", connection_error(f->conn));
	use_settings(f);
	for (;;)
		if (!follow_step(f))
			connect_again(f);
}

/* ---- the command ---- */

/* A name that is misspelt is an error, not an empty log; events of dropped queues have none. */
static void
check_queue(PGconn *conn, const char *queue)
{
	PGresult *found =
	    query_run(conn, QUERY("select from baton.queue where name = $1", queue));

	if (PQntuples(found) == 0)
		die_hint(EXIT_ERROR, "\"baton queue\" lists them all.",
		         "queue \"%s\" does not exist", queue);
	PQclear(found);
}

static int
run_log(int argc, char **argv)
{
	Follow f = {.queue = argc > 0 ? argv[0] : NULL};

	f.conn = connection_open("baton log");
	if (f.queue)
		check_queue(f.conn, f.queue);
	if (asked.follow)
		follow(&f);
	if (!show_log(&f))
		die(EXIT_CONNECTION, "%s", connection_error(f.conn));
	PQfinish(f.conn);
	return EXIT_OK;
}

static const Option options[] = {
    {"follow", 'f', OPTION_FLAG, NULL, &asked.follow, 0, 0,
     "go on with what happens, until Ctrl-C"},
    {"id", 0, OPTION_STRING, "N", &asked.id, 0, 0, "only of this message, all of it"},
    {"lines", 'n', OPTION_COUNT, "N", &asked.lines, 0, 0, "the last N events (20)"},
    {"all", 0, OPTION_FLAG, NULL, &asked.all, 0, 0, "all that the log still has"},
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "all columns of baton.queue_log, a JSON object a line"},
    {0},
};

static const char *const examples[] = {
    "baton log",
    "baton log mail --follow",
    "baton log --id 17",
    "baton log --follow --lines 0 --json | vector --config ship.toml",
    NULL,
};

const Command command_log = {
    .name = "log",
    .arguments = "[QUEUE]",
    .most = 1,
    .summary = "show what happened to messages, and with --follow what happens",
    .description = "One line an event: when, what, queue and message, attempt, who held "
                   "it, and the\n"
                   "result or the error (its first 200 characters; --json has all of "
                   "it). To find the\n"
                   "last events it reads the whole log; those of one message (--id) are "
                   "found at once.\n"
                   "\n"
                   "--follow sleeps until events are committed, and shows each once, in "
                   "the order of\n"
                   "commits. It goes on when the server was restarted. It needs a "
                   "session of its own:\n"
                   "not a pooler in transaction mode.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_log,
};
