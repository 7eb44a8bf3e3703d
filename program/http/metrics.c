/*
 * http/metrics.c
 *	  GET /metrics: what Prometheus reads, of the queues and of this server itself.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/counters.h"
#include "http/handlers.h"
#include "http/internal.h"
#include "metrics/format.h"
#include "metrics/scrape.h"

#define STATUSES 600

static void
add_number(const Metric *metric, const char *labels, uint64_t number, Text *out)
{
	char value[32];

	snprintf(value, sizeof(value), "%llu", (unsigned long long) number);
	format_sample(out, metric->name, labels, value);
}

static int
count_clients(const Server *server)
{
	int n = 0;

	for (const Client *c = server->clients; c; c = c->next)
		n++;
	return n;
}

/* Labels of routes[route]; route_count: of requests that had no route. */
static void
route_labels(int route, Text *labels)
{
	text_clear(labels);
	format_label(labels, "method", route < route_count ? routes[route].method : "");
	format_label(labels, "route", route < route_count ? routes[route].path : "");
}

static void
add_requests(const Metric *metric, Text *out)
{
	Text labels = {0};
	char code[16];

	for (int route = 0; route <= route_count; route++)
		for (int status = 0; status < STATUSES; status++)
		{
			uint64_t count = counters_status(route, status);

			if (count == 0)
				continue;
			snprintf(code, sizeof(code), "%d", status);
			route_labels(route, &labels);
			format_label(&labels, "code", code);
			add_number(metric, text_str(&labels), count, out);
		}
	text_free(&labels);
}

static void
add_times(const Metric *metric, Text *out)
{
	Text labels = {0};
	char bound_text[COUNTER_BUCKETS][16];
	const char *bounds[COUNTER_BUCKETS];
	char sum[32];

	for (int i = 0; i < COUNTER_BUCKETS; i++)
	{
		snprintf(bound_text[i], sizeof(bound_text[i]), "%g", counter_bounds[i] / 1e6);
		bounds[i] = bound_text[i];
	}
	for (int route = 0; route <= route_count; route++)
	{
		const RouteCounters *counters = counters_of(route);

		route_labels(route, &labels);
		snprintf(sum, sizeof(sum), "%.6f", counters->us / 1e6);
		format_histogram(out, metric->name, text_str(&labels), bounds, COUNTER_BUCKETS,
		                 counters->buckets, sum);
	}
	text_free(&labels);
}

/* What the list of metrics has of this server. */
static void
add_own(void *arg, const Metric *metric, Text *out)
{
	const Server *server = arg;

	if (metric->source == SOURCE_REQUESTS)
		add_requests(metric, out);
	else if (metric->source == SOURCE_TIMES)
		add_times(metric, out);
	else if (strcmp(metric->column, "connections") == 0)
		add_number(metric, "", count_clients(server), out);
	else
		add_number(metric, "", server->requests, out);
}

/* Without a database the server's own are told all the same: that it is away is one of them. */
static void
answer_metrics(void *arg, const PGresult *result)
{
	Request *r = arg;
	Text text = {0};

	r->job = NULL;
	if (result && query_failed(result))
	{
		request_error(r, result);
		return;
	}
	scrape_render(result, (clock_us() - r->started) / 1e6, add_own, r->server, &text);
	request_answer_text(r, 200, text_take(&text), format_content_type);
}

void
handle_metrics(Request *r)
{
	static char *statement;

	if (r->who.queues)
	{
		request_problem(r, 403, "this token is not for all queues");
		return;
	}
	if (statement == NULL)
		statement = scrape_statement();
	client_limit(r->client, LIMIT_RUN_MS);
	r->job = pool_run(&r->server->pool, (Query){.sql = statement}, answer_metrics, r);
}
