/*
 * pg/query.c
 *	  Statements that are waited for, and what becomes of their errors.
 */
#include "pg/query.h"

#include <stdlib.h>
#include <string.h>

#include "pg/connection.h"

#define NO_EXTENSION                                                                     \
	"Is this the right database? CREATE EXTENSION baton, or ALTER EXTENSION baton "      \
	"UPDATE."

/* What we can say where the server knows no hint. */
static const struct
{
	const char *sqlstate;
	const char *hint;
} hints[] = {
    {"3F000", NO_EXTENSION},
    {"42883", NO_EXTENSION},
    {"42P01", NO_EXTENSION},
    {"42704", "\"baton queue\" lists the queues; \"baton queue create NAME\" makes one."},
};

PGresult *
query_try(PGconn *conn, Query query)
{
	return PQexecParams(conn, query.sql, query.count, NULL, query.values, NULL, NULL, 0);
}

bool
query_failed(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

PGresult *
query_run(PGconn *conn, Query query)
{
	PGresult *result = query_try(conn, query);

	if (query_failed(result))
	{
		query_complain(conn, result);
		exit(query_exit_code(conn));
	}
	return result;
}

void
query_command(PGconn *conn, const char *sql)
{
	PQclear(query_run(conn, (Query){.sql = sql}));
}

const char *
query_sqlstate(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return state ? state : "";
}

const char *
query_message(const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	return message ? message : "";
}

static const char *
hint_for(const PGresult *result)
{
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	for (size_t i = 0; hint == NULL && i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strcmp(hints[i].sqlstate, query_sqlstate(result)) == 0)
			hint = hints[i].hint;
	return hint;
}

void
query_complain(const PGconn *conn, const PGresult *result)
{
	const char *message = query_message(result);
	char *lost = *message ? NULL : connection_error(conn);

	complain(&(Complaint){
	    .message = lost ? lost : message,
	    .sqlstate = lost ? NULL : query_sqlstate(result),
	    .detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
	    .hint = hint_for(result),
	});
	free(lost);
}

ExitCode
query_exit_code(const PGconn *conn)
{
	return PQstatus(conn) == CONNECTION_OK ? EXIT_ERROR : EXIT_CONNECTION;
}

const char *
query_value(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}
