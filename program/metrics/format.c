/*
 * metrics/format.c
 *	  The text format of Prometheus, version 0.0.4: lines of it.
 */
#include "metrics/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char format_content_type[] = "text/plain; version=0.0.4; charset=utf-8";

void
format_head(Text *out, const Metric *metric)
{
	text_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
	          metric->name, metric_type_name(metric->type));
}

void
format_label(Text *labels, const char *name, const char *value)
{
	Text clean = {0};

	text_add_clean(&clean, value, strlen(value));
	text_addf(labels, "%s%s=\"", labels->length > 0 ? "," : "", name);
	for (const char *c = text_str(&clean); *c; c++)
	{
		if (*c == '\\' || *c == '"' || *c == '\n')
			text_add_char(labels, '\\');
		text_add_char(labels, *c == '\n' ? 'n' : *c);
	}
	text_add_char(labels, '"');
	text_free(&clean);
}

/* NAMEsuffix{labels,le="bound"} value; there are tens of thousands, so in one piece. */
static void
add_line(Text *out, const char *name, const char *suffix, const char *labels,
         const char *bound, const char *value)
{
	const char *pieces[] = {
	    name,
	    suffix,
	    *labels || bound ? "{" : "",
	    labels,
	    *labels && bound ? "," : "",
	    bound ? "le=\"" : "",
	    bound ? bound : "",
	    bound ? "\"" : "",
	    *labels || bound ? "} " : " ",
	    value,
	    "\n",
	};
	size_t lengths[sizeof(pieces) / sizeof(pieces[0])];
	size_t total = 0;

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		total += lengths[i] = strlen(pieces[i]);
	text_reserve(out, total);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		memcpy(out->data + out->length, pieces[i], lengths[i]);
		out->length += lengths[i];
	}
	out->data[out->length] = '\0';
}

void
format_sample(Text *out, const char *name, const char *labels, const char *value)
{
	add_line(out, name, "", labels, NULL, value);
}

void
format_histogram(Text *out, const char *name, const char *labels,
                 const char *const *bounds, int bound_count, const uint64_t *counts,
                 const char *sum)
{
	uint64_t total = 0;
	char number[32] = "0";

	for (int i = 0; i <= bound_count; i++)
	{
		total += counts[i];
		if (counts[i] > 0) /* most are empty */
			snprintf(number, sizeof(number), "%" PRIu64, total);
		add_line(out, name, "_bucket", labels, i < bound_count ? bounds[i] : "+Inf",
		         number);
	}
	add_line(out, name, "_sum", labels, NULL, sum);
	add_line(out, name, "_count", labels, NULL, number);
}
