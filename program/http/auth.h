/*
 * http/auth.h
 *	  Who asks: bearer tokens, or nobody but this machine's own user.
 *
 * Tokens are kept as SHA-256 in baton.token.  What was looked up is believed for a few
 * seconds, so a token that is revoked stops working that soon.
 */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libpq-fe.h>

#include "base/text.h"
#include "http/digest.h"

#define SCOPES_ALL 15

/* What a request may do. */
typedef struct Identity
{
	char name[64];      /* of the token; "" without one */
	unsigned scopes;    /* Scope bits */
	const char *queues; /* a JSON array of names; NULL: all */
} Identity;

/* Its token is for this queue too. */
extern bool identity_may_use(const Identity *who, const char *queue);

/* One look-up that is remembered. */
typedef struct TokenEntry
{
	unsigned char hash[DIGEST_SIZE];
	int64_t until; /* clock_ms(); 0: empty */
	Identity who;  /* scopes 0: there is no such token */
	char *queues;  /* owned */
} TokenEntry;

#define TOKEN_ENTRIES 1024

typedef struct TokenCache
{
	TokenEntry entries[TOKEN_ENTRIES];
} TokenCache;

/* "send,receive" to bits; 0: a name that isn't one, or none. */
extern unsigned scopes_parse(const char *list);

/* Bits to "{send,receive}", an array's text. */
extern void scopes_array(unsigned scopes, Text *out);

/* A new token, 256 random bits as text; caller frees. */
extern char *token_new(void);

/* The statement that looks a hash up, $1. */
extern const char token_sql[];

/* What is remembered of a hash; NULL: nothing that is still to be believed. */
extern const TokenEntry *token_remembered(TokenCache *cache,
                                          const unsigned char hash[DIGEST_SIZE]);

/* Remembers token_sql's answer, and returns it. */
extern const TokenEntry *token_remember(TokenCache *cache,
                                        const unsigned char hash[DIGEST_SIZE],
                                        const PGresult *result);

extern void token_cache_free(TokenCache *cache);

/*
 * True if the other end of the connected socket is on this machine, by a loopback
 * address, and belongs to this process's user or to root; as "peer" in pg_hba.conf.
 */
extern bool peer_is_own_user(int fd);

#endif
