/*
 * commands/metrics.c
 *	  baton metrics: all metrics, once, as Prometheus reads them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/die.h"
#include "commands/command.h"
#include "metrics/document.h"
#include "metrics/scrape.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

static bool markdown;

static void
print_scrape(void)
{
	PGconn *conn = connection_open("baton metrics");
	char *statement = scrape_statement();
	int64_t start = clock_ms();
	PGresult *result = query_run(conn, (Query){.sql = statement});
	Text text = {0};

	scrape_render(result, (double) (clock_ms() - start) / 1000, NULL, NULL, &text);
	fputs(text_str(&text), stdout);
	text_free(&text);
	free(statement);
	PQclear(result);
	PQfinish(conn);
}

static int
run_metrics(int argc, char **argv)
{
	(void) argc;
	(void) argv;
	if (markdown)
		metrics_document();
	else
		print_scrape();
	print_flush();
	return EXIT_OK;
}

static const Option options[] = {
    {"markdown", 0, OPTION_FLAG, NULL, &markdown, 0, 0,
     "the list of metrics in place of their values, as docs/metrics.md has it"},
    {0},
};

static const char *const examples[] = {
    "baton metrics",
    "baton metrics > /var/lib/node_exporter/baton.prom.new && mv "
    "/var/lib/node_exporter/baton.prom.new /var/lib/node_exporter/baton.prom",
    NULL,
};

const Command command_metrics = {
    .name = "metrics",
    .arguments = "",
    .summary = "print all metrics once, as Prometheus reads them",
    .description =
        "For node_exporter's textfile collector, or to look at. docs/metrics.md "
        "says what each\nof them is. The role needs pg_monitor and USAGE on "
        "schema baton.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_metrics,
};
