/*
 * commands/token.c
 *	  baton token: who may use the HTTP API.
 *
 * A token is shown once, when it is made; the database has its hash only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "commands/command.h"
#include "http/auth.h"
#include "http/digest.h"
#include "pg/array.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

static struct
{
	const char *scopes;
	const char *queues;
	const char *expires_in;
	bool json;
} asked;

/* ---- create ---- */

/* "a,b" as an array; queue names with a comma can't be said here. */
static void
add_names(Text *array, const char *list)
{
	for (;;)
	{
		size_t length = strcspn(list, ",");

		array_add_bytes(array, list, length);
		if (list[length] == '\0')
			return;
		list += length + 1;
	}
}

static const char create_sql[] =
    "insert into baton.token (name, hash, scopes, queues, expires_at) "
    "values ($1, $2::bytea, $3::text[], $4::text[], clock_timestamp() + $5::interval)";

static void
insert_token(const char *name, const char *token, unsigned scopes)
{
	unsigned char hash[DIGEST_SIZE];
	char hash_text[DIGEST_TEXT_SIZE];
	Text scope_array = {0};
	Text queue_array = {0};
	PGconn *conn = connection_open("baton token");

	digest_of(token, strlen(token), hash);
	digest_text(hash, hash_text);
	scopes_array(scopes, &scope_array);
	if (asked.queues)
		add_names(&queue_array, asked.queues);
	PQclear(query_run(conn, QUERY(create_sql, name, hash_text, text_str(&scope_array),
	                              asked.queues ? array_done(&queue_array) : NULL,
	                              asked.expires_in)));
	text_free(&scope_array);
	text_free(&queue_array);
	PQfinish(conn);
}

static int
run_create(int argc, char **argv)
{
	unsigned scopes = asked.scopes ? scopes_parse(asked.scopes) : 0;
	char *token;

	(void) argc;
	if (asked.scopes == NULL)
		usage_error(&command_token_create, "what it may do is missing: --scopes");
	if (scopes == 0)
		usage_error(&command_token_create,
		            "--scopes takes %s, with commas between, not \"%s\"",
		            "send, receive, inspect, manage", asked.scopes);
	token = token_new();
	insert_token(argv[0], token, scopes);
	puts(token);
	print_flush();
	free(token);
	return EXIT_OK;
}

/* ---- list ---- */

static const char list_table[] =
    "select name, array_to_string(scopes, ',') as scopes, "
    "coalesce(array_to_string(queues, ','), '(all)') as queues, "
    "date_trunc('second', created_at)::text as created, "
    "coalesce(date_trunc('second', expires_at)::text, 'never') as expires "
    "from baton.token order by name";

static const char list_json[] =
    "select to_jsonb(t) - 'hash' from baton.token t order by name";

static int
run_list(int argc, char **argv)
{
	PGconn *conn = connection_open("baton token");
	PGresult *list = query_run(conn, QUERY(asked.json ? list_json : list_table));

	(void) argc, (void) argv;
	if (asked.json)
		print_lines(list);
	else if (PQntuples(list) > 0)
		print_table(list);
	else if (!want_quiet)
		fputs("no tokens yet: baton token create NAME --scopes send,receive\n", stderr);
	print_flush();
	PQclear(list);
	PQfinish(conn);
	return EXIT_OK;
}

/* ---- revoke ---- */

static int
run_revoke(int argc, char **argv)
{
	PGconn *conn = connection_open("baton token");
	PGresult *done =
	    query_run(conn, QUERY("delete from baton.token where name = $1", argv[0]));

	(void) argc;
	if (strcmp(PQcmdTuples(done), "0") == 0)
		die_hint(EXIT_ERROR, "\"baton token list\" lists them.",
		         "there is no token named \"%s\"", argv[0]);
	PQclear(done);
	PQfinish(conn);
	return EXIT_OK;
}

/* ---- the commands ---- */

static const Option create_options[] = {
    {"scopes", 's', OPTION_STRING, "LIST", &asked.scopes, 0, 0,
     "what it may do: send, receive, inspect, manage"},
    {"queues", 0, OPTION_STRING, "LIST", &asked.queues, 0, 0,
     "the queues it is for (all)"},
    {"expires-in", 0, OPTION_STRING, "TIME", &asked.expires_in, 0, 0,
     "no longer good after this time: '90 days' (never)"},
    {0},
};

static const Option list_options[] = {
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0, "a JSON object a line"},
    {0},
};

static const char *const create_examples[] = {
    "baton token create shop --scopes send --queues mail,payments --expires-in '90 days'",
    "baton token create ops --scopes inspect,manage",
    NULL,
};
static const char *const list_examples[] = {"baton token list", NULL};
static const char *const revoke_examples[] = {"baton token revoke shop", NULL};

const Command command_token_create = {
    .name = "token create",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "make a token for the HTTP API, and print it",
    .description = "It is shown this once: the database keeps a hash. Lists have commas "
                   "between.",
    .options = create_options,
    .examples = create_examples,
    .connects = true,
    .run = run_create,
};

const Command command_token_list = {
    .name = "token list",
    .arguments = "",
    .summary = "list the tokens: what they may do, and until when",
    .options = list_options,
    .examples = list_examples,
    .connects = true,
    .run = run_list,
};

const Command command_token_revoke = {
    .name = "token revoke",
    .arguments = "NAME",
    .least = 1,
    .most = 1,
    .summary = "end a token; servers take it for some seconds more at most",
    .examples = revoke_examples,
    .connects = true,
    .run = run_revoke,
};
