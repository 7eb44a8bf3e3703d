/* ---- putting messages in ---- */

CREATE OR REPLACE FUNCTION send(
	queue text,
	payload jsonb,
	headers jsonb DEFAULT NULL,
	priority integer DEFAULT 0,
	delay interval DEFAULT NULL,
	deliver_at timestamptz DEFAULT NULL,
	expires_in interval DEFAULT NULL,
	key text DEFAULT NULL)
RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'baton_send';

COMMENT ON FUNCTION send IS
'Sends a message and returns its id.  It is delivered after this transaction''s commit, or never if it rolls back.

queue: its name.
payload: any JSON.
headers: any JSON, delivered with the payload.
priority: 0 to 9; higher is delivered first.
delay, deliver_at: not before that time from now, or not before that time; one of them at most.
expires_in: what isn''t received within that time is not delivered any more.
key: messages of one key in one queue are delivered in the order of their sends, and key_in_flight of them at most at a time.

Errors: 42704 no such queue; 22023 bad value; 54000 larger than baton.max_message_size; 25006 read-only transaction, standby; 55000 baton is not in shared_preload_libraries.  0A000 at PREPARE TRANSACTION after a send.';

CREATE OR REPLACE FUNCTION send_batch(
	queue text,
	payloads jsonb[],
	headers jsonb[] DEFAULT NULL,
	priority integer[] DEFAULT NULL,
	delay interval[] DEFAULT NULL,
	deliver_at timestamptz[] DEFAULT NULL,
	expires_in interval[] DEFAULT NULL,
	key text[] DEFAULT NULL)
RETURNS SETOF bigint
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'baton_send_batch';

COMMENT ON FUNCTION send_batch IS
'Sends many messages to one queue and returns their ids, rising, in the order of payloads.  Far cheaper than as many calls of send.

payloads: one message each.
The others: as for send; an array of one element, for all messages, or of as many as payloads.  A null array, or a null element, is send''s default.

Errors: as send; 22023 also for an array of another length.  After an error nothing has been sent.';
