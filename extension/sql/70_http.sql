/* ---- for the program's HTTP server ---- */

/* Few rows, written by "baton token" only.  A token itself is nowhere kept. */
CREATE TABLE IF NOT EXISTS token (
	name text COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 63),
	hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
	scopes text[] NOT NULL
		CHECK (scopes <@ '{send,receive,inspect,manage}' AND cardinality(scopes) > 0),
	queues text[],
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	expires_at timestamptz
);

COMMENT ON TABLE token IS
'Who may use the HTTP API.  Make and revoke tokens by "baton token"; a row that is deleted is a token that is revoked.';
COMMENT ON COLUMN token.hash IS 'SHA-256 of the token, which has 256 random bits';
COMMENT ON COLUMN token.scopes IS 'send, receive, inspect, manage';
COMMENT ON COLUMN token.queues IS 'the queues it is for; null: all';
COMMENT ON COLUMN token.expires_at IS 'no longer good from then on; null: for ever';

SELECT pg_catalog.pg_extension_config_dump('token', '');

/*
 * What became of sends with an Idempotency-Key, for at least a day.  Nothing is deleted: each day
 * has a partition of its own, of three that take turns; the day before is still looked at,
 * and the third is emptied by TRUNCATE before its turn comes.
 */
CREATE TABLE IF NOT EXISTS idempotency_key (
	turn integer NOT NULL,
	queue text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
	request bytea NOT NULL,
	answer jsonb NOT NULL,
	PRIMARY KEY (turn, queue, key)
) PARTITION BY LIST (turn);

CREATE TABLE IF NOT EXISTS idempotency_key_0 PARTITION OF idempotency_key FOR VALUES IN (0);
CREATE TABLE IF NOT EXISTS idempotency_key_1 PARTITION OF idempotency_key FOR VALUES IN (1);
CREATE TABLE IF NOT EXISTS idempotency_key_2 PARTITION OF idempotency_key FOR VALUES IN (2);

COMMENT ON TABLE idempotency_key IS
'Sends that are not to be repeated.  Not part of a dump: a restored database knows none.';
COMMENT ON TABLE idempotency_key_0 IS 'Part of idempotency_key.';
COMMENT ON TABLE idempotency_key_1 IS 'Part of idempotency_key.';
COMMENT ON TABLE idempotency_key_2 IS 'Part of idempotency_key.';
COMMENT ON COLUMN idempotency_key.turn IS 'the day''s number modulo 3';
COMMENT ON COLUMN idempotency_key.request IS 'a hash of the request, to know it again';

CREATE OR REPLACE FUNCTION _turn(days_back integer)
RETURNS integer
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT (floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint
		+ 3 - days_back)::integer % 3
$$;

COMMENT ON FUNCTION _turn IS
'Internal: which partition of idempotency_key is that of today, or of so many days ago.';

CREATE OR REPLACE FUNCTION once_find(
	queue text,
	idempotency_key text,
	OUT request bytea,
	OUT answer jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
	-- Until the transaction's end: a second one waits here and then sees the first one's row.
	PERFORM pg_advisory_xact_lock(
		hashtextextended(once_find.queue || '/' || once_find.idempotency_key, 0));
	SELECT k.request, k.answer INTO once_find.request, once_find.answer
	FROM baton.idempotency_key k
	WHERE k.turn IN (baton._turn(0), baton._turn(1))
		AND k.queue = once_find.queue AND k.key = once_find.idempotency_key;
END
$$;

COMMENT ON FUNCTION once_find IS
'What a send with this key answered, and to which request; nulls: it hasn''t been done yet, and nobody else does it until this transaction''s end.  In a transaction with the send and once_keep, it happens once.

queue: its name.
idempotency_key: 1 to 255 bytes, chosen by the sender.

Errors: 55P03 another transaction with the same key is still open, after two seconds.  Its caller needs SELECT and INSERT on idempotency_key.';

CREATE OR REPLACE FUNCTION once_keep(
	queue text,
	idempotency_key text,
	request bytea,
	answer jsonb)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO baton.idempotency_key (turn, queue, key, request, answer)
	VALUES (baton._turn(0), queue, idempotency_key, request, answer)
$$;

COMMENT ON FUNCTION once_keep IS
'Keeps what a send answered, for once_find, for one to two days.

queue, idempotency_key: as for once_find, which must have been called in this transaction.
request: a hash of the request.
answer: any JSON.

Errors: 23505 kept already.';

CREATE OR REPLACE FUNCTION send_once(
	queue text,
	idempotency_key text,
	request bytea,
	payloads jsonb[],
	headers jsonb[] DEFAULT NULL,
	priority integer[] DEFAULT NULL,
	delay interval[] DEFAULT NULL,
	deliver_at timestamptz[] DEFAULT NULL,
	expires_in interval[] DEFAULT NULL,
	key text[] DEFAULT NULL)
RETURNS SETOF bigint
LANGUAGE plpgsql ROWS 100 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	done record;
	ids bigint[];
BEGIN
	done := baton.once_find(queue, idempotency_key);
	IF done.request <> request OR NOT done.answer ? 'ids' THEN
		RAISE EXCEPTION 'the idempotency key was used for another request'
			USING ERRCODE = 'BT004', HINT = 'Use a new key for each request.';
	END IF;
	IF done.request IS NOT NULL THEN
		RETURN QUERY SELECT value::bigint FROM jsonb_array_elements_text(done.answer -> 'ids');
		RETURN;
	END IF;
	ids := ARRAY(SELECT s FROM baton.send_batch(queue, payloads, headers, priority, delay,
		deliver_at, expires_in, key) s);
	PERFORM baton.once_keep(queue, idempotency_key, request,
		jsonb_build_object('ids', ids));
	RETURN QUERY SELECT unnest(ids);
END
$$;

COMMENT ON FUNCTION send_once IS
'send_batch, but once: called again with the same key and the same request, it sends nothing and returns the ids that it returned the first time.  The key is kept in the transaction of the send, for one to two days.

idempotency_key: 1 to 255 bytes, chosen by the sender; it counts within the queue.
request: a hash of the request, to know it again.
The others: as for send_batch.

Errors: as send_batch and once_find; BT004 the key was used for another request.';

CREATE OR REPLACE PROCEDURE cleanup_idempotency_keys(INOUT emptied boolean DEFAULT NULL)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text := format('%I.%I', 'baton', 'idempotency_key_' || baton._turn(2));
	found boolean;
BEGIN
	emptied := false;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO found;
	IF found THEN
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', name);
		EXECUTE format('TRUNCATE %s', name);
		emptied := true;
	END IF;
END
$$;

COMMENT ON PROCEDURE cleanup_idempotency_keys IS
'Forgets keys that are two days old, by TRUNCATE.  "baton serve" calls it.

emptied: there were some.

Errors: 55P03 the table is in use just now; try again later.  Its caller needs SELECT and TRUNCATE on the partitions.';
