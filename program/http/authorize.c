/*
 * http/authorize.c
 *	  Whether who asks may do what is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "http/internal.h"
#include "pg/query.h"

#define QUEUE_ARGUMENT 0

static void
check_identity(Request *r)
{
	bool of_queue = strstr(r->route->path, "{queue}") != NULL;

	if ((r->who.scopes & r->route->scope) == 0)
		request_problem(r, 403, "this token may not do that");
	else if (of_queue && !identity_may_use(&r->who, r->arguments[QUEUE_ARGUMENT]))
		request_problem(r, 403, "this token is not for this queue");
}

static void
know_token(Request *r, const TokenEntry *entry)
{
	if (entry->who.scopes == 0)
	{
		request_problem(r, 401, "this token is not known, or no longer good");
		return;
	}
	r->who = entry->who;
	if (r->who.queues)
		r->who.queues = mem_copy(r->who.queues);
	check_identity(r);
}

static const char *
bearer(const Request *r)
{
	const char *header = request_header(r, "Authorization");

	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	return header + 7 + strspn(header + 7, " ");
}

static void
token_looked_up(Request *r, const PGresult *result)
{
	unsigned char hash[DIGEST_SIZE];

	digest_of(bearer(r), strlen(bearer(r)), hash);
	know_token(r, token_remember(&r->server->tokens, hash, result));
	if (r->status == 0)
		request_go_on(r);
}

static void
look_token_up(Request *r, const unsigned char hash[DIGEST_SIZE])
{
	char text[DIGEST_TEXT_SIZE];

	digest_text(hash, text);
	request_query(r, QUERY(token_sql, text), token_looked_up);
	request_suspend(r);
}

/* "localhost", "127.0.0.1" or "[::1]", with or without a port. */
static bool
names_loopback(const char *host)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

	for (size_t i = 0; host && i < sizeof(names) / sizeof(names[0]); i++)
	{
		size_t length = strlen(names[i]);

		if (strncasecmp(host, names[i], length) == 0 &&
		    (host[length] == '\0' || host[length] == ':'))
			return true;
	}
	return false;
}

/*
 * Without a token only this machine's own user may come, and no page in that user's
 * browser: those have an Origin, or come by a name that leads here (DNS rebinding).
 */
static bool
is_own_user(Request *r)
{
	Client *client = r->client;

	if (!r->server->options->local_user || request_header(r, "Origin") ||
	    !names_loopback(request_header(r, "Host")))
		return false;
	if (!client->peer_known)
		client->peer_own = peer_is_own_user(client->fd);
	client->peer_known = true;
	return client->peer_own;
}

void
authorize(Request *r)
{
	const char *token = bearer(r);
	unsigned char hash[DIGEST_SIZE];
	const TokenEntry *entry;

	if (r->route->scope == SCOPE_NONE)
		return;
	if (token == NULL)
	{
		r->who.scopes = request_header(r, "Authorization") ? 0 : SCOPES_ALL;
		if (r->who.scopes == 0 || !is_own_user(r))
			request_problem(r, 401, "a token is needed: Authorization: Bearer ...");
		return;
	}
	digest_of(token, strlen(token), hash);
	entry = token_remembered(&r->server->tokens, hash);
	if (entry)
		know_token(r, entry);
	else
		look_token_up(r, hash);
}
