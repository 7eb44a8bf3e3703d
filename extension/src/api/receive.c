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

void
put_deliveries(Rows *rows, const Delivery *deliveries, int n)
{
	for (int i = 0; i < n; i++)
	{
		const Delivery *d = &deliveries[i];
		Datum		values[8];
		bool		nulls[8] = {false};

		values[0] = PointerGetDatum(cstring_to_text_with_len(d->receipt, RECEIPT_LENGTH));
		values[1] = Int64GetDatum(d->row.id);
		values[2] = JsonbPGetDatum(d->row.payload);
		nulls[2] = d->row.payload == NULL;
		values[3] = JsonbPGetDatum(d->row.headers);
		nulls[3] = d->row.headers == NULL;
		values[4] = Int32GetDatum(d->attempt);
		values[5] = PointerGetDatum(d->row.key);
		nulls[5] = d->row.key == NULL;
		values[6] = Int32GetDatum(d->row.priority);
		values[7] = TimestampTzGetDatum(d->row.sent_at);
		rows_put(rows, values, nulls);
	}
}

Datum
baton_receive(PG_FUNCTION_ARGS)
{
	ReceiveOptions options;
	char	   *name;
	Delivery   *deliveries;
	Rows		rows;
	int			n;

	rows_begin(fcinfo, "receive", &rows);
	name = receive_args(fcinfo, 0, &options);
	deliveries = queue_receive(name, &options, &n);
	put_deliveries(&rows, deliveries, n);
	return (Datum) 0;
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
