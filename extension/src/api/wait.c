/*
 * api/wait.c
 *	  SQL procedures that wait.
 *
 * A waiting session must hold no snapshot, or it would hold vacuum back everywhere.  So these are
 * procedures: they end the transaction that called them, which CALL allows outside of a
 * transaction block, and wait in a new one that has no snapshot yet.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "api/receive.h"
#include "queue/follow.h"
#include "queue/resolve.h"
#include "queue/wait.h"

PG_FUNCTION_INFO_V1(baton_wait);
PG_FUNCTION_INFO_V1(baton_wait_any);
PG_FUNCTION_INFO_V1(baton_receive_wait);
PG_FUNCTION_INFO_V1(baton_end_wait);
PG_FUNCTION_INFO_V1(baton_wait_log);

static void
end_transaction(FunctionCallInfo fcinfo, const char *name)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic ||
		(MyXactFlags & XACT_FLAGS_PIPELINING))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("baton.%s() cannot wait inside a transaction block", name),
				 errhint("Call it outside of BEGIN ... COMMIT; most drivers need autocommit "
						 "to be switched on for that.")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	SPI_finish();
	InvalidateCatalogSnapshot();
}

static int64
timeout_arg(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("timeout must not be null")));
	return interval_arg_or(fcinfo, n, "timeout", true, 0);
}

/* The row that a CALL with INOUT arguments returns. */
static Datum
return_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static Datum
return_inout(FunctionCallInfo fcinfo, Datum value, bool null)
{
	return return_row(fcinfo, &value, &null);
}

Datum
baton_wait(PG_FUNCTION_ARGS)
{
	QueueRef	ref = resolve_queue(
		queue_name_arg(PG_ARGISNULL(0), PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0)));
	int64		timeout = timeout_arg(fcinfo, 1);
	bool		ready;

	end_transaction(fcinfo, "wait");
	ready = queue_wait(&ref, 1, timeout) >= 0;
	EnsurePortalSnapshotExists();
	return return_inout(fcinfo, BoolGetDatum(ready), false);
}

Datum
baton_wait_any(PG_FUNCTION_ARGS)
{
	Elements	names;
	QueueRef   *refs;
	int64		timeout;
	int			found;
	Datum		result = (Datum) 0;

	names = array_arg(fcinfo, 0, "queues", TEXTOID);
	timeout = timeout_arg(fcinfo, 1);
	if (names.count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("queues must name at least one queue")));
	refs = palloc(names.count * sizeof(QueueRef));
	for (int i = 0; i < names.count; i++)
		refs[i] = resolve_queue(queue_name_arg(names.nulls[i], names.values[i]));
	end_transaction(fcinfo, "wait_any");
	found = queue_wait(refs, names.count, timeout);
	EnsurePortalSnapshotExists();
	if (found >= 0)
		result = names.values[found];
	return return_inout(fcinfo, result, found < 0);
}

Datum
baton_end_wait(PG_FUNCTION_ARGS)
{
	(void) baton_database();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("process_id must not be null")));
	PG_RETURN_BOOL(wait_end(PG_GETARG_INT32(0)));
}

/* receive_wait's result */

#define MAX_TIMESTAMP_TEXT 128

static void
put_key(JsonbParseState **state, const char *key)
{
	JsonbValue	v = {.type = jbvString};

	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
}

