/*
 * base/log.c
 *	  What the program says while it runs: one line an event, on standard error.
 */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"

static LogLevel lowest = LOG_WARNING;
static bool json = false;

bool
log_setup(bool verbose, bool quiet, const char *format)
{
	if (verbose)
		lowest = LOG_DEBUG;
	else if (quiet)
		lowest = LOG_ERROR;
	else
		lowest = isatty(STDERR_FILENO) ? LOG_WARNING : LOG_INFO;
	json = format != NULL && strcmp(format, "json") == 0;
	return json || format == NULL || strcmp(format, "text") == 0;
}

bool
log_is_json(void)
{
	return json;
}

bool
log_shows(LogLevel level)
{
	return level >= lowest;
}

void
log_begin(LogLine *line, LogLevel level, const char *event)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char stamp[CLOCK_STAMP_SIZE];

	*line = (LogLine){.shown = log_shows(level)};
	if (!line->shown)
		return;
	clock_stamp(stamp);
	text_addf(&line->text,
	          json ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\""
	               : "%s %s event=%s",
	          stamp, names[level], event);
}

static void
add_key(LogLine *line, const char *key)
{
	text_addf(&line->text, json ? ",\"%s\":" : " %s=", key);
}

/* A value needs quotes unless it is one plain word. */
static bool
needs_quotes(const char *value)
{
	if (*value == '\0')
		return true;
	for (const char *p = value; *p; p++)
		if ((unsigned char) *p <= ' ' || *p == '"' || *p == '=' || *p == '\\')
			return true;
	return false;
}

void
log_string(LogLine *line, const char *key, const char *value)
{
	Text clean = {0};

	if (!line->shown || value == NULL)
		return;
	text_add_clean(&clean, value, strlen(value));
	add_key(line, key);
	if (json || needs_quotes(text_str(&clean)))
		text_add_json(&line->text, text_str(&clean));
	else
		text_add(&line->text, text_str(&clean));
	text_free(&clean);
}

void
log_number(LogLine *line, const char *key, int64_t value)
{
	if (!line->shown)
		return;
	add_key(line, key);
	text_addf(&line->text, "%" PRId64, value);
}

void
log_end(LogLine *line)
{
	if (!line->shown)
		return;
	text_add(&line->text, json ? "}\n" : "\n");
	/* Nowhere to say that the log can't be written. */
	if (write(STDERR_FILENO, line->text.data, line->text.length) < 0)
		line->shown = false;
	text_free(&line->text);
}

void
log_message(LogLevel level, const char *event, const char *format, ...)
{
	LogLine line;
	va_list args;
	char *message;

	log_begin(&line, level, event);
	if (!line.shown)
		return;
	va_start(args, format);
	message = mem_vformat(format, args);
	va_end(args);
	log_string(&line, "message", message);
	free(message);
	log_end(&line);
}
