/*
 * pg/connection.c
 *	  The one place that knows how the program connects to PostgreSQL.
 */
#include "pg/connection.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"

const char *connection_string;

/*
 * In order of weight: what comes later wins.  A peer whose machine is gone must
 * be noticed within a minute, not after the kernel's two hours.
 */
#define MAX_PARAMETERS 10

typedef struct Parameters
{
	const char *names[MAX_PARAMETERS];
	const char *values[MAX_PARAMETERS];
} Parameters;

static void
fill_parameters(Parameters *p, const char *conninfo, const char *application)
{
	const char *const pairs[][2] = {
	    {"connect_timeout", getenv("PGCONNECT_TIMEOUT") ? NULL : "10"},
	    {"keepalives_idle", "20"},
	    {"keepalives_interval", "10"},
	    {"keepalives_count", "3"},
	    {"tcp_user_timeout", "60000"},
	    {"fallback_application_name", application},
	    {"dbname", conninfo ? conninfo : connection_string},
	    {"client_encoding", "UTF8"},
	};
	int n = 0;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i][1])
		{
			p->names[n] = pairs[i][0];
			p->values[n++] = pairs[i][1];
		}
	p->names[n] = p->values[n] = NULL;
}

static void
take_notice(void *arg, const char *message)
{
	size_t length = strcspn(message, "\n");

	(void) arg;
	log_message(LOG_INFO, "notice", "%.*s", (int) length, message);
}

bool
connection_in_environment(void)
{
	static const char *const names[] = {"PGHOST",     "PGHOSTADDR", "PGPORT",
	                                    "PGDATABASE", "PGSERVICE",  "PGUSER"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (getenv(names[i]))
			return true;
	return false;
}

char *
connection_error(const PGconn *conn)
{
	char *message = mem_copy(PQerrorMessage(conn));
	size_t length = strlen(message);

	while (length > 0 && message[length - 1] == '\n')
		message[--length] = '\0';
	/* libpq indents its second line by a tab. */
	for (char *p = message; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	return message;
}

PGconn *
connection_open(const char *application)
{
	return connection_open_at(NULL, application);
}

PGconn *
connection_open_at(const char *conninfo, const char *application)
{
	Parameters p;
	PGconn *conn;

	fill_parameters(&p, conninfo, application);
	conn = PQconnectdbParams(p.names, p.values, 1);
	if (PQstatus(conn) == CONNECTION_OK)
	{
		PQsetNoticeProcessor(conn, take_notice, NULL);
		return conn;
	}
	if (connection_string == NULL && !connection_in_environment())
		die_hint(
		    EXIT_CONNECTION,
		    "Say which database: -d 'host=... dbname=...', or PGHOST, PGDATABASE and so "
		    "on. \"baton up\" starts a server of your own.",
		    "%s", connection_error(conn));
	die(EXIT_CONNECTION, "%s", connection_error(conn));
}

PGconn *
connection_try(const char *conninfo, char **error)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) == CONNECTION_OK)
	{
		PQsetNoticeProcessor(conn, take_notice, NULL);
		return conn;
	}
	*error = connection_error(conn);
	PQfinish(conn);
	return NULL;
}

PGconn *
connection_start(const char *conninfo, const char *application)
{
	Parameters p;
	PGconn *conn;

	fill_parameters(&p, conninfo, application);
	conn = PQconnectStartParams(p.names, p.values, 1);
	if (conn == NULL)
		die(EXIT_ERROR, "out of memory");
	PQsetNoticeProcessor(conn, take_notice, NULL);
	return conn;
}
