/*
 * metrics/format.h
 *	  The text format of Prometheus, version 0.0.4: lines of it.
 */
#ifndef METRICS_FORMAT_H
#define METRICS_FORMAT_H

#include <stdint.h>

#include "base/text.h"
#include "metrics/list.h"

/* What the text is, as an HTTP header says it. */
extern const char format_content_type[];

/* What a metric is: before all of its samples. */
extern void format_head(Text *out, const Metric *metric);

/* Adds name="value" to labels under construction; the value may be any text. */
extern void format_label(Text *labels, const char *name, const char *value);

/* One sample; labels as format_label makes them, "" for none. */
extern void format_sample(Text *out, const char *name, const char *labels,
                          const char *value);

/*
 * All samples of a histogram.  counts has one more element than there are bounds, for
 * what is above all of them, and is not cumulated; bounds and sum are in seconds.
 */
extern void format_histogram(Text *out, const char *name, const char *labels,
                             const char *const *bounds, int bound_count,
                             const uint64_t *counts, const char *sum);

#endif
