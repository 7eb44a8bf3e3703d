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

DROP VIEW @extschema@.queue, @extschema@.message;
DROP FUNCTION @extschema@._queues();
DROP FUNCTION @extschema@.create_queue(text, integer, integer, interval, interval, interval, integer, boolean);
DROP FUNCTION @extschema@.alter_queue(text, integer, integer, interval, interval, interval, integer);

/* They return a type that has a name now. */
DROP FUNCTION @extschema@.receive(text, integer, interval, boolean);
DROP FUNCTION @extschema@.complete_and_receive(text[], jsonb[], text, integer, interval, boolean);
