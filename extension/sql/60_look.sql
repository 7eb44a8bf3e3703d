/* ---- claims of a session, one message, maintenance ---- */

CREATE OR REPLACE FUNCTION held()
RETURNS TABLE (
	receipt text,
	id bigint,
	queue text,
	attempt integer,
	claimed_at timestamptz,
	lease_until timestamptz)
LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'baton_held';

COMMENT ON FUNCTION held IS
'The claims of this session, but for detached ones, in the order in which they were made.

lease_until: null: this transaction made the claim, and the lease begins at its end.

Errors: 25006 standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION release_held()
RETURNS integer
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_release_held';

COMMENT ON FUNCTION release_held IS
'Gives back, at once, all claims that held() shows, as if they had never been made: no event, no attempt used up.  Returns how many they were.

Errors: 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION get(
	queue text,
	id bigint)
RETURNS TABLE (
	id bigint,
	queue text,
	status text,
	payload jsonb,
	headers jsonb,
	priority integer,
	key text,
	attempt integer,
	failures integer,
	crashes integer,
	sent_at timestamptz,
	deliver_at timestamptz,
	expires_at timestamptz,
	claimed_at timestamptz,
	finished_at timestamptz,
	process_id integer,
	result jsonb,
	error text,
	origin bigint)
LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'baton_get';

COMMENT ON FUNCTION get IS
'One message, as the view baton.message shows it, but found without looking through the whole log.  No row: there is no such message.

queue: its name.
id: from send.

Like the views it answers on a standby and without shared_preload_libraries too.

Errors: 42704 no such queue; 22004 null; 22023 bad value.';

CREATE OR REPLACE PROCEDURE wait_log(
	queue text DEFAULT NULL,
	timeout interval DEFAULT '30 s',
	INOUT mark bigint DEFAULT NULL,
	INOUT events bigint[] DEFAULT NULL,
	INOUT messages bigint[] DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_wait_log';

COMMENT ON PROCEDURE wait_log IS
'Waits until events have been committed to baton.queue_log, as wait waits for messages: ends the current transaction first, and holds no snapshot.  Gives each event once, in the order of commits, whatever its id.

queue: its name; null: events of all queues.
timeout: at most that long.
mark: where the last call ended; null at first.  Returns where this one ended, for the next.
events: ids in baton.queue_log, at most 1000; empty: the time ran out; null: there may be events after mark that are not known here (the first call, the server was restarted, nobody asked for two minutes, more than 16384 have come meanwhile): read queue_log, then go on from the new mark.  In and out: what is given is ignored.
messages: their messages, in the same order.  queue_log has an index on message_id, and none on id.

Errors: 25001 in a transaction block; 42704 no such queue; 22023 bad value; 25006 standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE PROCEDURE check_hung_messages(INOUT freed bigint DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_check_hung_messages';

COMMENT ON PROCEDURE check_hung_messages IS
'Looks through all claims for holders that are gone and leases that are over, and frees those messages.  Nobody has to call it: it happens by itself, at once.

freed: how many messages this call freed.

Errors: 25006 standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE PROCEDURE cleanup_queue(
	INOUT segments_emptied bigint DEFAULT NULL,
	INOUT messages_removed bigint DEFAULT NULL,
	INOUT messages_moved bigint DEFAULT NULL,
	INOUT bytes_freed bigint DEFAULT NULL,
	INOUT segments_kept bigint DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_cleanup_queue';

COMMENT ON PROCEDURE cleanup_queue IS
'Removes finished messages of all queues whose retention is over, now.  It happens by itself too, a little later; this is for cron (psql -c "CALL baton.cleanup_queue();") and for tests.  Waits for nobody: what somebody reads just then is left for later.  May run beside itself.  It commits step by step, so it can not be called in a transaction block.

segments_emptied: pairs of log tables that were truncated.
messages_removed: how many messages those had.
messages_moved: messages still needed that were moved to another segment, so that theirs can be emptied.
bytes_freed: disk space that was given back.
segments_kept: segments that are full and still needed; baton.segment_status says for what.

Errors: 25001 in a transaction block; 25006 read-only transaction, standby; 42501 not granted; 55000 baton is not in shared_preload_libraries.';

/* ---- what the views show of the log ---- */

CREATE OR REPLACE FUNCTION _last_event(
	log_table oid,
	message_id bigint,
	OUT id bigint,
	OUT action text,
	OUT terminal boolean,
	OUT at timestamptz,
	OUT attempt integer,
	OUT failures integer,
	OUT crashes integer,
	OUT claimed_at timestamptz,
	OUT process_id integer,
	OUT deliver_at timestamptz,
	OUT detail jsonb)
STABLE STRICT
LANGUAGE c AS 'MODULE_PATHNAME', 'baton__last_event';

COMMENT ON FUNCTION _last_event IS
'Internal: the event that says where a message of a table of the log stands; moved: its row counts elsewhere.  Use the view baton.message.';

CREATE OR REPLACE FUNCTION _was_moved(log_table oid, message_id bigint)
RETURNS boolean
STABLE STRICT
LANGUAGE c AS 'MODULE_PATHNAME', 'baton__was_moved';

COMMENT ON FUNCTION _was_moved IS
'Internal: whether what a table of the log has of a message counts no more, as compaction has moved it.  Use the view baton.queue_log.';

CREATE OR REPLACE FUNCTION library_version()
RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_library_version';

COMMENT ON FUNCTION library_version IS
'Version of the library that this server has loaded.  It differs from that of the extension (\dx baton) after a new one was installed, until the server is restarted and ALTER EXTENSION baton UPDATE was run.

Errors: none.';

/* ---- what the views show of shared memory; no rows on a standby and without preload ---- */

CREATE OR REPLACE FUNCTION _claims()
RETURNS TABLE (
	message_id bigint,
	queue_id integer,
	attempt integer,
	process_id integer,
	role name,
	detached boolean,
	claimed_at timestamptz,
	lease_until timestamptz)
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton__claims';

COMMENT ON FUNCTION _claims IS
'Internal: every claim in this database.  Use the view baton.in_flight.';

CREATE OR REPLACE FUNCTION _queues()
RETURNS TABLE (
	queue_id integer,
	ready bigint,
	delayed bigint,
	in_flight bigint,
	blocked bigint,
	spilled boolean,
	oldest timestamptz,
	sent bigint,
	delivered bigint,
	completed bigint,
	failed bigint,
	vanished bigint,
	dead bigint,
	depth bigint,
	exact boolean)
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton__queues';

COMMENT ON FUNCTION _queues IS
'Internal: what memory knows of every queue in this database.  Use the view baton.queue.';

CREATE OR REPLACE FUNCTION _health()
RETURNS TABLE (
	item text,
	value text,
	ok boolean,
	hint text)
LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'baton__health';

COMMENT ON FUNCTION _health IS
'Internal.  Use the view baton.health.';

CREATE OR REPLACE FUNCTION _installed()
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton__installed';

COMMENT ON FUNCTION _installed IS
'Internal: the install script calls it, so that the launcher looks here at commit.';
