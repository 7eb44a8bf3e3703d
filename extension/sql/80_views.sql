/* ---- the log and the state, as relations ---- */

/*
 * _last_event has the rule which event says where a message stands.  A row whose message was moved to
 * another segment counts there, as do its events.
 */
CREATE OR REPLACE VIEW message AS
SELECT
	m.id,
	q.name AS queue,
	CASE
		WHEN e.terminal THEN e.action
		WHEN c.message_id IS NOT NULL THEN 'running'
		WHEN m.id <= q.purged_id OR q.id IS NULL THEN 'cancelled'
		WHEN m.expires_at <= statement_timestamp() THEN 'expired'
		WHEN d.deliver_at > statement_timestamp() THEN 'scheduled'
		ELSE 'pending'
	END AS status,
	m.payload,
	m.headers,
	m.priority::integer AS priority,
	m.key,
	CASE WHEN e.terminal THEN e.attempt ELSE coalesce(c.attempt, e.attempt, 0) END AS attempt,
	coalesce(e.failures, 0) AS failures,
	coalesce(e.crashes, 0) AS crashes,
	m.sent_at,
	d.deliver_at,
	m.expires_at,
	CASE WHEN e.terminal OR c.message_id IS NULL THEN e.claimed_at ELSE c.claimed_at END AS claimed_at,
	CASE WHEN e.terminal THEN e.at END AS finished_at,
	CASE WHEN e.terminal OR c.message_id IS NULL THEN e.process_id ELSE c.process_id END AS process_id,
	CASE WHEN e.action = 'completed' THEN e.detail END AS result,
	CASE WHEN e.action <> 'completed' THEN e.detail ->> 'error' END AS error,
	m.origin
FROM message_log m
LEFT JOIN queue_definition q ON q.id = m.queue_id
CROSS JOIN LATERAL _last_event(m.tableoid, m.id) e
LEFT JOIN _claims() c ON c.message_id = m.id
CROSS JOIN LATERAL (
	SELECT CASE WHEN e.id IS NULL THEN m.deliver_at ELSE e.deliver_at END AS deliver_at
) d
WHERE e.action IS DISTINCT FROM 'moved';

COMMENT ON VIEW message IS
'Every message that the log still has, and what became of it.  For one message, baton.get(queue, id) is faster.';
COMMENT ON COLUMN message.queue IS 'null: the queue has been dropped';
COMMENT ON COLUMN message.status IS
'pending, scheduled (its time is still to come), running (a consumer holds it), completed, dead, cancelled (purge_queue, drop_queue), expired';
COMMENT ON COLUMN message.attempt IS 'number of the claim that is running or was the last; 0: none yet';
COMMENT ON COLUMN message.failures IS 'claims that ended with fail, or an error';
COMMENT ON COLUMN message.crashes IS 'claims whose holder was lost: session gone, lease over';
COMMENT ON COLUMN message.deliver_at IS 'not to be delivered before; null: at once, or finished';
COMMENT ON COLUMN message.claimed_at IS 'of the claim that is running or was the last';
COMMENT ON COLUMN message.process_id IS 'holder of the claim that is running or was the last';
COMMENT ON COLUMN message.result IS 'what the consumer gave to complete';
COMMENT ON COLUMN message.error IS 'of the last attempt';
COMMENT ON COLUMN message.origin IS 'id of the message this one is a copy of';

CREATE OR REPLACE VIEW queue_log AS
SELECT
	e.id,
	e.message_id,
	e.action,
	e.at AS "timestamp",
	q.name AS queue,
	e.attempt,
	e.failures,
	e.crashes,
	e.claimed_at,
	e.process_id,
	e.role,
	e.deliver_at,
	e.detail,
	coalesce(e.xid, e.xmin) AS xid
FROM event_log e
LEFT JOIN queue_definition q ON q.id = e.queue_id
WHERE NOT _was_moved(e.tableoid, e.message_id);

