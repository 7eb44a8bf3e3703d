/* ---- who may do what ---- */

/*
 * Nobody has USAGE on the schema until it is granted; with it, a role can send and receive.
 * What changes queues is for those to whom it is granted, function by function.  The
 * views need USAGE too; it isn't granted to pg_monitor, which is not meant to receive.
 *
 * This is said of objects that are new, and not again in an upgrade: GRANT and REVOKE in an extension's script
 * make all privileges that the object has by then a part of the extension, those that an administrator has
 * granted among them, and a dump leaves out what is part of an extension.
 */
DO $$
DECLARE
	managing text[] := '{create_queue, alter_queue, drop_queue, purge_queue, pause_queue, resume_queue, cleanup_queue, _installed}';
	watching text[] := '{queue_counters, window_use, wait_log}';
	views text[] := '{message, queue_log, queue, in_flight, segment_status, health}';
	fresh record;
BEGIN
	FOR fresh IN
		SELECT p.oid::regprocedure AS what, proname = ANY (watching) AS watched FROM pg_proc p
		WHERE pronamespace = '@extschema@'::regnamespace AND proname = ANY (managing || watching) AND
			NOT EXISTS (SELECT FROM pg_init_privs WHERE classoid = 'pg_proc'::regclass AND objoid = p.oid)
	LOOP
		EXECUTE 'REVOKE ALL ON ROUTINE ' || fresh.what || ' FROM PUBLIC';
		IF fresh.watched THEN
			EXECUTE 'GRANT EXECUTE ON ROUTINE ' || fresh.what || ' TO pg_monitor';
		END IF;
	END LOOP;
	FOR fresh IN
		SELECT c.oid::regclass AS what FROM pg_class c
		WHERE relnamespace = '@extschema@'::regnamespace AND relname = ANY (views) AND
			NOT EXISTS (SELECT FROM pg_init_privs WHERE classoid = 'pg_class'::regclass AND objoid = c.oid)
	LOOP
		EXECUTE 'GRANT SELECT ON ' || fresh.what || ' TO pg_monitor';
	END LOOP;
END
$$;

SELECT _installed();
