/*
 * api/receive.c
 *	  SQL functions that receive, and those that show and give back what is held.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "api/receive.h"
#include "memory/directory.h"
#include "queue/resolve.h"
#include "queue/xact.h"

PG_FUNCTION_INFO_V1(baton_receive);
PG_FUNCTION_INFO_V1(baton_held);
PG_FUNCTION_INFO_V1(baton_release_held);

char *
receive_args(FunctionCallInfo fcinfo, int first, ReceiveOptions *options)
{
	char	   *name =
		queue_name_arg(PG_ARGISNULL(first), PG_ARGISNULL(first) ? (Datum) 0
																: PG_GETARG_DATUM(first));

	options->max = int_arg(fcinfo, first + 1, "max", 1, RECEIVE_MAX);
	options->lease = interval_arg_or(fcinfo, first + 2, "lease", false, 0);
	options->detached = bool_arg(fcinfo, first + 3, "detached");
	return name;
}

Datum
delivery_column(const Delivery *d, int column, bool *isnull)
{
	*isnull = false;
	switch (column)
	{
		case 1:
			return PointerGetDatum(cstring_to_text_with_len(d->receipt, RECEIPT_LENGTH));
		case 2:
			return Int64GetDatum(d->row.id);
		case 3:
			*isnull = d->row.payload == NULL;
			return JsonbPGetDatum(d->row.payload);
		case 4:
			*isnull = d->row.headers == NULL;
			return JsonbPGetDatum(d->row.headers);
		case 5:
			return Int32GetDatum(d->attempt);
		case 6:
			*isnull = d->row.key == NULL;
			return PointerGetDatum(d->row.key);
		case 7:
			return Int32GetDatum(d->row.priority);
		case 8:
			return TimestampTzGetDatum(d->row.sent_at);
	}
	pg_unreachable();
}

Datum
deliveries_as_rows(FunctionCallInfo fcinfo, const char *name, Receiver receiver)
{
	Rows		rows;
	Delivery   *deliveries;
	int			n;

	rows_begin(fcinfo, name, &rows);
	deliveries = receiver(fcinfo, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[DELIVERY_COLUMNS];
		bool		nulls[DELIVERY_COLUMNS];

		for (int column = 0; column < DELIVERY_COLUMNS; column++)
			values[column] = delivery_column(&deliveries[i], column + 1, &nulls[column]);
		rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

Delivery *
receive_call(FunctionCallInfo fcinfo, const Elements *given, int *n)
{
	ReceiveOptions options;
	char	   *name = receive_args(fcinfo, 0, &options);

	return queue_receive(name, &options, n);
}

Datum
baton_receive(PG_FUNCTION_ARGS)
{
	return deliveries_as_rows(fcinfo, "receive", receive_call);
}

Datum
baton_held(PG_FUNCTION_ARGS)
{
	Rows		rows;
	uint32		n;
	const LocalClaim *claims;

	rows_begin(fcinfo, NULL, &rows);
	(void) baton_database();
	claims = xact_claims(&n);
	for (uint32 i = 0; i < n; i++)
	{
		Slot		s = slots[claims[i].slot];
		char		receipt[RECEIPT_LENGTH + 1];
		Datum		values[6];
		bool		nulls[6] = {false};

		if (s.state != SLOT_CLAIMED || s.generation != claims[i].generation ||
			claims[i].detached)
			continue;
		claim_receipt(claims[i].slot, s.generation, s.id, receipt);
		values[0] = CStringGetTextDatum(receipt);
		values[1] = Int64GetDatum(s.id);
		values[2] = CStringGetTextDatum(queues[s.queue].name);
		values[3] = Int32GetDatum(s.failures + s.crashes + 1);
		values[4] = TimestampTzGetDatum(s.claimed_at);
		values[5] = TimestampTzGetDatum(s.due);
		nulls[5] = s.due == 0;
		rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

Datum
baton_release_held(PG_FUNCTION_ARGS)
{
	(void) baton_database();
	PreventCommandIfReadOnly("baton.release_held()");
	PG_RETURN_INT32((int32) xact_release_claims());
}