static void
put_null(JsonbParseState **state, const char *key)
{
	JsonbValue	v = {.type = jbvNull};

	put_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
put_string(JsonbParseState **state, const char *key, const char *string, int length)
{
	JsonbValue	v = {.type = jbvString};

	put_key(state, key);
	v.val.string.val = unconstify(char *, string);
	v.val.string.len = length;
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
put_number(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue	v = {.type = jbvNumeric};

	put_key(state, key);
	v.val.numeric =
		DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(number)));
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
put_jsonb(JsonbParseState **state, const char *key, Jsonb *value)
{
	JsonbValue	v = {.type = jbvBinary};

	if (value == NULL)
	{
		put_null(state, key);
		return;
	}
	put_key(state, key);
	if (JB_ROOT_IS_SCALAR(value))
		JsonbExtractScalar(&value->root, &v);
	else
	{
		v.val.binary.data = &value->root;
		v.val.binary.len = VARSIZE(value) - VARHDRSZ;
	}
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
put_delivery(JsonbParseState **state, const Delivery *d)
{
	char		buffer[MAX_TIMESTAMP_TEXT + 1];

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	put_string(state, "receipt", d->receipt, RECEIPT_LENGTH);
	put_number(state, "id", d->row.id);
	put_jsonb(state, "payload", d->row.payload);
	put_jsonb(state, "headers", d->row.headers);
	put_number(state, "attempt", d->attempt);
	if (d->row.key)
		put_string(state, "key", VARDATA_ANY(d->row.key), VARSIZE_ANY_EXHDR(d->row.key));
	else
		put_null(state, "key");
	put_number(state, "priority", d->row.priority);
	JsonEncodeDateTime(buffer, TimestampTzGetDatum(d->row.sent_at), TIMESTAMPTZOID, NULL);
	put_string(state, "sent_at", buffer, strlen(buffer));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
deliveries_to_jsonb(const Delivery *deliveries, int n)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
		put_delivery(&state, &deliveries[i]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

Datum
baton_receive_wait(PG_FUNCTION_ARGS)
{
	char	   *name =
		queue_name_arg(PG_ARGISNULL(0), PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0));
	QueueRef	ref = resolve_queue(name);
	ReceiveOptions options = {.max = int_arg(fcinfo, 1, "max", 1, RECEIVE_MAX),
							  .lease = interval_arg_or(fcinfo, 3, "lease", false, 0),
							  .detached = bool_arg(fcinfo, 4, "detached")};
	int64		timeout = timeout_arg(fcinfo, 2);
	TimestampTz start = baton_now();
	Delivery   *deliveries = NULL;
	int			n = 0;

	end_transaction(fcinfo, "receive_wait");
	while (n == 0)
	{
		int64		left = Max(start + timeout - baton_now(), 0);

		if (queue_wait(&ref, 1, left) < 0)
			break;
		EnsurePortalSnapshotExists();
		PushActiveSnapshot(GetLatestSnapshot());
		deliveries = queue_receive(name, &options, &n);
		PopActiveSnapshot();
		if (n == 0)
		{
			if (left == 0)
				break;
			end_transaction(fcinfo, "receive_wait");	/* another one was faster: no snapshot while waiting */
		}
	}
	EnsurePortalSnapshotExists();
	return return_inout(fcinfo, JsonbPGetDatum(deliveries_to_jsonb(deliveries, n)), false);
}

/* wait_log */

#define LOG_BATCH 1000

static Datum
ids_array(Datum *ids, int n)
{
	return PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

Datum
baton_wait_log(PG_FUNCTION_ARGS)
{
	TailFilter	filter = {.database = baton_database()};
	int64		timeout = timeout_arg(fcinfo, 1);
	int64		mark = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT64(2);
	TailEntry  *entries = palloc(LOG_BATCH * sizeof(TailEntry));
	Datum	   *ids = palloc(LOG_BATCH * sizeof(Datum));
	Datum		values[3];
	bool		nulls[3] = {false};
	int			n;

	if (!PG_ARGISNULL(0))
		filter.queue_id = resolve_queue(queue_name_arg(false, PG_GETARG_DATUM(0))).id;
	end_transaction(fcinfo, "wait_log");
	n = follow_wait(&filter, &mark, timeout, entries, LOG_BATCH);
	EnsurePortalSnapshotExists();

	values[0] = Int64GetDatum(mark);
	nulls[1] = nulls[2] = n < 0;
	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(entries[i].event_id);
	values[1] = n < 0 ? (Datum) 0 : ids_array(ids, n);
	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(entries[i].message_id);
	values[2] = n < 0 ? (Datum) 0 : ids_array(ids, n);
	return return_row(fcinfo, values, nulls);
}
