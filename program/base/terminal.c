/*
 * base/terminal.c
 *	  Colours, where a person looks at standard output.
 */
#include "base/terminal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
wanted(void)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
	       isatty(STDOUT_FILENO);
}

const char *
colour(Colour name)
{
	static const char *const codes[] = {
	    [COLOUR_END] = "\033[0m",     [COLOUR_BOLD] = "\033[1m",
	    [COLOUR_DIM] = "\033[2m",     [COLOUR_GREEN] = "\033[32m",
	    [COLOUR_YELLOW] = "\033[33m", [COLOUR_RED] = "\033[31m",
	};
	static enum { UNKNOWN, YES, NO } known = UNKNOWN;

	if (known == UNKNOWN)
		known = wanted() ? YES : NO;
	return known == YES ? codes[name] : "";
}
