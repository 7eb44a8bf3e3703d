/*
 * http/queues.c
 *	  Queues: made, changed, looked at.
 */
#include <jansson.h>
#include <stdlib.h>

#include "base/die.h"
#include "http/body.h"
#include "http/handlers.h"
#include "http/internal.h"

/* ---- looking ---- */

static const char list_sql[] =
    "select jsonb_build_object('queues', coalesce(json_agg(q order by q.name), '[]')) "
    "from baton.queue q where $1::jsonb is null or $1::jsonb ? q.name";

void
handle_queue_list(Request *r)
{
	request_query(r, QUERY(list_sql, r->who.queues), request_answer_row);
}

static void
answer_queue(Request *r, const PGresult *result)
{
	if (PQntuples(result) == 0)
		request_problem(r, 404, "queue \"%s\" does not exist", r->arguments[0]);
	else
		request_answer_row(r, result);
}

void
handle_queue_get(Request *r)
{
	request_query(
	    r, QUERY("select to_json(q) from baton.queue q where name = $1", r->arguments[0]),
	    answer_queue);
}

/* ---- changing ---- */

/* A policy's fields are arguments of create_queue() and alter_queue() by the same names. */
static const struct
{
	const char *name;
	const char *type;
} policy[] = {
    {"max_attempts", "integer"}, {"max_crashes", "integer"}, {"backoff", "interval"},
    {"backoff_max", "interval"}, {"lease", "interval"},      {"key_in_flight", "integer"},
    {"retention", "interval"},
};

/* clang-format off */
#define POLICY_FIELDS                                                                    \
	{"max_attempts", FIELD_NUMBER, false},                                               \
	{"max_crashes", FIELD_NUMBER, false},                                                \
	{"backoff", FIELD_SPAN, false},                                                      \
	{"backoff_max", FIELD_SPAN, false},                                                  \
	{"lease", FIELD_SPAN, false},                                                        \
	{"key_in_flight", FIELD_NUMBER, false},                                              \
	{"retention", FIELD_SPAN, false}

static const Field create_fields[] = {
	{"name", FIELD_STRING, true},
	{"if_not_exists", FIELD_BOOLEAN, false},
	POLICY_FIELDS,
	{0},
};
/* clang-format on */

static const Field alter_fields[] = {POLICY_FIELDS, {0}};

/* The fields that are there as named arguments, so that the defaults are the extension's. */
static void
add_policy(Text *sql, const json_t *body)
{
	for (size_t i = 0; i < sizeof(policy) / sizeof(policy[0]); i++)
	{
		const json_t *value = json_object_get(body, policy[i].name);

		if (value && !json_is_null(value))
			text_addf(sql, ", %s => ($2::jsonb ->> '%s')::%s", policy[i].name,
			          policy[i].name, policy[i].type);
	}
}

/* The body as an object that was checked; NULL: it is not, which is answered. */
static json_t *
checked_body(Request *r, const Field *fields)
{
	Text complaint = {0};
	json_t *body = NULL;

	if (body_check(text_str(&r->body), r->body.length, SHAPE_OBJECT, fields, &complaint))
		body =
		    json_loadb(text_str(&r->body), r->body.length, JSON_DECODE_INT_AS_REAL, NULL);
	else
		request_problem(r, 400, "the body is wrong: %s", text_str(&complaint));
	text_free(&complaint);
	return body;
}

static void
answer_created(Request *r, const PGresult *result)
{
	request_answer(r, 201, mem_format("%s\n", PQgetvalue(result, 0, 0)));
}

void
handle_queue_create(Request *r)
{
	json_t *body = checked_body(r, create_fields);
	const char *name = json_string_value(json_object_get(body, "name"));
	Text sql = {0};

	if (body == NULL)
		return;
	if (name == NULL)
		request_problem(r, 400, "the body is wrong: \"name\" must be a string");
	else if (!identity_may_use(&r->who, name))
		request_problem(r, 403, "this token is not for this queue");
	else
	{
		text_add(&sql, "select jsonb_build_object('name', $1::text) from "
		               "baton.create_queue($1, if_not_exists => "
		               "coalesce(($2::jsonb ->> 'if_not_exists')::boolean, false)");
		add_policy(&sql, body);
		text_add(&sql, ")");
		request_query(r, QUERY(text_str(&sql), name, text_str(&r->body)), answer_created);
	}
	text_free(&sql);
	json_decref(body);
}

void
handle_queue_alter(Request *r)
{
	json_t *body = checked_body(r, alter_fields);
	Text sql = {0};

	if (body == NULL)
		return;
	text_add(&sql, "select from (select $2::jsonb) b, baton.alter_queue($1");
	add_policy(&sql, body);
	text_add(&sql, ")");
	request_query(r, QUERY(text_str(&sql), r->arguments[0], text_str(&r->body)),
	              request_answer_nothing);
	text_free(&sql);
	json_decref(body);
}

void
handle_queue_drop(Request *r)
{
	request_query(r, QUERY("select baton.drop_queue($1)", r->arguments[0]),
	              request_answer_nothing);
}

void
handle_queue_pause(Request *r)
{
	request_query(r, QUERY("select baton.pause_queue($1)", r->arguments[0]),
	              request_answer_nothing);
}

void
handle_queue_resume(Request *r)
{
	request_query(r, QUERY("select baton.resume_queue($1)", r->arguments[0]),
	              request_answer_nothing);
}

void
handle_queue_purge(Request *r)
{
	request_query(r, QUERY("select baton.purge_queue($1)", r->arguments[0]),
	              request_answer_nothing);
}
