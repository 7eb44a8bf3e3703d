/*
 * http/library.c
 *	  What the library answers by itself: with a problem document instead.
 *
 * What its parser refuses never gets to request_step(): a head that is malformed or doesn't fit in its memory, a chunk that
 * is none.  The library answers with a page in HTML, and has no hook for that.  But it does so by its
 * own public MHD_queue_response(), which it calls as any other function of a shared library: the dynamic linker takes
 * the program's where the program has one, as with malloc().  Were it not called so, the pages in HTML would be back
 * (http_bad_input.pl would tell), and nothing worse.
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include "http/internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>

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

static const char *
detail_of(int status)
{
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++)
		if (details[i].status == status)
			return details[i].detail;
	return NULL;
}

enum MHD_Result
library_queue(struct MHD_Connection *connection, int status,
              struct MHD_Response *response)
{
	static enum MHD_Result (*queue)(struct MHD_Connection *, unsigned,
	                                struct MHD_Response *);

	if (queue == NULL)
		*(void **) &queue = dlsym(RTLD_NEXT, "MHD_queue_response");
	return queue(connection, (unsigned) status, response);
}

/* The answer before it was read to its end, so there is room for this one, or nobody is there. */
static void
send_now(const Client *client, const char *answer)
{
	if (client->server->options->certificate)
	{
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		    client->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

		(void) gnutls_record_send(info->tls_session, answer, strlen(answer));
	}
	else
		(void) send(client->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * Called by the library only: we call library_queue().  MHD_NO has it close the connection.  (Queued, some of these
 * answers would get their headers twice: 0.9.75 goes on with a request whose Content-Length it has just refused.)
 */
enum MHD_Result
MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                   struct MHD_Response *page)
{
	const Client *client =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
	        ->socket_context;
	char *answer = problem_answer((int) status, detail_of((int) status));

	(void) page;
	log_message(LOG_DEBUG, "refused", "%u: %s", status, status_name((int) status));
	if (client->request) /* its head was well formed */
		client->request->status = (int) status;
	else
		counters_add(NULL, (int) status, 0);
	send_now(client, answer);
	free(answer);
	return MHD_NO;
}
