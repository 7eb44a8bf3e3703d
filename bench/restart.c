/*
 * restart.c
 *		How long after a server accepts connections a consumer has its first message.
 *
 * usage: restart CONNINFO QUEUE
 *
 * Started while the server is down, it tries to connect, again and again; the clock
 * starts when the first attempt succeeds.  From there it does what a consumer does
 * that comes back: it receives, and waits where there is nothing yet.
 *
 * Output: "NANOSECONDS ID" of the first message.
 */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>

#define PATIENCE_NS (INT64_C(300) * 1000 * NS_PER_MS)
#define PAUSE_US 1000

static PGconn *
connect_when_up(const char *conninfo)
{
	int64_t until = now_ns() + PATIENCE_NS;

	while (now_ns() < until)
	{
		PGconn *conn = PQconnectdb(conninfo);

		if (PQstatus(conn) == CONNECTION_OK)
			return conn;
		PQfinish(conn);
		pause_us(PAUSE_US);
	}
	die("the server doesn't come up");
}

static PGresult *
first_message(PGconn *conn, const char *queue)
{
	int64_t until = now_ns() + PATIENCE_NS;

	while (now_ns() < until)
	{
		PGresult *result = client_query(
		    conn, "select receipt, id, payload from baton.receive($1)", 1, &queue);

		if (PQntuples(result) > 0)
			return result;
		PQclear(result);
		PQclear(client_query(conn, "call baton.wait($1, '1 s')", 1, &queue));
	}
	die("no message comes");
}

int
main(int argc, char **argv)
{
	PGconn *conn;
	PGresult *result;
	int64_t up;
	int64_t got;

	if (argc != 3)
		die("usage: restart CONNINFO QUEUE");
	conn = connect_when_up(argv[1]);
	up = now_ns();
	result = first_message(conn, argv[2]);
	got = now_ns();
	printf("%" PRId64 " %s\n", got - up, PQgetvalue(result, 0, 1));
	PQclear(result);
	/* else its fifth holder in a row to vanish would be its last, and the queue one shorter */
	PQclear(client_query(conn, "select baton.release_held()", 0, NULL));
	PQfinish(conn);
	return 0;
}
