/*
 * http/service.c
 *	  How the service is.
 */
#include "base/die.h"
#include "http/handlers.h"
#include "http/internal.h"

void
handle_alive(Request *r)
{
	request_answer(r, 200, mem_copy("{\"status\": \"ok\"}\n"));
}

void
handle_ready(Request *r)
{
	if (r->server->stopping)
		request_problem(r, 503, "stopping");
	else
		request_query(r, QUERY("select jsonb_build_object('status', 'ok')"),
		              request_answer_row);
}

/* Sums over the queues a token is for. */
static const char stats_sql[] =
    "select jsonb_build_object('queues', (select to_json(t) from ("
    "select count(*) as count, count(*) filter (where paused) as paused, "
    "coalesce(sum(ready), 0) as ready, coalesce(sum(delayed), 0) as delayed, "
    "coalesce(sum(in_flight), 0) as in_flight, coalesce(sum(blocked), 0) as blocked, "
    "min(oldest) as oldest, coalesce(sum(sent), 0) as sent, "
    "coalesce(sum(delivered), 0) as delivered, coalesce(sum(completed), 0) as completed, "
    "coalesce(sum(failed), 0) as failed, coalesce(sum(vanished), 0) as vanished, "
    "coalesce(sum(dead), 0) as dead "
    "from baton.queue where $1::jsonb is null or $1::jsonb ? name) t), "
    "'health', (select coalesce(json_agg(h), '[]') from baton.health h))";

void
handle_stats(Request *r)
{
	request_query(r, QUERY(stats_sql, r->who.queues), request_answer_row);
}