COMMENT ON VIEW queue_log IS
'What happened to messages, one row an event.  Ids are taken before the commit: to follow the log, see baton.wait_log.';
COMMENT ON COLUMN queue_log.action IS
'completed, failed, vanished (its holder, or the server, was lost), lease_expired, released, dead, cancelled';
COMMENT ON COLUMN queue_log.queue IS 'null: the queue has been dropped';
COMMENT ON COLUMN queue_log.attempt IS 'number of the claim that this event ended';
COMMENT ON COLUMN queue_log.failures IS 'of the message, after this event';
COMMENT ON COLUMN queue_log.crashes IS 'of the message, after this event';
COMMENT ON COLUMN queue_log.process_id IS 'of the holder';
COMMENT ON COLUMN queue_log.role IS 'of the holder';
COMMENT ON COLUMN queue_log.deliver_at IS 'when the message may be tried again; null: at once, or never';
COMMENT ON COLUMN queue_log.detail IS 'completed: the result; otherwise {"error": ..., "sqlstate": ...}';
COMMENT ON COLUMN queue_log.xid IS 'of the transaction that wrote the event, for those who read the log by snapshots';

CREATE OR REPLACE VIEW queue AS
SELECT
	q.name,
	q.paused,
	q.max_attempts,
	q.max_crashes,
	q.backoff,
	q.backoff_max,
	q.lease,
	q.key_in_flight,
	q.created_at,
	m.depth,
	coalesce(m.exact, false) AS exact,
	m.ready,
	m.delayed,
	m.in_flight,
	m.blocked,
	m.spilled,
	m.oldest,
	m.sent,
	m.delivered,
	m.completed,
	m.failed,
	m.vanished,
	m.dead,
	q.retention
FROM queue_definition q
LEFT JOIN _queues() m ON m.queue_id = q.id;

COMMENT ON VIEW queue IS
'The queues: policy, what is in memory of each, and counters since the server started.  On a standby, and without preload, the policy alone.';
COMMENT ON COLUMN queue.depth IS 'messages that are not finished, in memory and in the log; those that have expired in the log count until it is counted again, after a minute or more; null: those that were there when the server started are still being counted';
COMMENT ON COLUMN queue.exact IS 'depth is known, and nothing has made it doubtful';
COMMENT ON COLUMN queue.ready IS 'messages in memory that could be received now';
COMMENT ON COLUMN queue.delayed IS 'messages in memory whose time is still to come';
COMMENT ON COLUMN queue.in_flight IS 'messages that a consumer holds';
COMMENT ON COLUMN queue.blocked IS 'messages in memory whose key is busy';
COMMENT ON COLUMN queue.spilled IS 'some messages are in the log only, until there is room in memory';
COMMENT ON COLUMN queue.oldest IS 'when the oldest ready message was sent';
COMMENT ON COLUMN queue.failed IS 'attempts that ended with fail, or an error; also the last one of a message that is dead';
COMMENT ON COLUMN queue.vanished IS 'claims whose holder was lost: session gone, lease over';

CREATE OR REPLACE VIEW in_flight AS
SELECT
	c.message_id,
	q.name AS queue,
	c.attempt,
	c.process_id,
	c.role,
	c.detached,
	c.claimed_at,
	c.lease_until
FROM _claims() c
LEFT JOIN queue_definition q ON q.id = c.queue_id;

COMMENT ON VIEW in_flight IS
'Who holds which message, and since when.  No rows on a standby and without preload.';
COMMENT ON COLUMN in_flight.detached IS 'the claim doesn''t end with the session that made it';
COMMENT ON COLUMN in_flight.lease_until IS 'null: the transaction that received is still open';

/* The tables of a segment, and who keeps one from being closed or emptied. */
CREATE OR REPLACE VIEW segment_status AS
SELECT
	s.number,
	s.state,
	s.survivors,
	s.first_id,
	s.last_id,
	s.messages,
	s.unfinished,
	s.retained,
	s.retained_until,
	s.counted_at,
	s.opened_at,
	s.sealed_at,
	pg_total_relation_size(t.messages) + pg_total_relation_size(t.events) AS bytes,
	(SELECT max(age(c.relfrozenxid)) FROM pg_class c
		WHERE c.oid IN (t.messages, t.events) OR c.oid IN
			(SELECT r.reltoastrelid FROM pg_class r WHERE r.oid IN (t.messages, t.events))) AS freeze_age,
	l.pids,
	CASE
		WHEN s.state = 'sealed' AND l.pids IS NOT NULL THEN 'transactions that may be writing to it'
		WHEN s.state = 'sealed' THEN 'the keeper'
		WHEN s.state <> 'closed' THEN NULL
		WHEN s.counted_at IS NULL THEN 'being counted'
		WHEN s.unfinished > 0 THEN 'unfinished messages'
		WHEN s.retained_until > statement_timestamp() THEN 'retention'
		WHEN l.pids IS NOT NULL THEN 'transactions that read it'
		WHEN s.moved_at > statement_timestamp() - interval '10 min' THEN 'snapshots older than its compaction'
		ELSE 'the keeper'
	END AS waits_for
