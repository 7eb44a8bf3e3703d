/*
 * http/auth.c
 *	  Who asks: bearer tokens, or nobody but this machine's own user.
 */
#include "http/auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "http/route.h"
#include "pg/query.h"

#define TOKEN_PREFIX "baton_" /* so that scanners for secrets know one */
#define TOKEN_BYTES 32
#define BELIEVE_MS 3000
#define REFUSE_MS 1000 /* an unknown one may have just been made */

/* ---- scopes ---- */

static const struct
{
	const char *name;
	unsigned bit;
} scope_names[] = {
    {"send", SCOPE_SEND},
    {"receive", SCOPE_RECEIVE},
    {"inspect", SCOPE_INSPECT},
    {"manage", SCOPE_MANAGE},
};

#define SCOPE_COUNT (sizeof(scope_names) / sizeof(scope_names[0]))

static unsigned
scope_bit(const char *name, size_t length)
{
	for (size_t i = 0; i < SCOPE_COUNT; i++)
		if (strlen(scope_names[i].name) == length &&
		    strncmp(scope_names[i].name, name, length) == 0)
			return scope_names[i].bit;
	return 0;
}

unsigned
scopes_parse(const char *list)
{
	unsigned scopes = 0;

	for (;;)
	{
		size_t length = strcspn(list, ",");
		unsigned bit = scope_bit(list, length);

		if (bit == 0)
			return 0;
		scopes |= bit;
		if (list[length] == '\0')
			return scopes;
		list += length + 1;
	}
}

void
scopes_array(unsigned scopes, Text *out)
{
	text_add_char(out, '{');
	for (size_t i = 0; i < SCOPE_COUNT; i++)
		if (scopes & scope_names[i].bit)
			text_addf(out, "%s%s", out->data[out->length - 1] == '{' ? "" : ",",
			          scope_names[i].name);
	text_add_char(out, '}');
}

bool
identity_may_use(const Identity *who, const char *queue)
{
	json_t *queues;
	json_t *name;
	size_t i;
	bool found = false;

	if (who->queues == NULL)
		return true;
	queues = json_loads(who->queues, 0, NULL);
	json_array_foreach(queues, i, name) found =
	    found || strcmp(json_string_value(name), queue) == 0;
	json_decref(queues);
	return found;
}

/* ---- tokens ---- */

char *
token_new(void)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char bytes[TOKEN_BYTES + 1] = {0};
	Text token = {0};

	if (getrandom(bytes, TOKEN_BYTES, 0) != TOKEN_BYTES)
		die(EXIT_ERROR, "getrandom: %s", strerror(errno));
	text_add(&token, TOKEN_PREFIX);
	for (int bit = 0; bit < 8 * TOKEN_BYTES; bit += 6)
	{
		unsigned pair = bytes[bit / 8] << 8 | bytes[bit / 8 + 1];

		text_add_char(&token, digits[pair >> (10 - bit % 8) & 63]);
	}
	return text_take(&token);
}

/* ---- what is remembered ---- */

const char token_sql[] = "select name, array_to_string(scopes, ','), to_json(queues), "
                         "coalesce(ceil(1000 * extract(epoch from expires_at - "
                         "clock_timestamp())), 3600000)::int8 "
                         "from baton.token where hash = $1::bytea and (expires_at > "
                         "clock_timestamp()) is not false";

/* Where a hash has its place; hashes are as good as random. */
static TokenEntry *
entry_of(TokenCache *cache, const unsigned char *hash)
{
	return &cache->entries[(hash[0] << 8 | hash[1]) % TOKEN_ENTRIES];
}

const TokenEntry *
token_remembered(TokenCache *cache, const unsigned char hash[DIGEST_SIZE])
{
	TokenEntry *entry = entry_of(cache, hash);

	if (entry->until <= clock_ms() || memcmp(entry->hash, hash, DIGEST_SIZE) != 0)
		return NULL;
	return entry;
}

