/*
 * http/messages.c
 *	  Sending, and looking at one message.
 */
#include "http/messages.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "http/handlers.h"
#include "http/internal.h"

const Field message_fields[] = {
    {"payload", FIELD_ANY, true},        {"headers", FIELD_OBJECT, false},
    {"priority", FIELD_NUMBER, false},   {"delay", FIELD_SPAN, false},
    {"deliver_at", FIELD_STRING, false}, {"expires_in", FIELD_SPAN, false},
    {"key", FIELD_STRING, false},        {0}};

/* Of message m, with $3 beneath its headers. */
#define HEADERS                                                                          \
	"coalesce($3::jsonb || nullif(m -> 'headers', 'null'), "                             \
	"nullif(m -> 'headers', 'null'), $3::jsonb)"

static const char send_sql[] =
    "select jsonb_build_object('id', baton.send($1, m -> 'payload', " HEADERS ", "
    "coalesce((m ->> 'priority')::integer, 0), (m ->> 'delay')::interval, "
    "(m ->> 'deliver_at')::timestamptz, (m ->> 'expires_in')::interval, m ->> 'key')) "
    "from (select $2::jsonb) x(m)";

#define BATCH                                                                            \
	" from (select array_agg(m -> 'payload') as payloads, array_agg(" HEADERS            \
	") as headers, array_agg((m ->> 'priority')::integer) as priority, "                 \
	"array_agg((m ->> 'delay')::interval) as delay, "                                    \
	"array_agg((m ->> 'deliver_at')::timestamptz) as deliver_at, "                       \
	"array_agg((m ->> 'expires_in')::interval) as expires_in, "                          \
	"array_agg(m ->> 'key') as key from jsonb_array_elements($2::jsonb) m) a, "          \
	"baton.send_batch($1, payloads, headers, priority, delay, deliver_at, expires_in, "  \
	"key) id"

static const char send_array_sql[] =
    "select jsonb_build_object('ids', json_agg(id))" BATCH;
const char send_lines_sql[] = "select count(*)" BATCH;

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

void
handle_send(Request *r)
{
	const char *body = text_str(&r->body);
	Text complaint = {0};
	BodyShape shape = body_check(body, r->body.length, SHAPE_OBJECT | SHAPE_ARRAY,
	                             message_fields, &complaint);
	char *trace = messages_trace(r);

	if (shape == 0)
		request_problem(r, 400, "the body is wrong: %s", text_str(&complaint));
	else
		request_query(r,
		              QUERY(shape == SHAPE_ARRAY ? send_array_sql : send_sql,
		                    r->arguments[0], body, trace),
		              answer_sent);
	text_free(&complaint);
	free(trace);
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
