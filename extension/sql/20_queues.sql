/* ---- making and changing queues ---- */

CREATE OR REPLACE FUNCTION create_queue(
	name text,
	max_attempts integer DEFAULT 10,
	max_crashes integer DEFAULT 5,
	backoff interval DEFAULT '1 s',
	backoff_max interval DEFAULT '1 h',
	lease interval DEFAULT '5 min',
	key_in_flight integer DEFAULT 1,
	retention interval DEFAULT '7 days',
	if_not_exists boolean DEFAULT false)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_create_queue';

COMMENT ON FUNCTION create_queue IS
'Makes a queue.  This transaction can send to it at once, others after its commit.

name: 1 to 63 bytes.
max_attempts: a message that failed as often is dead; at least 1.
max_crashes: a message whose holder was lost as often (session gone, lease over) is dead; at least 1.
backoff, backoff_max: a failed message is tried again after a random time of up to backoff, doubled with each failure, at most backoff_max.
lease: how long a claim lasts, counted from the end of the transaction that received, unless extended.
key_in_flight: how many messages of one key may be in flight at a time; at least 1.
retention: how long a message stays readable after it was completed, was declared dead or expired; 0: it goes when its segment of the log can be emptied.
if_not_exists: do nothing where there is a queue of that name, whatever its policy.

Errors: 42710 there is a queue of that name; 22023 bad value; 53400 as many queues as baton.max_queues; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION alter_queue(
	name text,
	max_attempts integer DEFAULT NULL,
	max_crashes integer DEFAULT NULL,
	backoff interval DEFAULT NULL,
	backoff_max interval DEFAULT NULL,
	lease interval DEFAULT NULL,
	key_in_flight integer DEFAULT NULL,
	retention interval DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_alter_queue';

COMMENT ON FUNCTION alter_queue IS
'Changes the policy of a queue, at commit.  Arguments as for create_queue; null leaves a value as it is.  Claims that exist keep their lease; retention counts for messages that are finished already, too.

Errors: 42704 no such queue; 22023 bad value; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION drop_queue(
	name text,
	if_exists boolean DEFAULT false)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_drop_queue';

COMMENT ON FUNCTION drop_queue IS
'Drops a queue with all messages in it, at commit.  Claims of its messages are lost then.  What the log has of it stays readable, without the queue''s name.

if_exists: do nothing where there is no such queue.

Errors: 42704 no such queue; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION purge_queue(name text)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_purge_queue';

COMMENT ON FUNCTION purge_queue IS
'Gives up all messages that were sent to the queue so far, at commit, in milliseconds however many they are.  Consumers keep those they hold: what they complete is completed, what they give back is gone.  The messages stay readable with status cancelled until their segment is emptied.  A transaction that has sent to the queue and is still open can not commit (BT003).

Errors: 42704 no such queue; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION pause_queue(name text)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_pause_queue';

COMMENT ON FUNCTION pause_queue IS
'From commit on nothing is received from the queue.  Sending goes on, and messages in flight can be settled.  A queue that is paused already stays so.

Errors: 42704 no such queue; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';

CREATE OR REPLACE FUNCTION resume_queue(name text)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_resume_queue';

COMMENT ON FUNCTION resume_queue IS
'Ends pause_queue, at commit.  A queue that isn''t paused stays as it is.

Errors: 42704 no such queue; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.';
