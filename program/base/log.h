/*
 * base/log.h
 *	  What the program says while it runs: one line an event, on standard error.
 *
 * A line is a time, a level, an event and fields: key=value, values in quotes
 * where they need them; or with --log-format json an object of the same.  Bytes that are not UTF-8 are
 * replaced.  It is put together by a LogLine and goes out with one write, so
 * that lines of several processes don't mix.
 *
 * What a line is about has the same keys everywhere: queue, message_id, attempt.
 *
 *		LogLine line;
 *
 *		log_begin(&line, LOG_INFO, "completed");
 *		log_string(&line, "queue", name);
 *		log_number(&line, "message_id", id);
 *		log_end(&line);
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

typedef enum LogLevel
{
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR
} LogLevel;

typedef struct LogLine
{
	bool shown; /* false: below the level, nothing is put together */
	Text text;
} LogLine;

/*
 * -v says more, -q less.  Without them: information when standard error is a
 * file or a pipe, only warnings when a person looks at it.  format: "text" (also NULL) or
 * "json"; false: it is neither.
 */
extern bool log_setup(bool verbose, bool quiet, const char *format);
extern bool log_is_json(void);
extern bool log_shows(LogLevel level);

extern void log_begin(LogLine *line, LogLevel level, const char *event);
extern void log_string(LogLine *line, const char *key, const char *value);
extern void log_number(LogLine *line, const char *key, int64_t value);
extern void log_end(LogLine *line);

/* An event with one field, message="...", for what has no other. */
extern void log_message(LogLevel level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
