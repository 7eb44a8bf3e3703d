/*
 * log/definition.c
 *	  Queues as the database knows them: table queue_definition; and blocks of ids.
 *
 * Statements run as the extension's owner, so that nobody needs a grant on the table.
 * They take the latest snapshot whatever the isolation level, since a queue that others
 * already use must be found here too; only the isolation level's own rule
 * stays, that a row changed since the transaction's snapshot can't be changed again.
 */
#include "postgres.h"

#include "log/definition.h"
#include "log/schema.h"

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
	"max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight, paused"
#define POLICY_TYPES INT4OID, INT4OID, INTERVALOID, INTERVALOID, INTERVALOID, INT4OID, BOOLOID
#define POLICY_VALUES 7
#define MAX_VALUES (POLICY_VALUES + 1)

/* ---- running a statement ---- */

/* A statement in the making; values first ones first, none of them null. */
typedef struct Statement
{
	LogOwnerContext context;
	MemoryContext caller;		/* where results go */
	Datum		values[MAX_VALUES];
} Statement;

static void
begin_statement(Statement *statement)
{
	statement->caller = CurrentMemoryContext;
	log_enter_owner(&statement->context);
	SPI_connect();
}

/* Runs `sql`, where %s stands for the schema, and returns the number of rows. */
static uint64
run_statement(Statement *statement, const char *sql, int nvalues, const Oid *types,
			  int expected)
{
	const char *schema = quote_identifier(get_namespace_name(log_schema(false)->namespace));
	SPIPlanPtr	plan = SPI_prepare(psprintf(sql, schema), nvalues, unconstify(Oid *, types));
	int			result;

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	result = SPI_execute_snapshot(plan, statement->values, NULL, GetLatestSnapshot(),
								  InvalidSnapshot, false, true, 0);
	if (result != expected)
		elog(ERROR, "unexpected result %d of: %s", result, sql);
	return SPI_processed;
}

static void
end_statement(Statement *statement)
{
	SPI_finish();
	log_leave_owner(&statement->context);
}

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
}

/* ---- what others call ---- */

bool
log_definition_insert(QueueDefinition *definition)
{
	static const Oid types[] = {TEXTOID, POLICY_TYPES};
	Statement	statement;
	bool		isnull;
	bool		inserted;

	begin_statement(&statement);
	statement.values[0] = CStringGetTextDatum(definition->name);
	policy_values(&definition->policy, &statement.values[1]);
	inserted = run_statement(&statement,
							 "INSERT INTO %s.queue_definition (name, " POLICY_COLUMNS ")"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
							 " ON CONFLICT (name) DO NOTHING RETURNING id",
							 lengthof(types), types, SPI_OK_INSERT_RETURNING) > 0;
	if (inserted)
		definition->id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
													 SPI_tuptable->tupdesc, 1, &isnull));
	end_statement(&statement);
	return inserted;
}

bool
log_definition_get(const char *name, bool for_update, QueueDefinition *out)
{
	static const Oid types[] = {TEXTOID};
	Statement	statement;
	bool		found;

	begin_statement(&statement);
	statement.values[0] = CStringGetTextDatum(name);
	found = run_statement(&statement,
						  for_update ?
						  "SELECT id, name, " POLICY_COLUMNS " FROM %s.queue_definition"
						  " WHERE name = $1 FOR UPDATE" :
						  "SELECT id, name, " POLICY_COLUMNS " FROM %s.queue_definition"
						  " WHERE name = $1",
						  lengthof(types), types, SPI_OK_SELECT) > 0;
	if (found)
		read_definition(0, out);
	end_statement(&statement);
	return found;
}

QueueDefinition *
log_definition_list(int *count)
{
	Statement	statement;
	QueueDefinition *list;

	begin_statement(&statement);
	*count = (int) run_statement(&statement,
								 "SELECT id, name, " POLICY_COLUMNS
								 " FROM %s.queue_definition ORDER BY id",
								 0, NULL, SPI_OK_SELECT);
	list = MemoryContextAlloc(statement.caller, sizeof(QueueDefinition) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		read_definition(i, &list[i]);
	end_statement(&statement);
	return list;
}

void
log_definition_update(const QueueDefinition *definition)
{
	static const Oid types[] = {INT4OID, POLICY_TYPES};
	Statement	statement;

	begin_statement(&statement);
	statement.values[0] = Int32GetDatum(definition->id);
	policy_values(&definition->policy, &statement.values[1]);
	if (run_statement(&statement,
					  "UPDATE %s.queue_definition SET (" POLICY_COLUMNS ")"
					  " = ($2, $3, $4, $5, $6, $7, $8) WHERE id = $1",
					  lengthof(types), types, SPI_OK_UPDATE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", definition->name)));
	end_statement(&statement);
}

void
log_definition_delete(int32 id)
{
	static const Oid types[] = {INT4OID};
	Statement	statement;

	begin_statement(&statement);
	statement.values[0] = Int32GetDatum(id);
	run_statement(&statement, "DELETE FROM %s.queue_definition WHERE id = $1",
				  lengthof(types), types, SPI_OK_DELETE);
	end_statement(&statement);
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
