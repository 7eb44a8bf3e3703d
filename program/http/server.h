/*
 * http/server.h
 *	  The HTTP server: libmicrohttpd in the event loop.
 *
 * The library reads and writes sockets and understands HTTP; it is driven by the loop, in
 * its thread.  A request that waits for something else than its socket is suspended in
 * the library.  All time limits are ours: one timer a connection.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <libpq-fe.h>

#include "http/request.h"

typedef struct ServerOptions
{
	const char *host; /* NULL: loopback */
	const char *port;
	const char *certificate; /* PEM files; NULL: no TLS */
	const char *key;
	bool anywhere;             /* other than loopback without TLS, as told */
	bool local_user;           /* this machine's own user needs no token */
	int pool;                  /* connections to PostgreSQL, besides the one that waits */
	const char *wait_conninfo; /* of that one; NULL: as the others */
	int most_connections;
	int most_body; /* bytes */
} ServerOptions;

/*
 * Listens, and serves until SIGTERM or SIGINT; then finishes what runs.  listening is called
 * with the URL once requests are taken.  Returns an ExitCode; ends the program if it can't start.
 */
extern int server_run(const ServerOptions *options, PGconn *first, PGconn *waiting,
                      void (*listening)(const char *url));

#endif
