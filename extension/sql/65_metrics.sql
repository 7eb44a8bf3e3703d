/* ---- for monitoring; what baton metrics and /metrics show ---- */

CREATE OR REPLACE FUNCTION queue_counters()
RETURNS TABLE (
	queue text,
	sent bigint,
	delivered bigint,
	completed bigint,
	failed bigint,
	vanished bigint,
	lease_expired bigint,
	released bigint,
	dead bigint,
	loaded bigint,
	settled_elsewhere bigint,
	waiters integer,
	spilled_lanes integer,
	queue_seconds bigint[],
	queue_seconds_sum double precision,
	work_seconds bigint[],
	work_seconds_sum double precision)
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton_queue_counters';

COMMENT ON FUNCTION queue_counters IS
'Counters and histograms of every queue in this database, a row a queue.  They begin at 0 when the server starts or the queue is made, and only rise.  Read from shared memory: no table is looked at.  No rows on a standby and without shared_preload_libraries.

sent: messages whose send has committed.
delivered: claims; a message that is tried again counts again.  Each ends in one of:
completed, failed (by fail or an error), vanished (the session that held it ended, or the server crashed), lease_expired, released (given back, or rolled back by nobody''s fault).
dead: messages given up on, whatever used their budget up.
loaded: messages brought into memory from the log: after a start, when their time comes, or because there was no room before.
settled_elsewhere: claims that were settled by another session than the one they were bound to, as through a pooler in transaction mode.
waiters: sessions that wait for the queue now.
spilled_lanes: priorities of which some messages are in the log only.
queue_seconds: how many of those delivered had waited how long, from when they could be received (sent_at, deliver_at, or the end of the attempt before) to the claim: one count for each of window_use().histogram_bounds, inclusive and not cumulated, and a last one for what took longer.
work_seconds: the same for those completed, from the claim to the commit that completed them.
..._sum: all those times together, in seconds.

Errors: 42501 not granted (pg_monitor is).';

CREATE OR REPLACE FUNCTION window_use()
RETURNS TABLE (
	slots bigint,
	free bigint,
	arriving bigint,
	ready bigint,
	blocked bigint,
	delayed bigint,
	claimed bigint,
	settling bigint,
	moving bigint,
	condemned bigint,
	outcomes_pending bigint,
	outcomes_dropped bigint,
	launcher boolean,
	keeper boolean,
	quarantine boolean,
	histogram_bounds double precision[])
LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'baton_window_use';

COMMENT ON FUNCTION window_use IS
'How full the window is, and what the background workers have to do; one row, or none on a standby and without shared_preload_libraries.  Read from shared memory, without locks: while messages move, the states may not add up.

slots: places for messages, those of baton.window_size; all databases share them.
free: slots without a message; arriving ... condemned: slots of messages by state, of all databases.
outcomes_pending: ends of claims of this database that are known in memory and not yet in queue_log.
outcomes_dropped: those that never will be, since the server started, because there were too many at once.
launcher, keeper: whether the background worker of the server, of this database, runs.
quarantine: whether messages that may have crashed the server are handed out one at a time.
histogram_bounds: upper bounds of the buckets in queue_counters(), in seconds.

Errors: 42501 not granted (pg_monitor is).';
