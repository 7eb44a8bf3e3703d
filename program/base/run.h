/*
 * base/run.h
 *	  Runs another program to its end.
 */
#ifndef BASE_RUN_H
#define BASE_RUN_H

#include "base/text.h"

/*
 * Runs argv (ends with NULL; found by PATH), without a shell, with nothing on standard input;
 * what it writes, errors included, is added to out.  Returns its exit status,
 * 127 if it could not be started, 128 + signal if one killed it.
 */
extern int run_program(const char *const *argv, Text *out);

#endif
