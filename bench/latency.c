/*
 * latency.c
 *		How long from the start of a send to the row in a consumer that was waiting.
 *
 * usage: latency CONNINFO SAMPLES PAUSE_US
 *
 * The parent sends.  Each way to wait has a consumer of its own, a child with its
 * own connection and queue, which waits nearly all the time.  In each sample the
 * parent takes every way in turn, the order turning: it lets the consumer say that
 * it is about to wait, rests for PAUSE_US so that it really does, reads the clock,
 * sends, and has the consumer read the clock when it has the row.  Bare commits are
 * timed in between by the same connection, as two series: what lies between the two
 * is noise.
 *
 * Output: "NAME NANOSECONDS" for each sample, and at the end for each consumer
 * "xmin NAME LOOKS PINNED": how often pg_stat_activity was asked while it waited,
 * and how often it had a backend_xmin or a backend_xid.
 */
#include "client.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 10000 /* how long anything may take before the run is given up */
#define LOOK_EVERY 25     /* samples between two looks at backend_xmin */
#define TRIES 1000        /* wake-ups without a message before a consumer gives up */
#define PAYLOAD_SIZE 200

struct Way;

/* What parent and consumer share.  Handed over by the semaphores: no locks. */
typedef struct Line
{
	sem_t about_to_wait; /* posted by the consumer, once a message */
	sem_t arrived;       /* posted by the consumer when it has the row */
	int64_t at;          /* when; written by the consumer before it posts arrived */
	long number;         /* the message's own number, as the consumer read it */
	int backend; /* the consumer's server process; written before it first waits */
} Line;

/* One way to send, and to wait for what was sent. */
typedef struct Way
{
	const char *name;
	const char *send;                                   /* SQL, $1 the payload */
	void (*prepare)(PGconn *conn);                      /* NULL: nobody waits */
	int (*take)(PGconn *conn, Line *line, char *proof); /* 1: has a message */
	void (*settle)(PGconn *conn, const char *proof);
	Line *line;
	pid_t consumer;
	long looks;
	long pinned;
} Way;

static const char *conninfo;

/* "n" of the payload: jsonb's text has one space after the colon. */
static long
number_in(const char *text)
{
	const char *found = strstr(text, "\"n\": ");

	if (found == NULL)
		die("no number in \"%s\"", text);
	return strtol(found + 5, NULL, 10);
}

static void
note_arrival(Line *line, int64_t at, const char *payload)
{
	line->at = at;
	line->number = number_in(payload);
}

static void
copy_proof(char *proof, const char *text, size_t length)
{
	if (length >= PAYLOAD_SIZE)
		die("a receipt of %zu bytes is too long", length);
	memcpy(proof, text, length);
	proof[length] = '\0';
}

/* ---- CALL wait, then receive ---- */

static void
prepare_wait(PGconn *conn)
{
	client_prepare(conn, "wait", "call baton.wait('latency_wait', '5 s')");
	client_prepare(conn, "receive",
	               "select receipt, payload from baton.receive('latency_wait')");
	client_prepare(conn, "complete", "select baton.complete($1, '{\"success\": true}')");
}

static int
take_wait(PGconn *conn, Line *line, char *proof)
{
	PGresult *result;
	int64_t at;
	int rows;

	client_do(conn, "wait", 0, NULL);
	result = client_run(conn, "receive", 0, NULL);
	at = now_ns();
	rows = PQntuples(result);
	if (rows > 0)
	{
		note_arrival(line, at, PQgetvalue(result, 0, 1));
		copy_proof(proof, PQgetvalue(result, 0, 0), strlen(PQgetvalue(result, 0, 0)));
	}
	PQclear(result);
	return rows;
}

static void
settle_complete(PGconn *conn, const char *proof)
{
	client_do(conn, "complete", 1, &proof);
}

/* ---- CALL receive_wait ---- */

static void
prepare_receive_wait(PGconn *conn)
{
	client_prepare(conn, "receive_wait",
	               "call baton.receive_wait('latency_receive_wait', 1, '5 s')");
	client_prepare(conn, "complete", "select baton.complete($1, '{\"success\": true}')");
}

static int
take_receive_wait(PGconn *conn, Line *line, char *proof)
{
	static const char key[] = "\"receipt\": \"";
	PGresult *result = client_run(conn, "receive_wait", 0, NULL);
	int64_t at = now_ns();
	const char *messages = PQgetvalue(result, 0, 0);
	const char *receipt = strstr(messages, key);

	if (receipt != NULL)
	{
		receipt += sizeof(key) - 1;
		note_arrival(line, at, messages);
		copy_proof(proof, receipt, strcspn(receipt, "\""));
	}
	PQclear(result);
	return receipt != NULL;
}

/* ---- LISTEN, then DELETE from a SKIP LOCKED table: for contrast ---- */

static void
prepare_notify(PGconn *conn)
{
	PQclear(client_query(conn, "listen latency", 0, NULL));
	client_prepare(conn, "take",
	               "delete from notified_jobs where id = (select id from notified_jobs "
	               "order by id limit 1 for update skip locked) returning payload");
}

static int
take_notify(PGconn *conn, Line *line, char *proof)
{
	struct pollfd wait = {PQsocket(conn), POLLIN, 0};
	PGnotify *notify;
	PGresult *result;
	int64_t at;
	int rows;

	while ((notify = PQnotifies(conn)) == NULL)
	{
		if (poll(&wait, 1, 5000) == 0)
			return 0;
		if (!PQconsumeInput(conn))
			die("%s", PQerrorMessage(conn));
	}
	PQfreemem(notify);
	result = client_run(conn, "take", 0, NULL);
	at = now_ns();
	rows = PQntuples(result);
	if (rows > 0)
		note_arrival(line, at, PQgetvalue(result, 0, 0));
	PQclear(result);
	proof[0] = '\0';
	return rows;
}

