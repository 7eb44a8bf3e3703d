/*
 * From 0.1.0 to 0.2.0: what must go or change before the install script runs over what is there.
 * That script makes whatever is missing and replaces functions and views in place, so only the
 * following is said here: columns of tables that exist, functions whose arguments changed
 * (who was granted them is asked to be granted them again), tables of the log that exist.
 */
\echo Use "ALTER EXTENSION baton UPDATE" to load this file. \quit

ALTER TABLE @extschema@.queue_definition
	ADD COLUMN retention interval NOT NULL DEFAULT '7 days' CHECK (retention >= '0' AND retention <= '1000 years'),
	ADD COLUMN purged_id bigint NOT NULL DEFAULT 0,
	SET (autovacuum_vacuum_cost_delay = 0);

/* The log's tables that exist inherit it. */
ALTER TABLE @extschema@.event_log ADD COLUMN xid xid;

/* The view lets go of the function, and stays, as others' views may depend on it. */
CREATE OR REPLACE VIEW @extschema@.queue AS
SELECT name, paused, max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight, created_at,
	NULL::bigint AS depth, false AS exact, NULL::bigint AS ready, NULL::bigint AS delayed, NULL::bigint AS in_flight,
	NULL::bigint AS blocked, false AS spilled, NULL::timestamptz AS oldest, NULL::bigint AS sent,
	NULL::bigint AS delivered, NULL::bigint AS completed, NULL::bigint AS failed, NULL::bigint AS vanished,
	NULL::bigint AS dead
FROM @extschema@.queue_definition;
DROP FUNCTION @extschema@._queues();
DROP FUNCTION @extschema@.create_queue(text, integer, integer, interval, interval, interval, integer, boolean);
DROP FUNCTION @extschema@.alter_queue(text, integer, integer, interval, interval, interval, integer);

/* They return a type that has a name now. */
DROP FUNCTION @extschema@.receive(text, integer, interval, boolean);
DROP FUNCTION @extschema@.complete_and_receive(text[], jsonb[], text, integer, interval, boolean);
