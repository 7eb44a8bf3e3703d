/*
 * api/settle.c
 *	  SQL functions that settle claims.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/receive.h"
#include "queue/settle.h"

PG_FUNCTION_INFO_V1(baton_complete);
PG_FUNCTION_INFO_V1(baton_fail);
PG_FUNCTION_INFO_V1(baton_release);
PG_FUNCTION_INFO_V1(baton_extend);
PG_FUNCTION_INFO_V1(baton_receipt_queue);
PG_FUNCTION_INFO_V1(baton_complete_batch);
PG_FUNCTION_INFO_V1(baton_fail_batch);
PG_FUNCTION_INFO_V1(baton_release_batch);
PG_FUNCTION_INFO_V1(baton_complete_and_receive);

/* One claim */

static void
settle_one(FunctionCallInfo fcinfo, EventAction action, Jsonb *detail, int64 delay, bool retry,
		   TimestampTz *due, bool *dead)
{
	const text *receipt = text_arg(fcinfo, 0, "receipt");
	SettleRequest request = {
		.action = action, .details = &detail, .delay = delay, .retry = retry, .strict = true};

	settle_claims(&receipt, 1, &request, NULL, due, dead);
}

Datum
baton_complete(PG_FUNCTION_ARGS)
{
	settle_one(fcinfo, EVENT_COMPLETED, jsonb_arg_or_null(fcinfo, 1), 0, false, NULL, NULL);
	PG_RETURN_VOID();
}

Datum
baton_fail(PG_FUNCTION_ARGS)
{
	Jsonb	   *detail = NULL;
	TimestampTz due = 0;
	bool		dead = false;

	if (!PG_ARGISNULL(1))
		detail = error_detail(text_to_cstring(PG_GETARG_TEXT_PP(1)), 0);
	settle_one(fcinfo, EVENT_FAILED, detail, interval_arg_or(fcinfo, 2, "retry_in", true, -1),
			   bool_arg(fcinfo, 3, "retry"), &due, &dead);
	if (dead)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(due ? due : baton_now());
}

Datum
baton_release(PG_FUNCTION_ARGS)
{
	settle_one(fcinfo, EVENT_RELEASED, NULL, interval_arg_or(fcinfo, 1, "delay", true, 0), true,
			   NULL, NULL);
	PG_RETURN_VOID();
}

Datum
baton_extend(PG_FUNCTION_ARGS)
{
	const text *receipt = text_arg(fcinfo, 0, "receipt");

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("lease must not be null")));
	PG_RETURN_TIMESTAMPTZ(claim_extend(receipt, interval_arg_or(fcinfo, 1, "lease", false, 0)));
}

Datum
baton_receipt_queue(PG_FUNCTION_ARGS)
{
	char		name[BATON_QUEUE_NAME_MAX + 1];

	if (!claim_queue_name(text_arg(fcinfo, 0, "receipt"), name))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/* Batches */

static const text **
receipts_arg(FunctionCallInfo fcinfo, int *n)
{
	bool	   *nulls;
	Datum	   *values = array_arg(fcinfo, 0, "receipts", TEXTOID, &nulls, n);
	const text **receipts = palloc(Max(*n, 1) * sizeof(text *));

	if (values == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("receipts must not be null")));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("receipt must not be null"),
							errdetail("Element %d of receipts is.", i + 1)));
		receipts[i] = DatumGetTextPP(values[i]);
	}
	return receipts;
}

/* Argument 1 of a batch: one element for all, as many as receipts, or null. */
static Datum *
details_arg(FunctionCallInfo fcinfo, const char *what, Oid type, int n, bool **nulls,
			int *count)
{
	Datum	   *values = array_arg(fcinfo, 1, what, type, nulls, count);

	if (values != NULL && *count != n && *count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has %d elements for %d receipts", what, *count, n),
				 errhint("Give one element for all, or as many as receipts.")));
	return values;
}

static Jsonb **
results_arg(FunctionCallInfo fcinfo, int n)
{
	bool	   *nulls;
	int			count;
	Datum	   *values = details_arg(fcinfo, "results", JSONBOID, n, &nulls, &count);
	Jsonb	  **results = palloc0(Max(n, 1) * sizeof(Jsonb *));

	for (int i = 0; values != NULL && i < n; i++)
		if (!nulls[count == 1 ? 0 : i])
			results[i] = DatumGetJsonbP(values[count == 1 ? 0 : i]);
	return results;
}

static Jsonb **
errors_arg(FunctionCallInfo fcinfo, int n)
{
	bool	   *nulls;
	int			count;
	Datum	   *values = details_arg(fcinfo, "errors", TEXTOID, n, &nulls, &count);
	Jsonb	  **details = palloc0(Max(n, 1) * sizeof(Jsonb *));

	for (int i = 0; values != NULL && i < n; i++)
		if (!nulls[count == 1 ? 0 : i])
			details[i] = error_detail(TextDatumGetCString(values[count == 1 ? 0 : i]), 0);
	return details;
}

static Datum
settle_batch(FunctionCallInfo fcinfo, const text *const *receipts, int n,
			 const SettleRequest *request)
{
	bool	   *settled = palloc0(Max(n, 1) * sizeof(bool));
	Rows		rows;

	rows_begin(fcinfo, NULL, &rows);
	settle_claims(receipts, n, request, settled, NULL, NULL);
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {Int32GetDatum(i + 1), BoolGetDatum(settled[i])};
		bool		nulls[2] = {false, false};

		rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

Datum
baton_complete_batch(PG_FUNCTION_ARGS)
{
	int			n;
	const text **receipts = receipts_arg(fcinfo, &n);
	SettleRequest request = {.action = EVENT_COMPLETED,
							 .details = results_arg(fcinfo, n),
							 .strict = bool_arg(fcinfo, 2, "strict")};

	return settle_batch(fcinfo, receipts, n, &request);
}

Datum
baton_fail_batch(PG_FUNCTION_ARGS)
{
	int			n;
	const text **receipts = receipts_arg(fcinfo, &n);
	SettleRequest request = {.action = EVENT_FAILED,
							 .details = errors_arg(fcinfo, n),
							 .delay = interval_arg_or(fcinfo, 2, "retry_in", true, -1),
							 .retry = bool_arg(fcinfo, 3, "retry"),
							 .strict = bool_arg(fcinfo, 4, "strict")};

	return settle_batch(fcinfo, receipts, n, &request);
}

Datum
baton_release_batch(PG_FUNCTION_ARGS)
{
	int			n;
	const text **receipts = receipts_arg(fcinfo, &n);
	SettleRequest request = {.action = EVENT_RELEASED,
							 .delay = interval_arg_or(fcinfo, 1, "delay", true, 0),
							 .retry = true,
							 .strict = bool_arg(fcinfo, 2, "strict")};

	return settle_batch(fcinfo, receipts, n, &request);
}

Delivery *
complete_and_receive_call(FunctionCallInfo fcinfo, int *n)
{
	int			settling;
	const text **receipts = receipts_arg(fcinfo, &settling);
	SettleRequest request = {.action = EVENT_COMPLETED,
							 .details = results_arg(fcinfo, settling),
							 .strict = true};
	ReceiveOptions options;
	char	   *name = receive_args(fcinfo, 2, &options);

	if (settling > 0)
		settle_claims(receipts, settling, &request, NULL, NULL, NULL);
	return queue_receive(name, &options, n);
}

Datum
baton_complete_and_receive(PG_FUNCTION_ARGS)
{
	return deliveries_as_rows(fcinfo, "complete_and_receive", complete_and_receive_call);
}
