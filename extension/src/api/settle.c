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
receipts_of(const Elements *receipts)
{
	const text **out = palloc(Max(receipts->count, 1) * sizeof(text *));

	if (receipts->values == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("receipts must not be null")));
	for (int i = 0; i < receipts->count; i++)
	{
		if (receipts->nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("receipt must not be null"),
							errdetail("Element %d of receipts is.", i + 1)));
		out[i] = DatumGetTextPP(receipts->values[i]);
	}
	return out;
}

/* Raises 22023 unless there is one element for all, or as many as receipts, or none at all. */
static void
check_details(const Elements *details, const char *what, int receipts)
{
	if (details->values != NULL && details->count != receipts && details->count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has %d elements for %d receipts", what, details->count, receipts),
				 errhint("Give one element for all, or as many as receipts.")));
}

static Jsonb **
results_of(const Elements *elements, int n)
{
	Jsonb	  **results = palloc0(Max(n, 1) * sizeof(Jsonb *));
	Datum		value;

	check_details(elements, "results", n);
	for (int i = 0; i < n; i++)
		if (element_for(elements, i, &value))
			results[i] = DatumGetJsonbP(value);
	return results;
}

static Jsonb **
errors_of(const Elements *elements, int n)
{
	Jsonb	  **details = palloc0(Max(n, 1) * sizeof(Jsonb *));
	Datum		value;

	check_details(elements, "errors", n);
	for (int i = 0; i < n; i++)
		if (element_for(elements, i, &value))
			details[i] = error_detail(TextDatumGetCString(value), 0);
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
	Elements	receipts = array_arg(fcinfo, 0, "receipts", TEXTOID);
	const text **settling = receipts_of(&receipts);
	Elements	results = array_arg(fcinfo, 1, "results", JSONBOID);
	SettleRequest request = {.action = EVENT_COMPLETED,
							 .details = results_of(&results, receipts.count),
							 .strict = bool_arg(fcinfo, 2, "strict")};

	return settle_batch(fcinfo, settling, receipts.count, &request);
}

Datum
baton_fail_batch(PG_FUNCTION_ARGS)
{
	Elements	receipts = array_arg(fcinfo, 0, "receipts", TEXTOID);
	const text **settling = receipts_of(&receipts);
	Elements	errors = array_arg(fcinfo, 1, "errors", TEXTOID);
	SettleRequest request = {.action = EVENT_FAILED,
							 .details = errors_of(&errors, receipts.count),
							 .delay = interval_arg_or(fcinfo, 2, "retry_in", true, -1),
							 .retry = bool_arg(fcinfo, 3, "retry"),
							 .strict = bool_arg(fcinfo, 4, "strict")};

	return settle_batch(fcinfo, settling, receipts.count, &request);
}

Datum
baton_release_batch(PG_FUNCTION_ARGS)
{
	Elements	receipts = array_arg(fcinfo, 0, "receipts", TEXTOID);
	const text **settling = receipts_of(&receipts);
	SettleRequest request = {.action = EVENT_RELEASED,
							 .delay = interval_arg_or(fcinfo, 1, "delay", true, 0),
							 .retry = true,
							 .strict = bool_arg(fcinfo, 2, "strict")};

	return settle_batch(fcinfo, settling, receipts.count, &request);
}

/* Argument n as an array, unless its elements were given instead. */
static Elements
elements_arg(FunctionCallInfo fcinfo, const Elements *given, int n, const char *what, Oid type)
{
	if (given != NULL && given[n].values != NULL)
		return given[n];
	return array_arg(fcinfo, n, what, type);
}

Delivery *
complete_and_receive_call(FunctionCallInfo fcinfo, const Elements *given, int *n)
{
	Elements	receipts = elements_arg(fcinfo, given, 0, "receipts", TEXTOID);
	const text **settling = receipts_of(&receipts);
	Elements	results = elements_arg(fcinfo, given, 1, "results", JSONBOID);
	SettleRequest request = {.action = EVENT_COMPLETED,
							 .details = results_of(&results, receipts.count),
							 .strict = true};
	ReceiveOptions options;
	char	   *name = receive_args(fcinfo, 2, &options);

	if (receipts.count > 0)
		settle_claims(settling, receipts.count, &request, NULL, NULL, NULL);
	return queue_receive(name, &options, n);
}

Datum
baton_complete_and_receive(PG_FUNCTION_ARGS)
{
	return deliveries_as_rows(fcinfo, "complete_and_receive", complete_and_receive_call);
}
