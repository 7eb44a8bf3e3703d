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
	e.detail
FROM event_log e
LEFT JOIN queue_definition q ON q.id = e.queue_id
WHERE NOT _was_moved(e.tableoid, e.message_id);

COMMENT ON VIEW queue_log IS
'What happened to messages, one row an event; ids rise with time.';
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
COMMENT ON COLUMN queue.depth IS 'messages that are not finished, in memory and in the log; null: those that were there when the server started are still being counted';
COMMENT ON COLUMN queue.exact IS 'depth is known';
COMMENT ON COLUMN queue.ready IS 'messages in memory that could be received now';
COMMENT ON COLUMN queue.delayed IS 'messages in memory whose time is still to come';
COMMENT ON COLUMN queue.in_flight IS 'messages that a consumer holds';
COMMENT ON COLUMN queue.blocked IS 'messages in memory whose key is busy';
COMMENT ON COLUMN queue.spilled IS 'some messages are in the log only, until there is room in memory';
COMMENT ON COLUMN queue.oldest IS 'when the oldest ready message was sent';
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

CREATE OR REPLACE VIEW health AS
SELECT item, value, ok, hint
FROM _health();

COMMENT ON VIEW health IS
'What an administrator should know, one row an item; hint says what to do where ok is false.';
