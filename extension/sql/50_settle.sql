/* ---- saying what became of messages ---- */

CREATE OR REPLACE FUNCTION complete(
	receipt text,
	result jsonb DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_complete';

COMMENT ON FUNCTION complete IS
'The message is done, at commit.  In one transaction with the work it stands for, the work takes effect exactly once.

receipt: from receive.
result: any JSON, kept in the log.

Errors: BT001 the claim is lost (lease over, session gone, settled already): let the transaction roll back, somebody else does or did the work; 55006 another transaction is just settling the message; 22023 not a receipt; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.  0A000 at PREPARE TRANSACTION afterwards.';

CREATE OR REPLACE FUNCTION fail(
	receipt text,
	error text,
	retry_in interval DEFAULT NULL,
	retry boolean DEFAULT true)
RETURNS timestamptz
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_fail';

COMMENT ON FUNCTION fail IS
'The work failed, at commit: the message is tried again later, or is dead if it has failed max_attempts times.  Returns the time from which it may be tried again; null: it is dead.

receipt: from receive.
error: what went wrong, kept in the log.
retry_in: when to try again; null: as the queue''s backoff says.
retry: false: dead at once.

Errors: as complete.';

CREATE OR REPLACE FUNCTION release(
	receipt text,
	delay interval DEFAULT '0')
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_release';

COMMENT ON FUNCTION release IS
'Gives the message back undone, at commit.  Uses up no attempt.

receipt: from receive.
delay: not before that time from now.

Errors: as complete.';

CREATE OR REPLACE FUNCTION extend(
	receipt text,
	lease interval)
RETURNS timestamptz
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_extend';

COMMENT ON FUNCTION extend IS
'The claim lasts that long from now, at once and whether this transaction commits or not.  Returns its new end.

receipt: from receive.
lease: more than 0; may be shorter than what is left.

Errors: as complete.';

CREATE OR REPLACE FUNCTION receipt_queue(receipt text)
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_receipt_queue';

COMMENT ON FUNCTION receipt_queue IS
'The name of the queue of the message that is claimed by this receipt; null: the claim is lost, or just being settled.

receipt: from receive.

Errors: 22023 not a receipt; 22004 null; 25006 standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION complete_batch(
	receipts text[],
	results jsonb[] DEFAULT NULL,
	strict boolean DEFAULT true)
RETURNS TABLE ("position" integer, settled boolean)
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton_complete_batch';

COMMENT ON FUNCTION complete_batch IS
'complete for many receipts.

receipts: from receive, of any queues.
results: null, one for all, or as many as receipts.
strict: true: all or nothing, the error''s DETAIL has the positions of claims that are lost; false: those are left out, and have settled false.
position: in receipts, from 1.

Errors: as complete; 22023 also for a results array of another length.';

CREATE OR REPLACE FUNCTION fail_batch(
	receipts text[],
	errors text[],
	retry_in interval DEFAULT NULL,
	retry boolean DEFAULT true,
	strict boolean DEFAULT true)
RETURNS TABLE ("position" integer, settled boolean)
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton_fail_batch';

COMMENT ON FUNCTION fail_batch IS
'fail for many receipts.

receipts: from receive, of any queues.
errors: one for all, or as many as receipts.
retry_in, retry: as for fail, for all.
strict, position: as for complete_batch.

Errors: as complete_batch.';

CREATE OR REPLACE FUNCTION release_batch(
	receipts text[],
	delay interval DEFAULT '0',
	strict boolean DEFAULT true)
RETURNS TABLE ("position" integer, settled boolean)
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton_release_batch';

COMMENT ON FUNCTION release_batch IS
'release for many receipts.

receipts: from receive, of any queues.
delay: as for release, for all.
strict, position: as for complete_batch.

Errors: as complete_batch.';

CREATE OR REPLACE FUNCTION complete_and_receive(
	receipts text[],
	results jsonb[],
	queue text,
	max integer DEFAULT 1,
	lease interval DEFAULT NULL,
	detached boolean DEFAULT false)
RETURNS SETOF delivery
LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'baton_complete_and_receive';

COMMENT ON FUNCTION complete_and_receive IS
'complete_batch, strict, and then receive: a worker''s whole loop in one round trip.  Call it in FROM.

receipts, results: as for complete_batch; receipts may be empty, results null.
The others, and the columns: as for receive.

Errors: as complete_batch and receive; after an error nothing has been completed or received.';
