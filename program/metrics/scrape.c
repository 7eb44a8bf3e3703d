/*
 * metrics/scrape.c
 *	  From the list of metrics to the text that Prometheus reads.
 *
 * The statement is one UNION ALL over the sources.  A row of its result is: which
 * source, its labels, the values of its metrics in the list's order; all as text,
 * filled up with nulls.
 */
#include "metrics/scrape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "metrics/format.h"

#define BOUNDS_MAX 32

/* ---- the statement ---- */

/* Columns of values a metric has. */
static int
width(const Metric *metric)
{
	return metric->type == METRIC_HISTOGRAM ? 2 : 1;
}

/* Columns of values a source has; the window's last one is the bounds. */
static int
source_width(SourceId source)
{
	int n = source == SOURCE_WINDOW ? 1 : 0;

	for (const Metric *m = metrics; m->name; m++)
		if (m->source == source)
			n += width(m);
	return n;
}

static int
widest_source(void)
{
	int widest = 0;

	for (int s = 0; s < SOURCE_COUNT; s++)
		if (source_width(s) > widest)
			widest = source_width(s);
	return widest;
}

static void
add_columns(SourceId source, int columns, Text *sql)
{
	for (int i = 0; i < SOURCE_LABELS_MAX; i++)
		if (sources[source].labels[i])
			text_addf(sql, ", \"%s\"::text", sources[source].labels[i]);
		else
			text_add(sql, ", null");
	for (const Metric *m = metrics; m->name; m++)
	{
		if (m->source != source)
			continue;
		text_addf(sql, ", (%s)::text", m->column);
		if (m->type == METRIC_HISTOGRAM)
			text_addf(sql, ", (%s_sum)::text", m->column);
	}
	if (source == SOURCE_WINDOW)
		text_addf(sql, ", (%s)::text", metric_bounds);
	for (int i = source_width(source); i < columns; i++)
		text_add(sql, ", null");
}

char *
scrape_statement(void)
{
	Text sql = {0};
	int columns = widest_source();

	for (int s = 0; s < SOURCE_COUNT; s++)
	{
		if (sources[s].sql == NULL)
			continue;
		text_addf(&sql, "%sselect %d", s > 0 ? " union all " : "", s);
		add_columns(s, columns, &sql);
		text_addf(&sql, " from (%s) s%d", sources[s].sql, s);
	}
	return text_take(&sql);
}

/* ---- the answer ---- */

/* One scrape: its rows, and what is worked out once for all metrics. */
typedef struct Scrape
{
	const PGresult *result;
	int rows;
	int *source;   /* by row */
	char **labels; /* by row: queue="mail", or "" */
	char *bounds;  /* upper bounds of histograms; bound[] points into it */
	const char *bound[BOUNDS_MAX];
	int bound_count;
	double seconds;
} Scrape;

static char *
row_labels(const PGresult *result, int row, const Source *source)
{
	Text out = {0};

	for (int i = 0; i < source_labels(source); i++)
		format_label(&out, source->labels[i], PQgetvalue(result, row, 1 + i));
	return text_take(&out);
}

/* An array's elements, {0.001,0.003}. */
static void
take_bounds(Scrape *scrape, const char *array)
{
	char *rest = scrape->bounds = mem_copy(array);
	char *element;

	while (scrape->bound_count < BOUNDS_MAX && (element = strsep(&rest, "{,}")) != NULL)
		if (*element)
			scrape->bound[scrape->bound_count++] = element;
}

static void
take_rows(Scrape *scrape)
{
	const PGresult *result = scrape->result;

	scrape->rows = result ? PQntuples(result) : 0;
	scrape->source = mem_alloc((scrape->rows + 1) * sizeof(int));
	scrape->labels = mem_alloc((scrape->rows + 1) * sizeof(char *));
	for (int row = 0; row < scrape->rows; row++)
	{
		int source = 0;

		text_to_int(PQgetvalue(result, row, 0), &source);
		scrape->source[row] = source;
		scrape->labels[row] = row_labels(result, row, &sources[source]);
		if (source == SOURCE_WINDOW)
			take_bounds(scrape, PQgetvalue(result, row,
			                               SOURCE_LABELS_MAX + source_width(source)));
	}
}

static void
scrape_free(Scrape *scrape)
{
	for (int row = 0; row < scrape->rows; row++)
		free(scrape->labels[row]);
	free(scrape->labels);
	free(scrape->source);
	free(scrape->bounds);
}

/* ---- the text ---- */

/* counts: an array's text, {n,n,...}. */
static void
add_histogram(const Scrape *scrape, const char *name, const char *labels,
              const char *counts, const char *sum, Text *out)
{
	uint64_t count[BOUNDS_MAX + 1] = {0};
	char *rest = (char *) counts;

	for (int i = 0; i <= scrape->bound_count && *rest; i++)
		count[i] = strtoull(rest + 1, &rest, 10);
	format_histogram(out, name, labels, scrape->bound, scrape->bound_count, count, sum);
}

static void
add_rows(const Scrape *scrape, const Metric *metric, int column, Text *out)
{
	for (int row = 0; row < scrape->rows; row++)
	{
		const char *value = PQgetvalue(scrape->result, row, column);

		if (scrape->source[row] != (int) metric->source ||
		    PQgetisnull(scrape->result, row, column))
			continue;
		if (metric->type == METRIC_HISTOGRAM)
			add_histogram(scrape, metric->name, scrape->labels[row], value,
			              PQgetvalue(scrape->result, row, column + 1), out);
		else
			format_sample(out, metric->name, scrape->labels[row], value);
	}
}

/* What the program knows of itself. */
static void
add_program(const Scrape *scrape, const Metric *metric, Text *out)
{
	char number[32];

	if (strcmp(metric->column, "up") == 0)
		snprintf(number, sizeof(number), "%d", scrape->result != NULL);
	else
		snprintf(number, sizeof(number), "%.6f", scrape->seconds);
	format_sample(out, metric->name, "", number);
}

void
scrape_render(const PGresult *result, double seconds, ScrapeOwn own, void *arg, Text *out)
{
	Scrape scrape = {.result = result, .seconds = seconds};
	int column[SOURCE_COUNT];

	for (int s = 0; s < SOURCE_COUNT; s++)
		column[s] = 1 + SOURCE_LABELS_MAX;
	take_rows(&scrape);
	for (const Metric *m = metrics; m->name; m++)
	{
		bool served = sources[m->source].sql == NULL && m->source != SOURCE_PROGRAM;

		if (served && own == NULL)
			continue;
		format_head(out, m);
		if (served)
			own(arg, m, out);
		else if (m->source == SOURCE_PROGRAM)
			add_program(&scrape, m, out);
		else
			add_rows(&scrape, m, column[m->source], out);
		column[m->source] += width(m);
	}
	scrape_free(&scrape);
}
