/*
 * metrics/document.c
 *	  The list of metrics as Markdown: docs/metrics.md.
 */
#include "metrics/document.h"

#include <stdio.h>

#include "metrics/list.h"

static const char introduction[] =
    "# Metrics\n\n"
    "<!-- Written by \"make -C program docs\" from the program's list of metrics. -->\n\n"
    "`baton serve` answers `GET /metrics` with all of them, in the text format of\n"
    "Prometheus; `baton metrics` prints them once, but for those of the server itself.\n"
    "[deploy/prometheus](../deploy/prometheus/README.md) has how to have them scraped, "
    "and\n"
    "[what to alert on](../deploy/prometheus/README.md#what-to-alert-on);\n"
    "[deploy/grafana](../deploy/grafana/README.md) has a dashboard.\n\n"
    "- Counters and histograms begin at 0 when PostgreSQL starts and when a queue is "
    "made,\n"
    "  and only rise: use `rate()` and `increase()`.\n"
    "- They are counted in shared memory as things happen, under locks that are held\n"
    "  anyway. Reading them looks at no message: it costs by the number of queues and\n"
    "  tables alone.\n"
    "- The role that reads needs `pg_monitor` and USAGE on schema `baton`.\n"
    "- On a standby, and without `shared_preload_libraries`, what comes from shared "
    "memory\n"
    "  is missing.\n"
    "- Each attempt that is delivered ends in exactly one of completed, failed, "
    "vanished,\n"
    "  lease expired and released; dead counts messages, in addition.\n\n";

static void
print_labels(const Source *source)
{
	for (int i = 0; i < source_labels(source); i++)
		printf("%s`%s`", i > 0 ? ", " : "", source->labels[i]);
}

void
metrics_document(void)
{
	fputs(introduction, stdout);
	puts("| metric | type | labels | unit | | from |\n|---|---|---|---|---|---|");
	for (const Metric *m = metrics; m->name; m++)
	{
		printf("| `%s` | %s | ", m->name, metric_type_name(m->type));
		print_labels(&sources[m->source]);
		printf(" | %s | %s | %s |\n", m->unit, m->help, sources[m->source].name);
	}
}
