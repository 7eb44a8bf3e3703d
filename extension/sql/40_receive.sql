/* ---- taking messages out, and waiting for them ---- */

/*
 * A type with a name, since PostgreSQL puts together the row of a RETURNS TABLE from the catalog again at
 * each call, which takes as long as receiving a message.
 */
DO $$
BEGIN
	IF to_regtype('baton.delivery') IS NULL THEN
		CREATE TYPE delivery AS (
			receipt text,
			id bigint,
			payload jsonb,
			headers jsonb,
			attempt integer,
			key text,
			priority integer,
			sent_at timestamptz);
	END IF;
END
$$;

COMMENT ON TYPE delivery IS
'A claimed message, as receive and complete_and_receive return it.

receipt: what complete, fail, release and extend want; any session may use it.
attempt: 1 at the first delivery.
The others: as they were sent.';

CREATE OR REPLACE FUNCTION receive(
	queue text,
	max integer DEFAULT 1,
	lease interval DEFAULT NULL,
	detached boolean DEFAULT false)
RETURNS SETOF delivery
LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'baton_receive';

COMMENT ON FUNCTION receive IS
'Claims up to max messages that are ready and returns them, best first; no rows if there are none.  Never waits.  Call it in FROM: SELECT * FROM baton.receive(...).

queue: its name.
max: at least 1.
lease: how long the claims last, counted from the end of this transaction; null: the queue''s lease.
detached: false: the claims end with this session at the latest; true: they outlive it, for consumers behind a pooler.

receipt: what complete, fail, release and extend want; any session may use it.
attempt: 1 at the first delivery.
If this transaction rolls back, the claims end and the messages are delivered again.

Errors: 42704 no such queue; 22023 bad value; 0A000 elsewhere than in FROM; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.  0A000 at PREPARE TRANSACTION after a receive.';

CREATE OR REPLACE PROCEDURE wait(
	queue text,
	timeout interval DEFAULT '30 s',
	INOUT ready boolean DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_wait';

COMMENT ON PROCEDURE wait IS
'Waits until the queue has a message to receive.  Ends the current transaction first, so it holds no snapshot while it waits.  Claims nothing: receive right after it, or another session does.

timeout: at most that long.
ready: false: the time ran out.

Errors: 25001 in a transaction block; 42704 no such queue; 22023 bad value; 25006 standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE PROCEDURE wait_any(
	queues text[],
	timeout interval DEFAULT '30 s',
	INOUT ready text DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_wait_any';

COMMENT ON PROCEDURE wait_any IS
'Waits until one of the queues has a message to receive, as wait does.

queues: their names.
timeout: at most that long.
ready: the name of a queue that has something, the first in the array if there are several; null: the time ran out.

Errors: as wait.';

CREATE OR REPLACE PROCEDURE receive_wait(
	queue text,
	max integer DEFAULT 1,
	timeout interval DEFAULT '30 s',
	lease interval DEFAULT NULL,
	detached boolean DEFAULT false,
	INOUT messages jsonb DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_receive_wait';

COMMENT ON PROCEDURE receive_wait IS
'Waits until the queue has a message, and receives, in one round trip.  Waits as wait does; arguments as for wait and receive.

messages: an array of objects with the columns of receive as keys; [] if the time ran out.

Errors: as wait and receive.';

CREATE OR REPLACE FUNCTION end_wait(process_id integer)
RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_end_wait';

COMMENT ON FUNCTION end_wait IS
'Ends the wait, wait_any or receive_wait of another session, as if its time had run out; if it isn''t waiting just now, its next one.  For who wants to wait for other queues: cheaper than a cancel, and no error.  Returns false if this database has no such session.

process_id: of the session, as in pg_stat_activity.

Errors: 42501 neither a member of the session''s role nor of pg_signal_backend; 22004 null; 25006 standby; 55000 baton is not in shared_preload_libraries.';
