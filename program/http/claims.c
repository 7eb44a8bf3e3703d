/*
 * http/claims.c
 *	  What becomes of a claim.
 */
#include "base/die.h"
#include "http/body.h"
#include "http/handlers.h"
#include "http/internal.h"

/*
 * A token for some queues settles claims of these only.  Of a claim that is lost the
 * queue isn't known: then the verb says that it is lost.
 */
#define OF_OWN_QUEUE " where coalesce($3::jsonb ? baton.receipt_queue($1), true)"

/* One row if it was done; none: the token isn't for the claim's queue. */
static void
answer_settled(Request *r, const PGresult *result)
{
	if (PQntuples(result) == 0)
		request_problem(r, 403, "this token is not for this queue");
	else if (PQgetisnull(result, 0, 0))
		request_answer(r, 204, NULL);
	else
		request_answer(r, 200, mem_format("%s\n", PQgetvalue(result, 0, 0)));
}

/* $1 receipt, $2 body or null, $3 the token's queues or null */
static void
settle(Request *r, const Field *fields, bool body_required, const char *sql)
{
	const char *body = r->body.length > 0 ? text_str(&r->body) : NULL;
	Text complaint = {0};

	if (body == NULL && body_required)
		request_problem(r, 400, "a body is missing");
	else if (body && !body_check(body, r->body.length, SHAPE_OBJECT, fields, &complaint))
		request_problem(r, 400, "the body is wrong: %s", text_str(&complaint));
	else
		request_query(r, QUERY(sql, r->arguments[0], body, r->who.queues),
		              answer_settled);
	text_free(&complaint);
}

/* Functions that return nothing give '' for void: their answer has no body. */

void
handle_complete(Request *r)
{
	static const Field fields[] = {{"result", FIELD_ANY, false}, {0}};

	settle(r, fields, false,
	       "select nullif(baton.complete($1, $2::jsonb -> 'result')::text, "
	       "'')" OF_OWN_QUEUE);
}

void
handle_fail(Request *r)
{
	static const Field fields[] = {{"error", FIELD_STRING, true},
	                               {"retry_in", FIELD_SPAN, false},
	                               {"retry", FIELD_BOOLEAN, false},
	                               {0}};

	settle(r, fields, true,
	       "select jsonb_build_object('retry_at', baton.fail($1, "
	       "coalesce($2::jsonb ->> 'error', ''), ($2::jsonb ->> 'retry_in')::interval, "
	       "coalesce(($2::jsonb ->> 'retry')::boolean, true)))" OF_OWN_QUEUE);
}

void
handle_release(Request *r)
{
	static const Field fields[] = {{"delay", FIELD_SPAN, false}, {0}};

	settle(r, fields, false,
	       "select nullif(baton.release($1, coalesce(($2::jsonb ->> 'delay')::interval, "
	       "'0'))::text, '')" OF_OWN_QUEUE);
}

void
handle_extend(Request *r)
{
	static const Field fields[] = {{"lease", FIELD_SPAN, true}, {0}};

	settle(r, fields, true,
	       "select jsonb_build_object('lease_until', baton.extend($1, "
	       "($2::jsonb ->> 'lease')::interval))" OF_OWN_QUEUE);
}
