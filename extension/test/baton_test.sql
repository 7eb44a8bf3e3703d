-- What test builds of the extension offer to tests.  See src/testing.c.
CREATE SCHEMA baton_test;
-- Who comes by the point from now on waits there, until release.
CREATE FUNCTION baton_test.hold(point text) RETURNS void
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_hold';
CREATE FUNCTION baton_test.release(point text) RETURNS void
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_release';
-- The next one who comes by gets an error.
CREATE FUNCTION baton_test.fail(point text) RETURNS void
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_fail';
-- Whether a session waits at the point.
CREATE FUNCTION baton_test.held(point text) RETURNS boolean
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_held';
-- The next one who comes by the point waits there, until release; others pass.
CREATE FUNCTION baton_test.hold_one(point text) RETURNS void
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_hold_one';
-- Lets everybody go, and the clock is the system's again.
CREATE FUNCTION baton_test.clear() RETURNS void
	LANGUAGE c AS '$libdir/baton', 'baton_test_clear';
-- Moves the extension's clock, for all sessions: this much ahead of the system's.
CREATE FUNCTION baton_test.set_clock(ahead interval) RETURNS void
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_set_clock';
-- Wakes all sessions and workers: what they do from time to time they do now.
CREATE FUNCTION baton_test.wake() RETURNS void
	LANGUAGE c AS '$libdir/baton', 'baton_test_wake';
-- Checks every invariant of shared memory; the number of slots in use.
CREATE FUNCTION baton_test.check_memory() RETURNS integer
	LANGUAGE c AS '$libdir/baton', 'baton_test_check_memory';
-- Waits until the condition, an expression in SQL, is true.
CREATE FUNCTION baton_test.wait_until(condition text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	answer boolean;
BEGIN
	FOR i IN 1..3000 LOOP
		EXECUTE 'SELECT ' || condition INTO answer;
		EXIT WHEN answer;
		PERFORM pg_catalog.pg_sleep(0.01);	-- between two looks
	END LOOP;
	IF answer IS NOT TRUE THEN
		RAISE EXCEPTION 'waited in vain for: %', condition;
	END IF;
END;
$$;
-- Waits until a session waits at the point.
CREATE FUNCTION baton_test.wait_held(point text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM baton_test.wait_until(format('baton_test.held(%L)', point));
END;
$$;
-- Runs a statement; its SQLSTATE, or `ok`.  What it did stays if it had no error.
CREATE FUNCTION baton_test.sqlstate(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	state text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
	RETURN state;
END;
$$;
-- For the end of a spec: no held points, the real time, no queues, no such table, and then no slot in use.
CREATE PROCEDURE baton_test.clean(tables text DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM baton_test.clear();
	PERFORM baton.drop_queue(name) FROM baton.queue_definition;
	IF tables IS NOT NULL THEN
		EXECUTE 'DROP TABLE ' || tables;
	END IF;
	COMMIT;
	PERFORM baton_test.wait_until('baton_test.check_memory() = 0');
END;
$$;
-- The isolation tester takes a session for blocked when this function says so.  Ours also knows those that are held at
-- a point or sleep in baton.wait().  The server's own can't be replaced in place: built-in ones are called by
-- their oid, past the catalog.
SET LOCAL allow_system_table_mods = on;
UPDATE pg_catalog.pg_proc SET proname = 'pg_isolation_test_session_is_blocked_by_lock'
WHERE oid = 'pg_catalog.pg_isolation_test_session_is_blocked(integer, integer[])'::pg_catalog.regprocedure;
CREATE FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(integer, integer[]) RETURNS boolean
LANGUAGE sql AS $$
	SELECT pg_catalog.pg_isolation_test_session_is_blocked_by_lock($1, $2) OR
		EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Extension');
$$;
