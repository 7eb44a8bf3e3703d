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
-- Lets everybody go, and the clock is the system's again.
CREATE FUNCTION baton_test.clear() RETURNS void
	LANGUAGE c AS '$libdir/baton', 'baton_test_clear';
-- Moves the extension's clock, for all sessions: this much ahead of the system's.
CREATE FUNCTION baton_test.set_clock(ahead interval) RETURNS void
	LANGUAGE c STRICT AS '$libdir/baton', 'baton_test_set_clock';
-- Checks every invariant of shared memory; the number of slots in use.
CREATE FUNCTION baton_test.check_memory() RETURNS integer
	LANGUAGE c AS '$libdir/baton', 'baton_test_check_memory';
