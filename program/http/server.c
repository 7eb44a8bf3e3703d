/*
 * http/server.c
 *	  The HTTP server: libmicrohttpd in the event loop.
 */
#include "http/server.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/file.h"
#include "base/log.h"
#include "http/internal.h"
#include "http/problem.h"

#if MHD_VERSION < 0x00097500
#error                                                                                   \
    "libmicrohttpd 0.9.75 or newer is needed: request_step() relies on its order of calls"
#endif

/*
 * A connection's memory in the library: what is read at a time, and a head of HEAD_MOST with what the
 * library keeps for each of HEAD_FIELDS.
 */
#define CONNECTION_BYTES 32768
#define FILES_SPARED 100 /* descriptors for other things than connections */
#define STOP_LIMIT_MS 30000
#define KEY_BYTES 65536

/* ---- connections ---- */

static void
limit_passed(void *arg)
{
	Client *client = arg;
	Request *r = client->request;

	if (r && r->suspended)
	{
		request_timed_out(r);
		return;
	}
	if (r == NULL && client->heard != 0)
		client_refuse(client, 408, "the headers did not come in time");
	else if (r && r->status == 0)
		client_refuse(client, 408, "the body did not come in time");
	else if (r && r->problem)
		client_last_words(client, r->status, r->problem);
	/* The library sees the end of the connection, and forgets it. */
	(void) shutdown(client->fd, SHUT_RDWR);
}

void
client_limit(Client *client, int64_t ms)
{
	loop_timer(&client->limit, ms, limit_passed, client);
}

static void
client_begin(Server *server, struct MHD_Connection *connection, void **context)
{
	Client *client = mem_alloc(sizeof(Client));

	client->server = server;
	client->connection = connection;
	client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
	                 ->connect_fd;
	client->next = server->clients;
	if (client->next)
		client->next->previous = client;
	server->clients = client;
	server->connections++;
	library_add(client);
	client_limit(client, LIMIT_FIRST_MS);
	*context = client;
}

static void
client_end(Client *client)
{
	library_remove(client);
	loop_timer_stop(&client->limit);
	loop_unwatch(&client->hangup);
	if (client->previous)
		client->previous->next = client->next;
	else
		client->server->clients = client->next;
	if (client->next)
		client->next->previous = client->previous;
	client->server->connections--;
	gates_room(client->server);
	free(client);
}

static void
client_changed(void *cls, struct MHD_Connection *connection, void **context,
               enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		client_begin(cls, connection, context);
	else
		client_end(*context);
}

/* ---- driving the library ---- */

static void
library_due(void *arg)
{
	((Server *) arg)->due = true;
}

/* After each event of the loop. */
static void
run_library(void *arg)
{
	Server *server = arg;
	MHD_UNSIGNED_LONG_LONG wait;

	if (!server->due)
		return;
	server->due = false;
	MHD_run(server->daemon);
	if (MHD_get_timeout(server->daemon, &wait) == MHD_YES && wait == 0)
		loop_timer(&server->again, 0, library_due, server);
	if (server->stopping && server->requests == 0)
		loop_stop();
}

/* ---- listening ---- */

static bool
is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) address)->sin6_addr);
	return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 ==
	       IN_LOOPBACKNET;
}

static void
check_address(const ServerOptions *options, const struct sockaddr *address)
{
	if (is_loopback(address))
		return;
	if (options->local_user)
		die(EXIT_USAGE, "--local-user is for loopback only, not for \"%s\"",
		    options->host);
	if (options->certificate == NULL && !options->anywhere)
		die_hint(
		    EXIT_USAGE,
		    "Give --tls-cert and --tls-key, or say --insecure-listen if something in "
		    "front of it encrypts.",
		    "tokens and messages would cross the network unencrypted from \"%s\"",
		    options->host);
}

static int
listen_on(const struct addrinfo *address)
{
	int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
open_socket(const ServerOptions *options)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	                               .ai_socktype = SOCK_STREAM,
	                               .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *address;
	int error = getaddrinfo(options->host, options->port, &hints, &address);
	int fd;

	if (error != 0)
		die(EXIT_USAGE, "\"%s:%s\": %s", options->host, options->port,
		    gai_strerror(error));
	check_address(options, address->ai_addr);
	fd = listen_on(address);
	if (fd < 0)
		die(EXIT_ERROR, "could not listen on %s:%s: %s", options->host, options->port,
		    strerror(errno));
	freeaddrinfo(address);
	return fd;
}

/* The URL it can be reached by; caller frees. */
static char *
url_of(const ServerOptions *options, int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char port[NI_MAXSERV] = "";
	bool bare_ipv6 = strchr(options->host, ':') != NULL;

	if (getsockname(fd, (struct sockaddr *) &address, &size) != 0 ||
	    getnameinfo((struct sockaddr *) &address, size, NULL, 0, port, sizeof(port),
	                NI_NUMERICSERV) != 0)
		die(EXIT_ERROR, "could not find out the port");
	return mem_format("http%s://%s%s%s:%s", options->certificate ? "s" : "",
	                  bare_ipv6 ? "[" : "", options->host, bare_ipv6 ? "]" : "", port);
}

