/*
 * api/args.h
 *	  Unpacking SQL arguments and returning rows.
 */
#ifndef BATON_API_ARGS_H
#define BATON_API_ARGS_H

#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/*
 * Raises 55000 unless the function was declared with n arguments.  For the first line of a function whose arguments
 * an upgrade changes: until ALTER EXTENSION ... UPDATE it is called as the older version declared it.
 */
extern void args_expect(FunctionCallInfo fcinfo, int n);

/* Microseconds of an interval, months as 30 days.  Raises 22023, naming `what`, if it is
 * negative, or zero where that is not allowed, or too long. */
extern int64 interval_arg(const Interval *interval, const char *what, bool zero_allowed);

/* The same for argument n, or `otherwise` if it is null. */
extern int64 interval_arg_or(FunctionCallInfo fcinfo, int n, const char *what,
							 bool zero_allowed, int64 otherwise);

/* Argument n, an integer that must not be null and must lie between min and max. */
extern int32 int_arg(FunctionCallInfo fcinfo, int n, const char *what, int32 min, int32 max);
extern bool bool_arg(FunctionCallInfo fcinfo, int n, const char *what);

/* The elements of an array; values is NULL, and count 0, where that is null itself. */
typedef struct Elements
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} Elements;

/* Argument n, an array of `type`; raises 2202E if it has more than one dimension. */
extern Elements array_arg(FunctionCallInfo fcinfo, int n, const char *what, Oid type);

/* The element for item i of a batch: its own, or the one for all.  False: it, or the array, is null. */
extern bool element_for(const Elements *elements, int i, Datum *value);

/* A detoasted text argument; raises 22004 if null. */
extern const text *text_arg(FunctionCallInfo fcinfo, int n, const char *what);
extern Jsonb *jsonb_arg_or_null(FunctionCallInfo fcinfo, int n);

/*
 * Rows of a function that returns a set.  from_only: the function's name, if it may stand in FROM only,
 * else NULL: begin raises 0A000 with the right form where it was called elsewhere, because what
 * LIMIT or a condition drops there would be claimed and never seen.
 */
typedef struct Rows
{
	Tuplestorestate *store;
	TupleDesc	desc;
} Rows;

extern void rows_begin(FunctionCallInfo fcinfo, const char *from_only, Rows *rows);
extern void rows_put(Rows *rows, Datum *values, bool *nulls);

#endif