FROM segment s
CROSS JOIN LATERAL (
	SELECT to_regclass(format('baton.message_log_%s', s.number)) AS messages,
		to_regclass(format('baton.event_log_%s', s.number)) AS events
) t
LEFT JOIN LATERAL (
	SELECT array_agg(DISTINCT pid) AS pids
	FROM pg_locks
	WHERE locktype = 'relation' AND granted AND relation IN (t.messages, t.events)
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (s.state <> 'sealed' OR mode <> 'AccessShareLock')
) l ON s.state IN ('sealed', 'closed');

COMMENT ON VIEW segment_status IS
'The segments of the log: what is in each, how large it is, and what keeps it from being emptied.';
COMMENT ON COLUMN segment_status.survivors IS 'it takes what compaction moves out of others';
COMMENT ON COLUMN segment_status.first_id IS 'no message in it has a lower id';
COMMENT ON COLUMN segment_status.last_id IS 'no message in it has a higher id; null: not known';
COMMENT ON COLUMN segment_status.unfinished IS 'messages that were not finished when it was counted, at counted_at; there can only be fewer since';
COMMENT ON COLUMN segment_status.retained IS 'finished messages whose retention was not over then';
COMMENT ON COLUMN segment_status.bytes IS 'both tables with indexes and TOAST';
COMMENT ON COLUMN segment_status.freeze_age IS 'transactions since the oldest of its rows was written; emptying it begins anew';
COMMENT ON COLUMN segment_status.pids IS 'processes that have it locked just now';
COMMENT ON COLUMN segment_status.waits_for IS 'what keeps it from being closed or emptied; null: nothing has to';

/*
 * What memory knows, and what the server's catalogs say about the log's tables.  Limits: half of what
 * forces the server to act.
 */
CREATE OR REPLACE VIEW health AS
SELECT item, value, ok, hint
FROM _health()
UNION ALL
SELECT 'segments ' || state, format('%s, %s', count(*), pg_size_pretty(sum(bytes))), true, NULL
FROM segment_status
GROUP BY state
UNION ALL
SELECT format('segment %s', number), format('%s since %s', state, coalesce(counted_at, sealed_at)), false,
	format('It waits for %s%s.', waits_for, ' (processes ' || array_to_string(pids, ', ') || ')')
FROM segment_status
WHERE pids IS NOT NULL AND sealed_at < statement_timestamp() - interval '5 min'
	AND waits_for IN ('transactions that may be writing to it', 'transactions that read it')
UNION ALL
SELECT 'oldest snapshot', format('%s transactions, process %s', age, pid), age < 10000000,
	'A transaction or replication slot has been open for long.  Queues don''t mind, but vacuum of every table does.'
FROM (
	SELECT greatest(age(backend_xmin), age(backend_xid)) AS age, pid
	FROM pg_stat_activity
	WHERE backend_xmin IS NOT NULL OR backend_xid IS NOT NULL
	ORDER BY 1 DESC, 2
	LIMIT 1
) oldest
UNION ALL
SELECT format('dead rows of %s', relname) COLLATE "default", format('%s, last vacuum %s', n_dead_tup,
		coalesce(greatest(last_vacuum, last_autovacuum)::text, 'never')), n_dead_tup < 10000,
	'Autovacuum does not get through: look for an old snapshot, or autovacuum being off.'
FROM pg_stat_all_tables
WHERE schemaname = 'baton' AND relname IN ('queue_definition', 'segment', 'queue_mark')
UNION ALL
SELECT format('changed rows of %s', relname) COLLATE "default", format('%s updated, %s deleted', n_tup_upd, n_tup_del), false,
	'Tables of the log are only ever appended to.  Somebody has changed rows by hand.'
FROM pg_stat_all_tables
WHERE schemaname = 'baton' AND relname ~ '^(message|event)_log' AND n_tup_upd + n_tup_del > 0
UNION ALL
SELECT 'freeze age of the log', format('%s transactions', coalesce(max(freeze_age), 0)),
	coalesce(max(freeze_age), 0) < current_setting('autovacuum_freeze_max_age')::bigint,
	'Old segments have not been frozen: look whether the keeper''s helper has errors in the server''s log.'
FROM segment_status;

COMMENT ON VIEW health IS
'What an administrator should know, one row an item; hint says what to do where ok is false.';
