/*
 * base/die.c
 *	  How the program ends, and memory that is there or the program ends.
 */
#define _GNU_SOURCE 1 /* vasprintf */

#include "base/die.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

const ExitCodeMeaning exit_codes[] = {
    {EXIT_OK, "done"},
    {EXIT_ERROR, "the server refused, or something failed on the way"},
    {EXIT_USAGE, "the command line is wrong"},
    {EXIT_CONNECTION, "no connection to PostgreSQL, or it was lost"},
    {EXIT_NOTHING, "nothing there: receive found no message in time, message none with "
                   "that id, down no "
                   "server"},
    {EXIT_INPUT,
     "the input is bad: a line that can't be sent, a file that can't be read"},
    {EXIT_MISSING,
     "something is missing on this machine: PostgreSQL, the extension, a right"},
    {EXIT_STOPPED, "stopped before the work was done: what was left has been given back"},
    {EXIT_UNWELL, "doctor found something that is wrong"},
    {EXIT_OK, NULL},
};

static void
complain_json(const Complaint *complaint)
{
	LogLine line;

	log_begin(&line, LOG_ERROR, "error");
	log_string(&line, "message", complaint->message);
	log_string(&line, "sqlstate", complaint->sqlstate);
	log_string(&line, "detail", complaint->detail);
	log_string(&line, "hint", complaint->hint);
	log_end(&line);
}

void
complain(const Complaint *complaint)
{
	fflush(stdout);
	if (log_is_json())
	{
		complain_json(complaint);
		return;
	}
	fprintf(stderr, "baton: error: %s", complaint->message);
	if (complaint->sqlstate)
		fprintf(stderr, " (%s)", complaint->sqlstate);
	fputc('\n', stderr);
	if (complaint->detail)
		fprintf(stderr, "detail: %s\n", complaint->detail);
	if (complaint->hint)
		fprintf(stderr, "hint: %s\n", complaint->hint);
}

void
say(const char *format, ...)
{
	va_list args;
	char *message;

	va_start(args, format);
	message = mem_vformat(format, args);
	va_end(args);
	if (log_is_json())
		log_message(LOG_ERROR, "said", "%s", message);
	else
		fprintf(stderr, "%s\n", message);
	free(message);
}

static void
vcomplain(const char *hint, const char *format, va_list args)
{
	char *message = mem_vformat(format, args);

	complain(&(Complaint){.message = message, .hint = hint});
	free(message);
}

void
complain_of(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vcomplain(NULL, format, args);
	va_end(args);
}

void
die(ExitCode code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vcomplain(NULL, format, args);
	va_end(args);
	exit(code);
}

void
die_hint(ExitCode code, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vcomplain(hint, format, args);
	va_end(args);
	exit(code);
}

void *
mem_alloc(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (memory == NULL)
		die(EXIT_ERROR, "out of memory");
	return memory;
}

void *
mem_resize(void *old, size_t size)
{
	void *memory = realloc(old, size ? size : 1);

	if (memory == NULL)
		die(EXIT_ERROR, "out of memory");
	return memory;
}

char *
mem_copy(const char *string)
{
	size_t size = strlen(string) + 1;

	return memcpy(mem_alloc(size), string, size);
}

char *
mem_vformat(const char *format, va_list args)
{
	char *string = NULL;

	if (vasprintf(&string, format, args) < 0)
		die(EXIT_ERROR, "out of memory");
	return string;
}

char *
mem_format(const char *format, ...)
{
	va_list args;
	char *string;

	va_start(args, format);
	string = mem_vformat(format, args);
	va_end(args);
	return string;
}
