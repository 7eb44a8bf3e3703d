/*
 * kill.c
 *		How long until the messages of a killed consumer are with another one.
 *
 * usage: kill CONNINFO QUEUE ROUNDS HELD
 *
 * In each round a new process, the holder, receives HELD messages and then sits
 * idle; the rescuer, which lives through all rounds, waits on the same queue; then
 * the holder gets SIGKILL.  The time runs from just before the kill until the
 * rescuer has the last of the holder's messages.
 *
 * Output, a line a round: "NANOSECONDS MISSING EXTRA": how many of the holder's
 * messages never came, and how many came that should not have, or twice.
 */
#include "client.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_HELD 100
#define MOST_GOT (2 * MOST_HELD)
#define PATIENCE_MS 10000
#define RECEIPT_SIZE 200

/* What the three processes share.  Handed over by the semaphores: no locks. */
typedef struct Stage
{
	sem_t holds;         /* posted by the holder once it holds all */
	sem_t go;            /* posted by the parent: the rescuer may wait now */
	sem_t waiting;       /* posted by the rescuer: about to wait */
	sem_t done;          /* posted by the rescuer: round over */
	int rescuer_backend; /* written by the rescuer before it first posts */
	int nheld;           /* written by the holder before it posts holds */
	int64_t held[MOST_HELD];
	int ngot; /* this and the rest: by the rescuer, before done */
	int64_t got[MOST_GOT];
	int64_t last_at;
} Stage;

static const char *conninfo;
static const char *queue;
static int wanted;
static Stage *stage;

static void
add_id(int64_t *ids, int *count, int most, const char *text)
{
	if (*count < most)
		ids[*count] = strtoll(text, NULL, 10);
	(*count)++;
}

/* Receives what there is, at most so many: receipt and id. */
static PGresult *
receive(PGconn *conn, int most)
{
	char number[16];
	const char *params[] = {queue, number};

	snprintf(number, sizeof(number), "%d", most);
	return client_query(conn, "select receipt, id from baton.receive($1, $2::int)", 2,
	                    params);
}

/* ---- the holder ---- */

static void
hold(void *unused)
{
	PGconn *conn = client_connect(conninfo);
	int64_t until = now_ns() + PATIENCE_MS * NS_PER_MS;
	int count = 0;

	(void) unused;
	while (count < wanted && now_ns() < until)
	{
		PGresult *result = receive(conn, wanted - count);

		for (int i = 0; i < PQntuples(result); i++)
			add_id(stage->held, &count, MOST_HELD, PQgetvalue(result, i, 1));
		if (PQntuples(result) == 0)
			pause_us(1000);
		PQclear(result);
	}
	stage->nheld = count;
	semaphore_post(&stage->holds);
	for (;;) /* until killed, or until the parent is gone */
		pause();
}

/* ---- the rescuer ---- */

static void
note_rows(PGresult *result, int64_t at)
{
	for (int i = 0; i < PQntuples(result); i++)
	{
		add_id(stage->got, &stage->ngot, MOST_GOT, PQgetvalue(result, i, 1));
		stage->last_at = at;
	}
}

static void
complete_rows(PGconn *conn, PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++)
	{
		const char *receipt = PQgetvalue(result, i, 0);

		client_do(conn, "complete", 1, &receipt);
	}
}

/* Waits for the holder's messages; completes them only after the clock was read. */
static void
rescue_once(PGconn *conn)
{
	PGresult *batches[MOST_GOT];
	int64_t until = now_ns() + PATIENCE_MS * NS_PER_MS;
	int nbatches = 0;

	stage->ngot = 0;
	stage->last_at = 0;
	semaphore_post(&stage->waiting);
	while (stage->ngot < wanted && now_ns() < until && nbatches < MOST_GOT - 1)
	{
		PGresult *result;

		client_do(conn, "wait", 1, &queue);
		result = receive(conn, wanted);
		note_rows(result, now_ns());
		if (PQntuples(result) > 0)
			batches[nbatches++] = result;
		else
			PQclear(result);
	}
	batches[nbatches] = receive(conn, wanted); /* nothing more should be there */
	for (int i = 0; i < PQntuples(batches[nbatches]); i++)
		add_id(stage->got, &stage->ngot, MOST_GOT, PQgetvalue(batches[nbatches], i, 1));
	nbatches++;
	for (int i = 0; i < nbatches; i++)
	{
		complete_rows(conn, batches[i]);
		PQclear(batches[i]);
	}
	semaphore_post(&stage->done);
}

