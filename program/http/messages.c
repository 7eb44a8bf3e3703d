/*
 * http/messages.c
 *	  Sending, and looking at one message.
 */
#include "http/messages.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "http/body.h"
#include "http/digest.h"
#include "http/handlers.h"
#include "http/internal.h"

#define KEY_MOST 255

/* Of message m, with $3 beneath its headers. */
#define HEADERS                                                                          \
	"coalesce($3::jsonb || nullif(m -> 'headers', 'null'), "                             \
	"nullif(m -> 'headers', 'null'), $3::jsonb)"

/* clang-format off */
static const char send_sql[] =
	"select jsonb_build_object('id', baton.send($1, m -> 'payload', " HEADERS ", "
	"coalesce((m ->> 'priority')::integer, 0), (m ->> 'delay')::interval, "
	"(m ->> 'deliver_at')::timestamptz, (m ->> 'expires_in')::interval, m ->> 'key')) "
	"from (select $2::jsonb) x(m)";

/* Ids of what a function sends that takes the fields of messages as arrays. */
#define IDS(messages, function)                                                          \
	" from (select array_agg(m -> 'payload') as payloads, array_agg(" HEADERS            \
	") as headers, array_agg((m ->> 'priority')::integer) as priority, "                 \
	"array_agg((m ->> 'delay')::interval) as delay, "                                    \
	"array_agg((m ->> 'deliver_at')::timestamptz) as deliver_at, "                       \
	"array_agg((m ->> 'expires_in')::interval) as expires_in, "                          \
	"array_agg(m ->> 'key') as key from jsonb_array_elements(" messages ") m) a, "       \
	function "payloads, headers, priority, delay, deliver_at, expires_in, key) id"

#define SEND_BATCH "baton.send_batch($1, "
#define SEND_ONCE "baton.send_once($1, $4, $5::bytea, "

static const char send_array_sql[] =
	"select jsonb_build_object('ids', jsonb_agg(id))" IDS("$2::jsonb", SEND_BATCH);

static const char once_sql[] =
	"select jsonb_build_object('id', id)" IDS("jsonb_build_array($2::jsonb)", SEND_ONCE);

static const char once_array_sql[] =
	"select jsonb_build_object('ids', jsonb_agg(id))" IDS("$2::jsonb", SEND_ONCE);

const char send_lines_sql[] = "select count(*)" IDS("$2::jsonb", SEND_BATCH);
/* clang-format on */

/* Headers of the request that travel with a message, as the W3C's trace context has them. */
char *
messages_trace(const Request *r)
{
	static const char *const names[] = {"traceparent", "tracestate", "baggage"};
	Text json = {0};
	Text clean = {0};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *value = request_header(r, names[i]);

		if (value == NULL)
			continue;
		text_addf(&json, "%s\"%s\": ", json.length ? ", " : "{", names[i]);
		text_clear(&clean);
		text_add_clean(&clean, value, strlen(value));
		text_add_json(&json, text_str(&clean));
	}
	text_free(&clean);
	if (json.length == 0)
		return NULL;
	text_add_char(&json, '}');
	return text_take(&json);
}

static void
answer_sent(Request *r, const PGresult *result)
{
	request_answer(r, 201, mem_format("%s\n", PQgetvalue(result, 0, 0)));
}

bool
messages_key(Request *r, const char **key)
{
	size_t length;

	*key = request_header(r, "Idempotency-Key");
	if (*key == NULL)
		return true;
	length = strlen(*key);
	for (size_t i = 0; i < length; i++)
		if ((*key)[i] < ' ' || (*key)[i] > '~')
			length = 0;
	if (length > 0 && length <= KEY_MOST)
		return true;
	request_problem(r, 400, "Idempotency-Key must be 1 to %d printable ASCII characters",
	                KEY_MOST);
	return false;
}

static void
send_checked(Request *r, BodyShape shape, const char *key)
{
	const char *body = text_str(&r->body);
	char *trace = messages_trace(r);
	unsigned char hash[DIGEST_SIZE];
	char hash_text[DIGEST_TEXT_SIZE];

	if (key)
	{
		digest_of(body, r->body.length, hash);
		digest_text(hash, hash_text);
		request_query(r,
		              QUERY(shape == SHAPE_ARRAY ? once_array_sql : once_sql,
		                    r->arguments[0], body, trace, key, hash_text),
		              answer_sent);
	}
	else
		request_query(r,
		              QUERY(shape == SHAPE_ARRAY ? send_array_sql : send_sql,
		                    r->arguments[0], body, trace),
		              answer_sent);
	free(trace);
}

void
handle_send(Request *r)
{
	Text complaint = {0};
	const char *key;
	BodyShape shape = body_check(text_str(&r->body), r->body.length,
	                             SHAPE_OBJECT | SHAPE_ARRAY, message_fields, &complaint);

	if (shape == 0)
		request_problem(r, 400, "the body is wrong: %s", text_str(&complaint));
	else if (messages_key(r, &key))
		send_checked(r, shape, key);
	text_free(&complaint);
}

static const char message_sql[] =
    "select to_jsonb(m) || jsonb_build_object('history', coalesce((select "
    "jsonb_agg(to_jsonb(l) - 'message_id' - 'queue' order by l.id) "
    "from baton.queue_log l where l.message_id = m.id), '[]')) "
    "from baton.get($1, $2::bigint) m";

static void
answer_message(Request *r, const PGresult *result)
{
	if (PQntuples(result) == 0)
		request_problem(r, 404, "there is no message %s in queue \"%s\"", r->arguments[1],
		                r->arguments[0]);
	else
		request_answer_row(r, result);
}

void
handle_message(Request *r)
{
	request_query(r, QUERY(message_sql, r->arguments[0], r->arguments[1]),
	              answer_message);
}