/* As many connections as asked for, or as descriptors allow. */
static unsigned
connection_limit(const ServerOptions *options)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return options->most_connections;
	files.rlim_cur = files.rlim_max;
	(void) setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < (rlim_t) options->most_connections + FILES_SPARED)
	{
		log_message(LOG_WARNING, "limit", "%lu descriptors allow %lu connections, not %d",
		            (unsigned long) files.rlim_cur,
		            (unsigned long) files.rlim_cur - FILES_SPARED,
		            options->most_connections);
		return files.rlim_cur - FILES_SPARED;
	}
	return options->most_connections;
}

/* ---- the library ---- */

static char *
read_pem(const char *path)
{
	Text text = {0};

	if (!file_read(path, KEY_BYTES, &text))
		die(EXIT_USAGE, "could not read \"%s\": %s", path, strerror(errno));
	return text_take(&text);
}

/* Paths and queries are decoded by uri.c. */
static size_t
keep_raw(void *cls, struct MHD_Connection *connection, char *string)
{
	(void) cls, (void) connection;
	return strlen(string);
}

static void
log_library(void *cls, const char *format, va_list args)
{
	char *message = mem_vformat(format, args);

	(void) cls;
	message[strcspn(message, "\n")] = '\0';
	log_message(LOG_DEBUG, "http", "%s", message);
	free(message);
}

static void
start_library(Server *server, int most_connections)
{
	const ServerOptions *options = server->options;
	unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
	                 MHD_USE_ERROR_LOG;
	char *certificate = options->certificate ? read_pem(options->certificate) : NULL;
	char *key = options->certificate ? read_pem(options->key) : NULL;
	struct MHD_OptionItem tls[] = {
	    {MHD_OPTION_HTTPS_MEM_CERT, 0, certificate},
	    {MHD_OPTION_HTTPS_MEM_KEY, 0, key},
	    {MHD_OPTION_HTTPS_PRIORITIES, 0, "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"},
	    {MHD_OPTION_END, 0, NULL}};

	if (!certificate)
		tls[0].option = MHD_OPTION_END;
	server->daemon = MHD_start_daemon(
	    certificate ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, request_step, NULL,
	    MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_CONNECTION_LIMIT,
	    most_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_BYTES,
	    MHD_OPTION_UNESCAPE_CALLBACK, keep_raw, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 0,
	    MHD_OPTION_NOTIFY_CONNECTION, client_changed, server, MHD_OPTION_NOTIFY_COMPLETED,
	    request_ended, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
	if (server->daemon == NULL)
		die(EXIT_ERROR, "the HTTP server does not start%s",
		    certificate ? "; are certificate and key right?" : "");
	/* The library has copied them. */
	free(certificate);
	free(key);
	loop_watch(&server->io,
	           MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
	           EPOLLIN, library_due, server);
	server->due = true;
}

/* ---- cleaning ---- */

#define CLEANUP_FIRST_MS 60000
#define CLEANUP_MS 3600000

static void clean_up(void *arg);

/* In use just now: an hour later, or a day, will do as well. */
static void
cleaned_up(void *arg, const PGresult *result)
{
	Server *server = arg;

	if (result && query_failed(result))
		log_message(LOG_WARNING, "cleanup_failed", "%s (%s)", query_message(result),
		            query_sqlstate(result));
	loop_timer(&server->cleanup, CLEANUP_MS, clean_up, server);
}

static void
clean_up(void *arg)
{
	Server *server = arg;

	pool_run(&server->pool, QUERY("call baton.cleanup_idempotency_keys()"), cleaned_up,
	         server);
}

/* ---- stopping ---- */

static void
stop_now(void *arg)
{
	Server *server = arg;

	log_message(LOG_WARNING, "stopping", "%d requests are cut off", server->requests);
	loop_stop();
}

/* Nothing new; what runs is finished; who waits for messages gets none. */
static void
stop_asked(void *arg)
{
	Server *server = arg;

	if (server->stopping)
	{
		stop_now(server);
		return;
	}
	server->stopping = true;
	server->due = true;
	loop_timer(&server->last, STOP_LIMIT_MS, stop_now, server);
	gates_close(server);
	polls_end(&server->polls);
	for (Client *client = server->clients; client; client = client->next)
		if (client->request == NULL)
			(void) shutdown(client->fd, SHUT_RDWR);
}

/* The library wants nobody suspended at its end. */
static void
cut_off(Server *server)
{
	for (Client *client = server->clients; client; client = client->next)
		if (client->request && client->request->suspended)
			request_timed_out(client->request);
}

int
server_run(const ServerOptions *options, PGconn *first, PGconn *waiting,
           void (*listening)(const char *url))
{
	Server *server = mem_alloc(sizeof(Server));
	int fd = open_socket(options);
	char *url = url_of(options, fd);
	int most_connections = (int) connection_limit(options);

	server->options = options;
	loop_signal(SIGINT, stop_asked, server);
	loop_signal(SIGTERM, stop_asked, server);
	pool_start(&server->pool, options->pool, first);
	polls_start(&server->polls, server, waiting);
	start_library(server, most_connections);
	gates_open(server, fd, most_connections);
	loop_timer(&server->cleanup, CLEANUP_FIRST_MS, clean_up, server);
	listening(url);
	loop_run(run_library, server);
	gates_close(server);
	cut_off(server);
	loop_unwatch(&server->io);
	MHD_stop_daemon(server->daemon);
	polls_stop(&server->polls);
	pool_stop(&server->pool);
	token_cache_free(&server->tokens);
	free(url);
	free(server);
	return EXIT_OK;
}