const TokenEntry *
token_remember(TokenCache *cache, const unsigned char hash[DIGEST_SIZE],
               const PGresult *result)
{
	TokenEntry *entry = entry_of(cache, hash);
	int64_t most = REFUSE_MS;

	free(entry->queues);
	*entry = (TokenEntry){0};
	memcpy(entry->hash, hash, DIGEST_SIZE);
	if (PQntuples(result) == 1)
	{
		const char *queues = query_value(result, 0, 2);
		int64_t left = strtoll(PQgetvalue(result, 0, 3), NULL, 10);

		strncpy(entry->who.name, PQgetvalue(result, 0, 0), sizeof(entry->who.name) - 1);
		entry->who.scopes = scopes_parse(PQgetvalue(result, 0, 1));
		entry->queues = queues ? mem_copy(queues) : NULL;
		entry->who.queues = entry->queues;
		most = left < BELIEVE_MS ? left : BELIEVE_MS;
	}
	entry->until = clock_ms() + most;
	return entry;
}

void
token_cache_free(TokenCache *cache)
{
	for (int i = 0; i < TOKEN_ENTRIES; i++)
		free(cache->entries[i].queues);
}

/* ---- the other end of a socket ---- */

/* Fills in how the kernel knows the other end's socket; false: not a loopback address. */
static bool
other_end(int fd, struct inet_diag_sockid *id, int *family)
{
	struct sockaddr_storage ends[2]; /* theirs, ours */
	socklen_t sizes[2] = {sizeof(ends[0]), sizeof(ends[1])};

	memset(ends, 0, sizeof(ends));
	if (getpeername(fd, (struct sockaddr *) &ends[0], &sizes[0]) != 0 ||
	    getsockname(fd, (struct sockaddr *) &ends[1], &sizes[1]) != 0)
		return false;
	*family = ends[0].ss_family;
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (*family == AF_INET)
	{
		const struct sockaddr_in *in[2] = {(void *) &ends[0], (void *) &ends[1]};

		id->idiag_sport = in[0]->sin_port;
		id->idiag_dport = in[1]->sin_port;
		id->idiag_src[0] = in[0]->sin_addr.s_addr;
		id->idiag_dst[0] = in[1]->sin_addr.s_addr;
		return ntohl(in[0]->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (*family == AF_INET6)
	{
		const struct sockaddr_in6 *in[2] = {(void *) &ends[0], (void *) &ends[1]};

		id->idiag_sport = in[0]->sin6_port;
		id->idiag_dport = in[1]->sin6_port;
		memcpy(id->idiag_src, &in[0]->sin6_addr, 16);
		memcpy(id->idiag_dst, &in[1]->sin6_addr, 16);
		return IN6_IS_ADDR_LOOPBACK(&in[0]->sin6_addr);
	}
	return false;
}

typedef struct DiagRequest
{
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
} DiagRequest;

/* The user of the socket with that id; false: the kernel doesn't say. */
static bool
socket_user(int netlink, const DiagRequest *request, uid_t *user)
{
	union
	{
		struct nlmsghdr header;
		char bytes[4096];
	} answer;
	const struct inet_diag_msg *found = NLMSG_DATA(&answer.header);
	ssize_t length;

	if (send(netlink, request, sizeof(*request), 0) != sizeof(*request))
		return false;
	length = recv(netlink, &answer, sizeof(answer), 0);
	if (length < (ssize_t) NLMSG_LENGTH(sizeof(*found)) ||
	    answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	*user = found->idiag_uid;
	return true;
}

bool
peer_is_own_user(int fd)
{
	DiagRequest request = {.header = {.nlmsg_len = sizeof(DiagRequest),
	                                  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
	                                  .nlmsg_flags = NLM_F_REQUEST},
	                       .body = {.sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U}};
	int family;
	int netlink;
	uid_t user;
	bool known;

	if (!other_end(fd, &request.body.id, &family))
		return false;
	netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (netlink < 0)
		return false;
	request.body.sdiag_family = family;
	known = socket_user(netlink, &request, &user);
	close(netlink);
	return known && (user == geteuid() || user == 0);
}
