/*
 * commands/serve.c
 *	  baton serve: the HTTP API.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"
#include "commands/command.h"
#include "http/server.h"
#include "pg/connection.h"

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT "7654"

static struct
{
	const char *address;
	const char *certificate;
	const char *key;
	const char *wait_conninfo;
	bool anywhere;
	bool local_user;
	int pool;
	int most_connections;
	int most_body;
} asked = {.pool = 8, .most_connections = 10000, .most_body = 8 * 1024 * 1024};

/* "HOST:PORT", "[HOST]:PORT", ":PORT" or "HOST"; the parts are copied. */
static void
split_address(const char *address, char **host, char **port)
{
	const char *colon = address ? strrchr(address, ':') : NULL;
	size_t length = colon ? (size_t) (colon - address) : address ? strlen(address) : 0;
	const char *start = address;

	if (length > 1 && start[0] == '[' && start[length - 1] == ']')
	{
		start++;
		length -= 2;
	}
	*host = length > 0 ? mem_format("%.*s", (int) length, start) : mem_copy(DEFAULT_HOST);
	*port = mem_copy(colon ? colon + 1 : DEFAULT_PORT);
}

static void
say_listening(const char *url)
{
	printf("%s\n", url);
	fflush(stdout);
}

static int
run_serve(int argc, char **argv)
{
	char *host;
	char *port;
	PGconn *first;
	PGconn *waiting;
	int code;

	(void) argc, (void) argv;
	if ((asked.certificate == NULL) != (asked.key == NULL))
		usage_error(&command_serve, "--tls-cert and --tls-key go together");
	split_address(asked.address, &host, &port);
	first = connection_open("baton serve");
	waiting = connection_open_at(asked.wait_conninfo, "baton serve: wait");
	code = server_run(&(ServerOptions){.host = host,
	                                   .port = port,
	                                   .certificate = asked.certificate,
	                                   .key = asked.key,
	                                   .anywhere = asked.anywhere,
	                                   .local_user = asked.local_user,
	                                   .pool = asked.pool,
	                                   .wait_conninfo = asked.wait_conninfo,
	                                   .most_connections = asked.most_connections,
	                                   .most_body = asked.most_body},
	                  first, waiting, say_listening);
	free(host);
	free(port);
	return code;
}

static const Option options[] = {
    {"listen", 'l', OPTION_STRING, "HOST:PORT", &asked.address, 0, 0,
     "where to listen (127.0.0.1:7654); port 0: any"},
    {"tls-cert", 0, OPTION_STRING, "FILE", &asked.certificate, 0, 0,
     "certificate (PEM, with its chain): HTTPS"},
    {"tls-key", 0, OPTION_STRING, "FILE", &asked.key, 0, 0, "its private key (PEM)"},
    {"insecure-listen", 0, OPTION_FLAG, NULL, &asked.anywhere, 0, 0,
     "listen elsewhere than on loopback without TLS"},
    {"local-user", 0, OPTION_FLAG, NULL, &asked.local_user, 0, 0,
     "on loopback: processes of this user, and root's, need no token"},
    {"pool", 0, OPTION_COUNT, "N", &asked.pool, 1, 64,
     "connections to the database, besides the one that waits (8)"},
    {"wait-dbname", 0, OPTION_STRING, "CONNINFO", &asked.wait_conninfo, 0, 0,
     "for the connection that waits, where -d leads to a pooler"},
    {"max-connections", 0, OPTION_COUNT, "N", &asked.most_connections, 1, 100000,
     "clients at a time; more wait to be accepted (10000)"},
    {"max-body", 0, OPTION_COUNT, "BYTES", &asked.most_body, 1024, 268435456,
     "of a request's body, or of a line of one in lines (8388608)"},
    {0},
};

static const char *const examples[] = {
    "baton serve",
    "baton serve -d 'host=db dbname=shop' --listen 0.0.0.0:443 --tls-cert cert.pem "
    "--tls-key key.pem",
    "baton serve -d 'port=6432 dbname=shop' --wait-dbname 'port=5432 dbname=shop'",
    NULL,
};

const Command command_serve = {
    .name = "serve",
    .arguments = "",
    .summary = "serve the HTTP API",
    .description =
        "docs/http.md has the API. Requests need a token (\"baton token create\"). Says "
        "where it\n"
        "listens, and runs until SIGTERM or Ctrl-C; then it finishes what runs, and ends "
        "requests\n"
        "that wait for messages. While the database is away it answers 503, and connects "
        "again by\n"
        "itself.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_serve,
};
