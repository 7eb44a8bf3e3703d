/*
 * pg/query.h
 *	  Statements that are waited for, and what becomes of their errors.
 *
 * Values are always parameters, in text form; NULL is NULL.
 */
#ifndef PG_QUERY_H
#define PG_QUERY_H

#include <stdbool.h>
#include <libpq-fe.h>

#include "base/die.h"

typedef struct Query
{
	const char *sql;
	int count; /* of values */
	const char *const *values;
} Query;

/* Runs it; an error is printed and ends the program.  The caller clears the result. */
extern PGresult *query_run(PGconn *conn, Query query);

/* Runs it; the result may be an error, see query_failed(). */
extern PGresult *query_try(PGconn *conn, Query query);
extern bool query_failed(const PGresult *result);

/* A command without parameters and without an interesting result, as BEGIN. */
extern void query_command(PGconn *conn, const char *sql);

/* Of a failed result: "" if there is none. */
extern const char *query_sqlstate(const PGresult *result);
extern const char *query_message(const PGresult *result);

/*
 * Prints message, SQLSTATE, detail and hint to standard error.  Says nothing of
 * the connection: see query_exit_code().
 */
extern void query_complain(const PGconn *conn, const PGresult *result);
extern ExitCode query_exit_code(const PGconn *conn);

/* One value of a result as a string; NULL is NULL. */
extern const char *query_value(const PGresult *result, int row, int column);

/* A Query in place: QUERY("select $1", value). */
#define QUERY(text, ...)                                                                 \
	((Query){(text),                                                                     \
	         sizeof((const char *const[]){NULL, __VA_ARGS__}) / sizeof(char *) - 1,      \
	         ((const char *const[]){NULL, __VA_ARGS__}) + 1})

#endif
