/* ---- who may do what ---- */

/*
 * Nobody has USAGE on the schema until it is granted; with it, a role can send and receive.
 * What changes queues is for those to whom it is granted, function by function.  The
 * views need USAGE too; it isn't granted to pg_monitor, which is not meant to receive.
 */
REVOKE ALL ON FUNCTION create_queue, alter_queue, drop_queue, purge_queue, pause_queue, resume_queue FROM PUBLIC;
REVOKE ALL ON PROCEDURE cleanup_queue FROM PUBLIC;
REVOKE ALL ON FUNCTION _installed FROM PUBLIC;
REVOKE ALL ON PROCEDURE wait_log FROM PUBLIC;

GRANT SELECT ON message, queue_log, queue, in_flight, segment_status, health TO pg_monitor;
GRANT EXECUTE ON PROCEDURE wait_log TO pg_monitor;

SELECT _installed();
