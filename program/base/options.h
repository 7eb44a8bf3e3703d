/*
 * base/options.h
 *	  Options of a command as a table: parsed and explained from the same rows.
 *
 * A value is written to the row's target when the option is met; what isn't
 * given keeps what the target held before.  --name VALUE, --name=VALUE, -n VALUE
 * and -nVALUE are all understood, options and arguments in any order; "--" ends
 * the options; "-" is an argument.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>

#include "base/text.h"

typedef enum OptionType
{
	OPTION_FLAG,   /* target: bool */
	OPTION_STRING, /* target: const char * */
	OPTION_EACH,   /* may be given again and again; target: OptionValues */
	OPTION_COUNT,  /* target: int; least ... most */
	OPTION_SECONDS /* target: double; least ... most */
} OptionType;

/* In the order in which they were given. */
typedef struct OptionValues
{
	const char **value;
	int count;
} OptionValues;

typedef struct Option
{
	const char *name; /* without dashes; NULL ends the table */
	char letter;      /* short form, 0 for none */
	OptionType type;
	const char *value; /* what help calls its value; NULL for flags */
	void *target;
	int least;
	int most; /* 0: no bound */
	const char *help;
} Option;

/*
 * Parses argv[0 .. argc) by up to two tables (common may be NULL).  Arguments
 * that are not options are moved to the front of argv, in their order; their
 * number is returned, or -1 with a message in *error.
 */
extern int options_parse(int argc, char **argv, const Option *own, const Option *common,
                         Text *error);

/* The rows as help shows them, two columns. */
extern void options_describe(const Option *options, Text *out);

#endif
