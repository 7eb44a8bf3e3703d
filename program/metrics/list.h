/*
 * metrics/list.h
 *	  Every metric there is: one list, from which the statement that reads them, the
 *	  text that Prometheus reads, docs/metrics.md and the tests are made.
 *
 * A source is a set of rows: a query, or the program itself.  Its label columns are the
 * labels of all its metrics; a metric is one more column of it.
 *
 * To add one: a row in metrics[] (list.c), a panel or an alert where it helps
 * (deploy/), `make -C program docs`.
 */
#ifndef METRICS_LIST_H
#define METRICS_LIST_H

typedef enum MetricType
{
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM
} MetricType;

typedef enum SourceId
{
	SOURCE_QUEUE,
	SOURCE_COUNTERS,
	SOURCE_WINDOW,
	SOURCE_SLOTS,
	SOURCE_HEALTH,
	SOURCE_SEGMENT,
	SOURCE_TABLE,
	SOURCE_DATABASE,
	SOURCE_SNAPSHOT,
	SOURCE_PROGRAM,
	SOURCE_SERVE,
	SOURCE_REQUESTS,
	SOURCE_TIMES,
	SOURCE_COUNT
} SourceId;

#define SOURCE_LABELS_MAX 3

typedef struct Source
{
	const char *name;                      /* where its values come from, for people */
	const char *labels[SOURCE_LABELS_MAX]; /* names of labels, which are columns too */
	const char *sql;                       /* its rows; NULL: not from the database */
} Source;

typedef struct Metric
{
	const char *name;
	MetricType type;
	SourceId source;
	const char *column; /* SQL expression over the source's columns.  A histogram has
	                     * bigint[] counts here and seconds in COLUMN_sum. */
	const char *unit;
	const char *help; /* one line */
} Metric;

extern const Source sources[SOURCE_COUNT];
extern const Metric metrics[]; /* ends with a row without a name; by source */

/* Expression for the upper bounds of all histograms, over the rows of SOURCE_WINDOW. */
extern const char metric_bounds[];

/* Number of labels a source has. */
extern int source_labels(const Source *source);

/* counter, gauge or histogram. */
extern const char *metric_type_name(MetricType type);

#endif