static void
rescue(void *unused)
{
	PGconn *conn = client_connect(conninfo);

	(void) unused;
	client_prepare(conn, "wait", "call baton.wait($1, '1 s')");
	client_prepare(conn, "complete", "select baton.complete($1, '{\"success\": true}')");
	stage->rescuer_backend = PQbackendPID(conn);
	for (;;) /* ended by its parent, or with it */
		if (semaphore_wait(&stage->go, PATIENCE_MS))
			rescue_once(conn);
}

/* ---- the parent ---- */

static void
send_messages(PGconn *conn)
{
	char number[16];
	const char *params[] = {queue, number};

	snprintf(number, sizeof(number), "%d", wanted);
	PQclear(client_query(conn,
	                     "select count(*) from baton.send_batch($1, "
	                     "array_fill('{\"kind\": \"kill\"}'::jsonb, array[$2::int]))",
	                     2, params));
}

/* Until the rescuer sleeps in the server, or a tenth of a second has passed. */
static void
let_rescuer_wait(PGconn *conn)
{
	char backend[16];
	const char *params[] = {backend};
	int asleep = 0;

	if (!semaphore_wait(&stage->waiting, PATIENCE_MS))
		die("the rescuer didn't start to wait");
	snprintf(backend, sizeof(backend), "%d", stage->rescuer_backend);
	for (int i = 0; i < 100 && !asleep; i++)
	{
		PGresult *result =
		    client_query(conn,
		                 "select 1 from pg_stat_activity where pid = $1::int "
		                 "and state = 'active' and wait_event_type = 'Extension'",
		                 1, params);

		asleep = PQntuples(result) > 0;
		PQclear(result);
		pause_us(1000);
	}
}

static int
count_of(const int64_t *ids, int count, int64_t id)
{
	int found = 0;

	for (int i = 0; i < count; i++)
		found += ids[i] == id;
	return found;
}

static void
report(int64_t killed_at)
{
	int ngot = stage->ngot < MOST_GOT ? stage->ngot : MOST_GOT;
	int missing = wanted - stage->nheld;
	int extra = 0;

	for (int i = 0; i < stage->nheld; i++)
		missing += count_of(stage->got, ngot, stage->held[i]) == 0;
	for (int i = 0; i < ngot; i++)
		extra += count_of(stage->held, stage->nheld, stage->got[i]) == 0 ||
		         count_of(stage->got, i, stage->got[i]) > 0;
	printf("%" PRId64 " %d %d\n", stage->last_at - killed_at, missing, extra);
	fflush(stdout);
}

static void
one_round(PGconn *conn)
{
	pid_t holder;
	int64_t killed_at;

	send_messages(conn);
	holder = child_start(hold, NULL);
	if (!semaphore_wait(&stage->holds, 2 * PATIENCE_MS))
		die("the holder got no messages");
	semaphore_post(&stage->go);
	let_rescuer_wait(conn);
	killed_at = now_ns();
	child_end(holder, SIGKILL);
	if (!semaphore_wait(&stage->done, 3 * PATIENCE_MS))
		die("the rescuer didn't come back");
	report(killed_at);
}

int
main(int argc, char **argv)
{
	PGconn *conn;
	pid_t rescuer;
	long rounds;

	if (argc != 5)
		die("usage: kill CONNINFO QUEUE ROUNDS HELD");
	conninfo = argv[1];
	queue = argv[2];
	rounds = number_argument(argv[3], 1, 1000000);
	wanted = (int) number_argument(argv[4], 1, MOST_HELD);
	stage = shared_memory(sizeof(Stage));
	semaphore_create(&stage->holds);
	semaphore_create(&stage->go);
	semaphore_create(&stage->waiting);
	semaphore_create(&stage->done);
	rescuer = child_start(rescue, NULL);
	conn = client_connect(conninfo);
	for (long i = 0; i < rounds; i++)
		one_round(conn);
	child_end(rescuer, SIGTERM);
	PQfinish(conn);
	return 0;
}