static void
settle_nothing(PGconn *conn, const char *proof)
{
	(void) conn;
	(void) proof;
}

static Way ways[] = {
    {.name = "bare_a", .send = "insert into bare (payload) values ($1::jsonb)"},
    {.name = "wait",
     .send = "select baton.send('latency_wait', $1::jsonb)",
     .prepare = prepare_wait,
     .take = take_wait,
     .settle = settle_complete},
    {.name = "bare_b", .send = "insert into bare (payload) values ($1::jsonb)"},
    {.name = "receive_wait",
     .send = "select baton.send('latency_receive_wait', $1::jsonb)",
     .prepare = prepare_receive_wait,
     .take = take_receive_wait,
     .settle = settle_complete},
    {.name = "notify",
     .send = "with sent as (insert into notified_jobs (payload) values ($1::jsonb)) "
             "select pg_notify('latency', '')",
     .prepare = prepare_notify,
     .take = take_notify,
     .settle = settle_nothing},
};

#define NWAYS ((int) (sizeof(ways) / sizeof(ways[0])))

/* ---- the consumers ---- */

static void
consume(void *argument)
{
	Way *way = argument;
	Line *line = way->line;
	PGconn *conn = client_connect(conninfo);
	char proof[PAYLOAD_SIZE];

	way->prepare(conn);
	line->backend = PQbackendPID(conn);
	for (;;) /* ended by its parent, or with it */
	{
		int tries = 0;

		semaphore_post(&line->about_to_wait);
		while (!way->take(conn, line, proof))
			if (++tries > TRIES)
				die("%s: woken %d times for nothing", way->name, tries);
		semaphore_post(&line->arrived);
		way->settle(conn, proof);
	}
}

static void
start_consumers(void)
{
	for (int i = 0; i < NWAYS; i++)
	{
		Way *way = &ways[i];

		if (way->prepare == NULL)
			continue;
		way->line = shared_memory(sizeof(Line));
		semaphore_create(&way->line->about_to_wait);
		semaphore_create(&way->line->arrived);
		way->consumer = child_start(consume, way);
	}
}

/* ---- the sender ---- */

/* Does the waiting consumer hold back vacuum? */
static void
look_at_xmin(PGconn *conn, Way *way)
{
	char backend[16];
	const char *params[] = {backend};
	PGresult *result;

	snprintf(backend, sizeof(backend), "%d", way->line->backend);
	result = client_query(conn,
	                      "select 1 from pg_stat_activity where pid = $1::int "
	                      "and (backend_xmin is not null or backend_xid is not null)",
	                      1, params);
	way->looks++;
	way->pinned += PQntuples(result);
	PQclear(result);
}

static void
send_payload(PGconn *conn, const Way *way, long number)
{
	char payload[PAYLOAD_SIZE];
	const char *params[] = {payload};

	snprintf(payload, sizeof(payload),
	         "{\"n\": %ld, \"customer\": \"c-0815\", \"items\": [3, 14, 15], "
	         "\"total\": \"92.65\", \"note\": \"ring twice\"}",
	         number);
	client_do(conn, way->name, 1, params);
}

static int64_t
time_commit(PGconn *conn, const Way *way, long number, long rest_us)
{
	int64_t start;

	pause_us(rest_us);
	start = now_ns();
	send_payload(conn, way, number);
	return now_ns() - start;
}

static int64_t
time_delivery(PGconn *conn, PGconn *observer, Way *way, long number, long rest_us)
{
	Line *line = way->line;
	int64_t start;

	if (!semaphore_wait(&line->about_to_wait, PATIENCE_MS))
		die("%s: the consumer didn't get ready", way->name);
	if (number % LOOK_EVERY == 0)
	{
		pause_us(rest_us);
		look_at_xmin(observer, way);
	}
	pause_us(rest_us);
	start = now_ns();
	send_payload(conn, way, number);
	if (!semaphore_wait(&line->arrived, PATIENCE_MS))
		die("%s: message %ld did not arrive", way->name, number);
	if (line->number != number)
		die("%s: message %ld arrived instead of %ld", way->name, line->number, number);
	return line->at - start;
}

static void
take_sample(PGconn *conn, PGconn *observer, long number, long rest_us)
{
	for (int i = 0; i < NWAYS; i++)
	{
		Way *way = &ways[(number + i) % NWAYS];
		int64_t took = way->prepare != NULL
		                   ? time_delivery(conn, observer, way, number, rest_us)
		                   : time_commit(conn, way, number, rest_us);

		if (number > 0) /* the first warms up */
			printf("%s %" PRId64 "\n", way->name, took);
	}
}

int
main(int argc, char **argv)
{
	PGconn *conn;
	PGconn *observer;
	long samples;
	long rest_us;

	if (argc != 4)
		die("usage: latency CONNINFO SAMPLES PAUSE_US");
	conninfo = argv[1];
	samples = number_argument(argv[2], 1, 1000000);
	rest_us = number_argument(argv[3], 0, 1000000);
	start_consumers();
	conn = client_connect(conninfo);
	observer = client_connect(conninfo);
	for (int i = 0; i < NWAYS; i++)
		client_prepare(conn, ways[i].name, ways[i].send);
	for (long number = 0; number <= samples; number++)
		take_sample(conn, observer, number, rest_us);
	for (int i = 0; i < NWAYS; i++)
	{
		if (ways[i].prepare == NULL)
			continue;
		printf("xmin %s %ld %ld\n", ways[i].name, ways[i].looks, ways[i].pinned);
		child_end(ways[i].consumer, SIGTERM);
	}
	PQfinish(conn);
	PQfinish(observer);
	return 0;
}
