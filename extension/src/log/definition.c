/*
 * log/definition.c
 *	  Queues as the database knows them: table queue_definition; and blocks of ids.
 *
 * Statements take the latest snapshot whatever the isolation level, since a queue that others
 * already use must be found here too; only the isolation level's own rule
 * stays, that a row changed since the transaction's snapshot can't be changed again.
 */
#include "postgres.h"

#include "log/definition.h"
#include "log/schema.h"
#include "log/statement.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define POLICY_COLUMNS \
	"max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight, paused, retention, " \
	"purged_id"
#define POLICY_TYPES \
	INT4OID, INT4OID, INTERVALOID, INTERVALOID, INTERVALOID, INT4OID, BOOLOID, INTERVALOID, INT8OID
#define POLICY_VALUES 9

/* ---- rows ---- */

static Datum
interval_datum(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->day = (int32) (microseconds / USECS_PER_DAY);
	interval->time = microseconds % USECS_PER_DAY;
	return IntervalPGetDatum(interval);
}

/* Months count 30 days; the table's constraints keep the sum well inside int64. */
static int64
interval_microseconds(Datum datum)
{
	Interval   *interval = DatumGetIntervalP(datum);

	return interval->time +
		((int64) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;
}

static void
policy_values(const QueuePolicy *policy, Datum *values)
{
	values[0] = Int32GetDatum(policy->max_attempts);
	values[1] = Int32GetDatum(policy->max_crashes);
	values[2] = interval_datum(policy->backoff);
	values[3] = interval_datum(policy->backoff_max);
	values[4] = interval_datum(policy->lease);
	values[5] = Int32GetDatum(policy->key_in_flight);
	values[6] = BoolGetDatum(policy->paused);
	values[7] = interval_datum(policy->retention);
	values[8] = Int64GetDatum(policy->purged_id);
}

/* The n-th result row, of columns id, name, POLICY_COLUMNS.  All of them are not null. */
static void
read_definition(uint64 n, QueueDefinition *out)
{
	Datum		values[2 + POLICY_VALUES];
	bool		isnull[2 + POLICY_VALUES];

	heap_deform_tuple(SPI_tuptable->vals[n], SPI_tuptable->tupdesc, values, isnull);
	memset(out, 0, sizeof(*out));
	out->id = DatumGetInt32(values[0]);
	text_to_cstring_buffer(DatumGetTextPP(values[1]), out->name, sizeof(out->name));
	out->policy.max_attempts = DatumGetInt32(values[2]);
	out->policy.max_crashes = DatumGetInt32(values[3]);
	out->policy.backoff = interval_microseconds(values[4]);
	out->policy.backoff_max = interval_microseconds(values[5]);
	out->policy.lease = interval_microseconds(values[6]);
	out->policy.key_in_flight = DatumGetInt32(values[7]);
	out->policy.paused = DatumGetBool(values[8]);
	out->policy.retention = interval_microseconds(values[9]);
	out->policy.purged_id = DatumGetInt64(values[10]);
}

/* ---- what others call ---- */

bool
log_definition_insert(QueueDefinition *definition)
{
	static const Oid types[] = {TEXTOID, POLICY_TYPES};
	Datum		values[lengthof(types)];
	Statement	statement;
	bool		isnull;
	bool		inserted;

	statement_begin(&statement);
	values[0] = CStringGetTextDatum(definition->name);
	policy_values(&definition->policy, &values[1]);
	inserted = statement_run("INSERT INTO %1$s.queue_definition (name, " POLICY_COLUMNS ")"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
							 " ON CONFLICT (name) DO NOTHING RETURNING id",
							 lengthof(types), types, values, NULL,
							 SPI_OK_INSERT_RETURNING) > 0;
	if (inserted)
		definition->id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
													 SPI_tuptable->tupdesc, 1, &isnull));
	statement_end(&statement);
	return inserted;
}

bool
log_definition_get(const char *name, bool for_update, QueueDefinition *out)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[1];
	Statement	statement;
	bool		found;

	statement_begin(&statement);
	values[0] = CStringGetTextDatum(name);
	found = statement_run(for_update ?
						  "SELECT id, name, " POLICY_COLUMNS " FROM %1$s.queue_definition"
						  " WHERE name = $1 FOR UPDATE" :
						  "SELECT id, name, " POLICY_COLUMNS " FROM %1$s.queue_definition"
						  " WHERE name = $1",
						  lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0;
	if (found)
		read_definition(0, out);
	statement_end(&statement);
	return found;
}

QueueDefinition *
log_definition_list(int *count)
{
	Statement	statement;
	QueueDefinition *list;

	statement_begin(&statement);
	*count = (int) statement_run("SELECT id, name, " POLICY_COLUMNS
								 " FROM %1$s.queue_definition ORDER BY id",
								 0, NULL, NULL, NULL, SPI_OK_SELECT);
	list = MemoryContextAlloc(statement.caller, sizeof(QueueDefinition) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		read_definition(i, &list[i]);
	statement_end(&statement);
	return list;
}

void
log_definition_update(const QueueDefinition *definition)
{
	static const Oid types[] = {INT4OID, POLICY_TYPES};
	Datum		values[lengthof(types)];
	Statement	statement;

	statement_begin(&statement);
	values[0] = Int32GetDatum(definition->id);
	policy_values(&definition->policy, &values[1]);
	if (statement_run("UPDATE %1$s.queue_definition SET (" POLICY_COLUMNS ")"
					  " = ($2, $3, $4, $5, $6, $7, $8, $9, $10) WHERE id = $1",
					  lengthof(types), types, values, NULL, SPI_OK_UPDATE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", definition->name)));
	statement_end(&statement);
}

void
log_definition_delete(int32 id)
{
	static const Oid types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	Statement	statement;

	statement_begin(&statement);
	statement_run("DELETE FROM %1$s.queue_definition WHERE id = $1", lengthof(types), types,
				  values, NULL, SPI_OK_DELETE);
	statement_end(&statement);
}

/* ---- blocks of ids ---- */

static int64
sequence_increment(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	int64		increment;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	increment = ((Form_pg_sequence) GETSTRUCT(tuple))->seqincrement;
	ReleaseSysCache(tuple);
	return increment;
}

/*
 * A sequence writes WAL for many values ahead, so this backend's value may be covered by a
 * record of another one that isn't on disk yet: what counts is the page's LSN.
 */
static void
flush_sequence(Oid sequence)
{
	Relation	rel = table_open(sequence, AccessShareLock);
	Buffer		buffer = ReadBuffer(rel, 0);
	XLogRecPtr	lsn;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	lsn = BufferGetLSNAtomic(buffer);
	UnlockReleaseBuffer(buffer);
	table_close(rel, NoLock);
	XLogFlush(lsn);
}

int64
log_id_block(int64 *count)
{
	Oid			sequence = log_schema(false)->id_block;
	int64		first = nextval_internal(sequence, false);

	*count = sequence_increment(sequence);
	flush_sequence(sequence);
	return first;
}
