/*
 * http/library.c
 *	  What the library would answer in its own words, or not at all: with a problem document.
 *
 * Its parser meets a request before request_step() does.  What it refuses it answers with a page in HTML, or closes the
 * connection without a word, and it has no hook for either.  But what it does to a connection it does by public functions,
 * as any other program: the dynamic linker takes the program's where the program has one, as with malloc().
 *
 *		recv, gnutls_record_recv  it has read: a request has begun to come
 *		MHD_queue_response        it answers by itself
 *		shutdown, gnutls_bye      it closes
 *
 * Were they not called so, the pages and the silence would be back (http_bad_input.pl and http_slow.pl would tell), and
 * nothing worse.
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include "http/internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "http/counters.h"
#include "http/problem.h"

static const struct
{
	int status;
	const char *detail;
} details[] = {
    {400, "this is not a well-formed HTTP request"},
    {413, "the body is too large"},
    {414, "the path and the query are too long"},
    {431, "the headers are too large"},
    {505, "HTTP/1.1 is spoken here"},
};

/* The library's connections by descriptor. */
static Client **clients;
static int client_room;

static const char *
detail_of(int status)
{
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++)
		if (details[i].status == status)
			return details[i].detail;
	return NULL;
}

/* ---- connections by descriptor ---- */

void
library_add(Client *client)
{
	int room = client_room ? client_room : 64;

	while (room <= client->fd)
		room *= 2;
	if (room > client_room)
	{
		clients = mem_resize(clients, (size_t) room * sizeof(Client *));
		memset(clients + client_room, 0, (size_t) (room - client_room) * sizeof(Client *));
		client_room = room;
	}
	clients[client->fd] = client;
}

void
library_remove(const Client *client)
{
	clients[client->fd] = NULL;
}

/* NULL: it is none of the library's. */
static Client *
client_of(int fd)
{
	return fd >= 0 && fd < client_room ? clients[fd] : NULL;
}

static bool
has_tls(const Client *client)
{
	return client->server->options->certificate != NULL;
}

/* ---- answers ---- */

static void
send_now(const Client *client, const char *answer)
{
	if (has_tls(client))
	{
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		    client->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

		(void) gnutls_record_send(info->tls_session, answer, strlen(answer));
	}
	else
		(void) send(client->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void
client_last_words(Client *client, int status, const char *problem)
{
	char *answer = problem_answer(status, problem);

	client->told = true;
	if (client->request) /* which counts it at its end */
		client->request->status = status;
	else
		counters_add(NULL, status, client->heard ? clock_us() - client->heard : 0);
	send_now(client, answer);
	free(answer);
}

void
client_refuse(Client *client, int status, const char *detail)
{
	char *problem;

	if (client->told)
		return;
	problem = problem_make(status, detail);
	log_message(LOG_DEBUG, "refused", "%d: %s", status, detail ? detail : status_name(status));
	client_last_words(client, status, problem);
	free(problem);
}

/* ---- what the library calls ---- */

/* The function that would be called if the program had none of that name. */
static void *
next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		die(EXIT_ERROR, "no function %s: %s", name, dlerror());
	return function;
}

static void
has_read(Client *client, ssize_t bytes)
{
	if (bytes > 0 && client->request == NULL && client->heard == 0)
		client->heard = clock_us();
}

static void
closes(Client *client)
{
	if (client->heard != 0 && !client->server->stopping)
		client_refuse(client, 400, detail_of(400));
}

/*
 * After less than it has asked for the library waits for news, but the end may have come together with the last bytes, and then
 * there are none.  Closing what is closed already changes nothing, and is news.
 */
static void
has_read_all(int fd)
{
	if (gate_sends_no_more(fd))
		(void) shutdown(fd, SHUT_RD);
}

ssize_t
recv(int fd, void *buffer, size_t size, int flags)
{
	static __typeof__(recv) *function;
	Client *client = client_of(fd);
	ssize_t bytes;

	if (function == NULL)
		*(void **) &function = next("recv");
	bytes = function(fd, buffer, size, flags);
	if (client && !has_tls(client))
	{
		has_read(client, bytes);
		if (bytes > 0 && (size_t) bytes < size)
			has_read_all(fd);
	}
	return bytes;
}

ssize_t
gnutls_record_recv(gnutls_session_t session, void *buffer, size_t size)
{
	static __typeof__(gnutls_record_recv) *function;
	Client *client = client_of(gnutls_transport_get_int(session));
	ssize_t bytes;

	if (function == NULL)
		*(void **) &function = next("gnutls_record_recv");
	bytes = function(session, buffer, size);
	if (client)
		has_read(client, bytes);
	return bytes;
}

/* The program's own calls, for what isn't to be said anything more, have SHUT_RDWR. */
int
shutdown(int fd, int how)
{
	static __typeof__(shutdown) *function;
	Client *client = client_of(fd);

	if (function == NULL)
		*(void **) &function = next("shutdown");
	if (client && !has_tls(client) && how == SHUT_WR)
		closes(client);
	return function(fd, how);
}

int
gnutls_bye(gnutls_session_t session, gnutls_close_request_t how)
{
	static __typeof__(gnutls_bye) *function;
	Client *client = client_of(gnutls_transport_get_int(session));

	if (function == NULL)
		*(void **) &function = next("gnutls_bye");
	if (client)
		closes(client);
	return function(session, how);
}

/*
 * MHD_NO has it close the connection.  (Queued, some of these answers would get their headers twice: 0.9.75 goes on with
 * a request whose Content-Length it has just refused.)
 */
enum MHD_Result
MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                   struct MHD_Response *page)
{
	Client *client =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
	        ->socket_context;

	(void) page;
	client_refuse(client, (int) status, detail_of((int) status));
	return MHD_NO;
}

enum MHD_Result
library_queue(struct MHD_Connection *connection, int status,
              struct MHD_Response *response)
{
	static __typeof__(MHD_queue_response) *function;

	if (function == NULL)
		*(void **) &function = next("MHD_queue_response");
	return function(connection, (unsigned) status, response);
}
