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

void
log_setup(bool verbose, bool quiet)
{
	if (verbose)
		lowest = LOG_DEBUG;
	else if (quiet)
		lowest = LOG_ERROR;
	else
		lowest = isatty(STDERR_FILENO) ? LOG_WARNING : LOG_INFO;
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
	text_addf(&line->text, "%s %s event=%s", stamp, names[level], event);
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
	if (!line->shown || value == NULL)
		return;
	text_addf(&line->text, " %s=", key);
	if (needs_quotes(value))
		text_add_json(&line->text, value);
	else
		text_add(&line->text, value);
}

void
log_number(LogLine *line, const char *key, int64_t value)
{
	if (line->shown)
		text_addf(&line->text, " %s=%" PRId64, key, value);
}

void
log_end(LogLine *line)
{
	if (!line->shown)
		return;
	text_add_char(&line->text, '\n');
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
