/*
 * http/problem.h
 *	  Errors as problem details (RFC 9457), and which status an SQLSTATE becomes.
 */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include <libpq-fe.h>

/* The name of a status, as in the table of problem.c; "" if it has none there. */
extern const char *status_name(int status);

/* The status for an SQLSTATE; what isn't in the table is 500. */
extern int problem_status(const char *sqlstate);

/* A problem in our words; caller frees. */
extern char *problem_make(int status, const char *detail);

/* A whole answer with a problem, after which the connection is closed; caller frees. */
extern char *problem_answer(int status, const char *problem);

/* The database's words, but for a 500, whose words are for the log only; caller frees. */
extern char *problem_of(int status, const PGresult *error);

#endif
