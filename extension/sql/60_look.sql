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

CREATE OR REPLACE PROCEDURE check_hung_messages(INOUT freed bigint DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_check_hung_messages';

COMMENT ON PROCEDURE check_hung_messages IS
'Looks through all claims for holders that are gone and leases that are over, and frees those messages.  Nobody has to call it: it happens by itself, at once.

freed: how many messages this call freed.

Errors: 25006 standby; 55000 baton is not in shared_preload_libraries.';

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
	dead bigint)
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
