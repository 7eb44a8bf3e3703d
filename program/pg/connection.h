/*
 * pg/connection.h
 *	  The one place that knows how the program connects to PostgreSQL.
 *
 * libpq decides: a connection string, the PG* variables, pg_service.conf, .pgpass.
 */
#ifndef PG_CONNECTION_H
#define PG_CONNECTION_H

#include <stdbool.h>
#include <libpq-fe.h>

/*
 * What -d says: the name of a database, a connection string or a URI; NULL: the
 * environment says it all.  Set once, before the first connection.
 */
extern const char *connection_string;

/* True if the environment names a server or a database (PGHOST, PGSERVICE, ...). */
extern bool connection_in_environment(void);

/* Connects, or ends the program with EXIT_CONNECTION and libpq's words. */
extern PGconn *connection_open(const char *application);

/*
 * The same to another place than connection_string says; NULL: to that.  For a link that
 * is to come back to the same place, give it to connection_start() too.
 */
extern PGconn *connection_open_at(const char *conninfo, const char *application);

/* Connects to the place given and nowhere else; NULL with libpq's words in *error. */
extern PGconn *connection_try(const char *conninfo, char **error);

/* Begins to connect without waiting, as connection_open_at(); never NULL.  For pg/link.c. */
extern PGconn *connection_start(const char *conninfo, const char *application);

/* "could not connect ..." in one line, from the connection's message; caller frees. */
extern char *connection_error(const PGconn *conn);

#endif
