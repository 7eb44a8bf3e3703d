/*
 * metrics/scrape.h
 *	  From the list of metrics to the text that Prometheus reads.
 */
#ifndef METRICS_SCRAPE_H
#define METRICS_SCRAPE_H

#include <libpq-fe.h>

#include "base/text.h"
#include "metrics/list.h"

/* The one statement, without parameters, that reads all metrics; the caller frees. */
extern char *scrape_statement(void);

/*
 * Adds the samples of a metric whose source has no SQL and is not SOURCE_PROGRAM; arg is
 * who knows them.
 */
typedef void (*ScrapeOwn)(void *arg, const Metric *metric, Text *out);

/*
 * Adds the text: the statement's result, which took so many seconds, and the
 * program's own metrics.  result NULL: PostgreSQL did not answer, and the
 * program's are all there is.  own NULL: there is no server whose requests could be told.
 */
extern void scrape_render(const PGresult *result, double seconds, ScrapeOwn own,
                          void *arg, Text *out);

#endif
