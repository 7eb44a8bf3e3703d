/*
 * api/queues.c
 *	  SQL functions that make, change and drop queues.
 */
#include "postgres.h"

#include "fmgr.h"

#include "api/args.h"
#include "queue/admin.h"
#include "queue/resolve.h"

PG_FUNCTION_INFO_V1(baton_create_queue);
PG_FUNCTION_INFO_V1(baton_alter_queue);
PG_FUNCTION_INFO_V1(baton_drop_queue);
PG_FUNCTION_INFO_V1(baton_purge_queue);
PG_FUNCTION_INFO_V1(baton_pause_queue);
PG_FUNCTION_INFO_V1(baton_resume_queue);

static char *
name_arg(FunctionCallInfo fcinfo)
{
	return queue_name_arg(PG_ARGISNULL(0), PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0));
}

static int64
required_interval(FunctionCallInfo fcinfo, int n, const char *what, bool zero_allowed)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be null", what)));
	return interval_arg_or(fcinfo, n, what, zero_allowed, 0);
}

Datum
baton_create_queue(PG_FUNCTION_ARGS)
{
	char	   *name;
	QueuePolicy policy;

	args_expect(fcinfo, 9);
	name = name_arg(fcinfo);
	policy = (QueuePolicy) {
		.max_attempts = int_arg(fcinfo, 1, "max_attempts", 1, 10000),
		.max_crashes = int_arg(fcinfo, 2, "max_crashes", 1, 10000),
		.backoff = required_interval(fcinfo, 3, "backoff", true),
		.backoff_max = required_interval(fcinfo, 4, "backoff_max", true),
		.lease = required_interval(fcinfo, 5, "lease", false),
		.key_in_flight = int_arg(fcinfo, 6, "key_in_flight", 1, PG_INT32_MAX),
		.retention = required_interval(fcinfo, 7, "retention", true),
	};
	queue_create(name, &policy, bool_arg(fcinfo, 8, "if_not_exists"));
	PG_RETURN_VOID();
}

Datum
baton_alter_queue(PG_FUNCTION_ARGS)
{
	PolicyChange change = {0};

	args_expect(fcinfo, 8);
	if ((change.max_attempts = !PG_ARGISNULL(1)))
		change.value.max_attempts = int_arg(fcinfo, 1, "max_attempts", 1, 10000);
	if ((change.max_crashes = !PG_ARGISNULL(2)))
		change.value.max_crashes = int_arg(fcinfo, 2, "max_crashes", 1, 10000);
	if ((change.backoff = !PG_ARGISNULL(3)))
		change.value.backoff = interval_arg_or(fcinfo, 3, "backoff", true, 0);
	if ((change.backoff_max = !PG_ARGISNULL(4)))
		change.value.backoff_max = interval_arg_or(fcinfo, 4, "backoff_max", true, 0);
	if ((change.lease = !PG_ARGISNULL(5)))
		change.value.lease = interval_arg_or(fcinfo, 5, "lease", false, 0);
	if ((change.key_in_flight = !PG_ARGISNULL(6)))
		change.value.key_in_flight = int_arg(fcinfo, 6, "key_in_flight", 1, PG_INT32_MAX);
	if ((change.retention = !PG_ARGISNULL(7)))
		change.value.retention = interval_arg_or(fcinfo, 7, "retention", true, 0);
	queue_alter(name_arg(fcinfo), &change);
	PG_RETURN_VOID();
}

Datum
baton_drop_queue(PG_FUNCTION_ARGS)
{
	queue_drop(name_arg(fcinfo), bool_arg(fcinfo, 1, "if_exists"));
	PG_RETURN_VOID();
}

Datum
baton_purge_queue(PG_FUNCTION_ARGS)
{
	queue_purge(name_arg(fcinfo));
	PG_RETURN_VOID();
}

static void
set_paused(FunctionCallInfo fcinfo, bool paused)
{
	PolicyChange change = {.paused = true, .value.paused = paused};

	queue_alter(name_arg(fcinfo), &change);
}

Datum
baton_pause_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, true);
	PG_RETURN_VOID();
}

Datum
baton_resume_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, false);
	PG_RETURN_VOID();
}
