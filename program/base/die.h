/*
 * base/die.h
 *	  How the program ends, and memory that is there or the program ends.
 *
 * The exit codes are part of the program's face: scripts branch on them.  Their
 * words are in exit_codes[] (die.c), from where help and docs/cli.md take them.
 */
#ifndef BASE_DIE_H
#define BASE_DIE_H

#include <stdarg.h>
#include <stddef.h>

typedef enum ExitCode
{
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_CONNECTION = 3,
	EXIT_NOTHING = 4,
	EXIT_INPUT = 5,
	EXIT_MISSING = 6,
	EXIT_STOPPED = 7,
	EXIT_UNWELL = 8
} ExitCode;

typedef struct ExitCodeMeaning
{
	ExitCode code;
	const char *meaning;
} ExitCodeMeaning;

/* Ends with a row whose meaning is NULL. */
extern const ExitCodeMeaning exit_codes[];

/* Prints "baton: error: ..." to standard error and ends the program. */
extern void die(ExitCode code, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* The same, with a second line "hint: ...", for what the user can do. */
extern void die_hint(ExitCode code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

/*
 * What went wrong, in the words of who knows it; what is NULL is left out.  "baton: error: ..." and lines for detail and hint
 * on standard error, or a line of the log where that is JSON.
 */
typedef struct Complaint
{
	const char *message;
	const char *sqlstate;
	const char *detail;
	const char *hint;
} Complaint;

extern void complain(const Complaint *complaint);
extern void complain_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line for people on standard error, or one of the log where that is JSON. */
extern void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As malloc and the rest, but never NULL: no memory is the end. */
extern void *mem_alloc(size_t size); /* zeroed */
extern void *mem_resize(void *old, size_t size);
extern char *mem_copy(const char *string);
extern char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern char *mem_vformat(const char *format, va_list args)
    __attribute__((format(printf, 1, 0)));

#endif
