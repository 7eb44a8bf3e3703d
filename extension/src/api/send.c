/*
 * api/send.c
 *	  SQL functions that send.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"

#include "api/args.h"
#include "queue/resolve.h"
#include "queue/send.h"

PG_FUNCTION_INFO_V1(baton_send);
PG_FUNCTION_INFO_V1(baton_send_batch);

#define KEY_MAX 1000			/* bytes */
#define BATCH_MAX 100000

/* One message's options; an absent pointer is null. */
typedef struct SendOptions
{
	const Interval *delay;
	const TimestampTz *deliver_at;
	const Interval *expires_in;
	const text *key;
} SendOptions;

static TimestampTz
moment_in(TimestampTz now, const Interval *interval, const char *what, bool zero_allowed)
{
	(void) interval_arg(interval, what, zero_allowed);
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(now),
												   IntervalPGetDatum(interval)));
}

static void
check_priority(int32 priority)
{
	if (priority < 0 || priority >= BATON_PRIORITIES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("priority must be between 0 and %d", BATON_PRIORITIES - 1)));
}

static void
apply_options(MessageRow *row, const SendOptions *options, TimestampTz now)
{
	row->sent_at = now;			/* what the times of the others count from */
	if (options->delay && options->deliver_at)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("give either delay or deliver_at, not both")));
	if (options->delay)
		row->deliver_at = moment_in(now, options->delay, "delay", true);
	else if (options->deliver_at)
		row->deliver_at = *options->deliver_at;
	if (options->deliver_at && TIMESTAMP_NOT_FINITE(row->deliver_at))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("deliver_at must be finite")));
	if (row->deliver_at <= now)
		row->deliver_at = 0;
	if (options->expires_in)
		row->expires_at = moment_in(row->deliver_at ? row->deliver_at : now,
								  options->expires_in, "expires_in", false);
	if (options->key)
	{
		if (VARSIZE_ANY_EXHDR(options->key) > KEY_MAX)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("key is too long"),
							errdetail("It has %zu bytes; at most %d are allowed.",
									  (size_t) VARSIZE_ANY_EXHDR(options->key), KEY_MAX)));
		row->key = unconstify(text *, options->key);
	}
}

Datum
baton_send(PG_FUNCTION_ARGS)
{
	char	   *name = queue_name_arg(PG_ARGISNULL(0),
									  PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0));
	MessageRow	row = {.payload = jsonb_arg_or_null(fcinfo, 1),
					   .headers = jsonb_arg_or_null(fcinfo, 2)};
	TimestampTz deliver_at = PG_ARGISNULL(5) ? 0 : PG_GETARG_TIMESTAMPTZ(5);
	SendOptions options = {
		.delay = PG_ARGISNULL(4) ? NULL : PG_GETARG_INTERVAL_P(4),
		.deliver_at = PG_ARGISNULL(5) ? NULL : &deliver_at,
		.expires_in = PG_ARGISNULL(6) ? NULL : PG_GETARG_INTERVAL_P(6),
		.key = PG_ARGISNULL(7) ? NULL : PG_GETARG_TEXT_P(7),
	};

	if (row.payload == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("payload must not be null")));
	row.priority = (int16) int_arg(fcinfo, 3, "priority", 0, BATON_PRIORITIES - 1);
	apply_options(&row, &options, baton_now());
	queue_send(name, &row, 1);
	PG_RETURN_INT64(row.id);
}

/* An option of a batch: one value for all, or one a message. */
static Elements
batch_option(FunctionCallInfo fcinfo, int n, const char *what, Oid type, int messages)
{
	Elements	option = array_arg(fcinfo, n, what, type);

	if (option.values != NULL && option.count != 1 && option.count != messages)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has %d elements for %d payloads", what, option.count, messages),
				 errhint("Give one element for all messages, or as many as payloads.")));
	return option;
}

static void
return_ids(FunctionCallInfo fcinfo, const MessageRow *rows, int n)
{
	Rows		result;
	bool		null = false;

	rows_begin(fcinfo, NULL, &result);
	for (int i = 0; i < n; i++)
	{
		Datum		id = Int64GetDatum(rows[i].id);

		rows_put(&result, &id, &null);
	}
}

Datum
baton_send_batch(PG_FUNCTION_ARGS)
{
	char	   *name = queue_name_arg(PG_ARGISNULL(0),
									  PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0));
	TimestampTz now = baton_now();
	Elements	payloads = array_arg(fcinfo, 1, "payloads", JSONBOID);
	int			n = payloads.count;
	Elements	headers = batch_option(fcinfo, 2, "headers", JSONBOID, n);
	Elements	priority = batch_option(fcinfo, 3, "priority", INT4OID, n);
	Elements	delay = batch_option(fcinfo, 4, "delay", INTERVALOID, n);
	Elements	deliver_at = batch_option(fcinfo, 5, "deliver_at", TIMESTAMPTZOID, n);
	Elements	expires_in = batch_option(fcinfo, 6, "expires_in", INTERVALOID, n);
	Elements	key = batch_option(fcinfo, 7, "key", TEXTOID, n);
	MessageRow *rows = palloc0(Max(n, 1) * sizeof(MessageRow));

	if (payloads.values == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("payloads must not be null")));
	if (n > BATCH_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a batch has at most %d messages", BATCH_MAX)));
	for (int i = 0; i < n; i++)
	{
		SendOptions options = {0};
		TimestampTz at;
		Datum		value;

		if (payloads.nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("payload must not be null"),
							errdetail("Element %d of payloads is.", i + 1)));
		rows[i].payload = DatumGetJsonbP(payloads.values[i]);
		if (element_for(&headers, i, &value))
			rows[i].headers = DatumGetJsonbP(value);
		if (element_for(&priority, i, &value))
		{
			check_priority(DatumGetInt32(value));
			rows[i].priority = (int16) DatumGetInt32(value);
		}
		if (element_for(&delay, i, &value))
			options.delay = DatumGetIntervalP(value);
		if (element_for(&deliver_at, i, &value))
		{
			at = DatumGetTimestampTz(value);
			options.deliver_at = &at;
		}
		if (element_for(&expires_in, i, &value))
			options.expires_in = DatumGetIntervalP(value);
		if (element_for(&key, i, &value))
			options.key = DatumGetTextP(value);
		apply_options(&rows[i], &options, now);
	}
	queue_send(name, rows, n);
	return_ids(fcinfo, rows, n);
	return (Datum) 0;
}
