/*
 * api/args.c
 *	  Unpacking SQL arguments and returning rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "api/args.h"

void
args_expect(FunctionCallInfo fcinfo, int n)
{
	if (PG_NARGS() != n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("baton's functions in this database are of another version than its library"),
				 errhint("Run ALTER EXTENSION baton UPDATE.")));
}

static void
raise_null(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("%s must not be null", what)));
}

int64
interval_arg(const Interval *interval, const char *what, bool zero_allowed)
{
	int64		days = interval->month * INT64CONST(30) + interval->day;
	int64		us;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, interval->time, &us) ||
		us > INT64CONST(36500) * USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be longer than 100 years", what)));
	if (us < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be negative", what)));
	if (us == 0 && !zero_allowed)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be longer than zero", what)));
	return us;
}

int64
interval_arg_or(FunctionCallInfo fcinfo, int n, const char *what, bool zero_allowed,
				int64 otherwise)
{
	if (PG_ARGISNULL(n))
		return otherwise;
	return interval_arg(PG_GETARG_INTERVAL_P(n), what, zero_allowed);
}

int32
int_arg(FunctionCallInfo fcinfo, int n, const char *what, int32 min, int32 max)
{
	int32		value;

	if (PG_ARGISNULL(n))
		raise_null(what);
	value = PG_GETARG_INT32(n);
	if (value < min || value > max)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be between %d and %d", what, min, max)));
	return value;
}

bool
bool_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		raise_null(what);
	return PG_GETARG_BOOL(n);
}

Elements
array_arg(FunctionCallInfo fcinfo, int n, const char *what, Oid type)
{
	Elements	out = {0};
	ArrayType  *array;
	int16		length;
	bool		by_value;
	char		align;

	if (PG_ARGISNULL(n))
		return out;
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("%s must be an array of one dimension", what)));
	if (type == TEXTOID || type == JSONBOID)	/* the usual ones needn't be looked up */
		length = -1, by_value = false, align = TYPALIGN_INT;
	else
		get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &out.values, &out.nulls, &out.count);
	return out;
}

bool
element_for(const Elements *elements, int i, Datum *value)
{
	int			at = elements->count == 1 ? 0 : i;

	if (elements->values == NULL || elements->nulls[at])
		return false;
	*value = elements->values[at];
	return true;
}

const text *
text_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		raise_null(what);
	return PG_GETARG_TEXT_PP(n);
}

Jsonb *
jsonb_arg_or_null(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

void
rows_begin(FunctionCallInfo fcinfo, const char *from_only, Rows *rows)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (info == NULL || !IsA(info, ReturnSetInfo) || info->expectedDesc == NULL ||
		!(info->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in a context that cannot accept a set")));
	if (from_only && !(info->allowedModes & SFRM_Materialize_Preferred))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("baton.%s() can only be called in FROM", from_only),
				 errhint("Write SELECT * FROM baton.%s(...).", from_only)));
	rows->desc = info->expectedDesc;
	old = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	rows->store =
		tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false,
							  work_mem);
	MemoryContextSwitchTo(old);
	info->returnMode = SFRM_Materialize;
	info->setResult = rows->store;
}

void
rows_put(Rows *rows, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}
