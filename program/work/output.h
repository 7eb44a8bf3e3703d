/*
 * work/output.h
 *	  What a command wrote, bounded, and what is made of it: a result or an error.
 */
#ifndef WORK_OUTPUT_H
#define WORK_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Keeps the first or the last bytes of what is added, and notes if there were more. */
typedef struct Capture
{
	Text kept;
	size_t most;
	bool last; /* keep the last bytes, else the first */
	bool cut;  /* something was dropped */
} Capture;

extern void capture_add(Capture *capture, const char *bytes, size_t length);
extern void capture_free(Capture *capture);

/*
 * The result of a command that succeeded, as JSON; NULL if it wrote nothing.  What is
 * JSON stays as it is; other text becomes {"output": "..."}, without the last line's
 * end, with "truncated": true if it was more than is kept.  Caller frees.
 */
extern char *output_result(Capture *out);

/*
 * The error of a command that failed: how it ended (a status of waitpid), and the
 * tail of what it complained.  Caller frees.
 */
extern char *output_error(int status, Capture *err);

#endif
