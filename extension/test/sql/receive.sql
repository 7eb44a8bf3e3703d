-- receive: what it hands out, in which order, and where it may be called: findings 27, 32.
-- What it would catch: a wrong order, a message handed out twice, claims that nobody sees because the call
-- stands where rows are thrown away, a detached claim that ends with its session or a bound one that doesn't.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
select baton.create_queue('q');

-- Priority first, then the order of sending.
select count(*) from baton.send_batch('q', array['1', '2', '3', '4', '5', '6']::jsonb[], priority => array[0, 5, 9, 5, 0, 9]);
select payload from baton.receive('q', 4);
select payload from baton.receive('q', 4);
select payload from baton.receive('q', 4);
-- A high one that is sent last is the next.
select baton.release_held();
select baton.send('q', '"urgent"', priority => 9) > 0;
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();

-- In FROM only, as rows that are claimed and thrown away would be lost to all.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[]);
select baton.receive('q');
select (baton.receive('q', 2)).payload;
select (select (r).id from (select baton.receive('q') r) x);
select in_flight from baton.queue;
select (select count(*) from baton.receive('q')) from generate_series(1, 2);
select baton.release_held();
-- What a LIMIT dropped can be seen, and given back.
select payload from baton.receive('q', 10) limit 1;
select h.attempt, h.queue, g.payload, g.status, claimed_at <= clock_timestamp(), lease_until > clock_timestamp()
	from baton.held() h, lateral (select payload, status, attempt from baton.get('q', h.id)) g;
select baton.release_held();
select baton.release_held();
select count(*) from baton.held();
-- In the order in which they were claimed; the open transaction is its own lease.
begin;
select payload from baton.receive('q', 1);
select payload from baton.receive('q', 1);
select g.payload, h.lease_until is null from baton.held() h, baton.get('q', h.id) g;
commit;
select g.payload, h.lease_until - h.claimed_at > '4 min' from baton.held() h, baton.get('q', h.id) g;
-- Released ones go back to their place, with the same attempt.
select baton.release(receipt) from baton.held() order by id desc;
select payload, attempt from baton.receive('q', 3);
select baton.complete(receipt) from baton.held();

-- One more attempt after each failure, not after a release.
select baton.send('q', '1') > 0;
select attempt, baton.fail(receipt, 'no', '0') is not null from baton.receive('q');
select attempt, baton.release(receipt) from baton.receive('q');
select attempt, baton.release(receipt) from baton.receive('q');
select attempt, baton.fail(receipt, 'no', '0') is not null from baton.receive('q');
select attempt, baton.complete(receipt) from baton.receive('q');

-- Settled as they come, in one statement; a queue that is empty gives no rows.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[]);
select payload, baton.complete(receipt, payload) from baton.receive('q', 2);
select payload, baton.complete(receipt, payload) from baton.receive('q', 2);
select payload, baton.complete(receipt, payload) from baton.receive('q', 2);
-- From several queues in one query, each once.
select baton.create_queue('p');
select baton.send('p', '"p"') > 0, baton.send('q', '"q"') > 0;
select r.payload from unnest(array['p', 'q']) n, baton.receive(n) r;
select baton.complete(receipt) from baton.held();
select baton.drop_queue('p');

-- Detached claims are not the session's: held() doesn't show them, DISCARD ALL and release_held leave them.
select baton.send('q', '"bound"') > 0, baton.send('q', '"detached"') > 0;
select receipt as bound from baton.receive('q') \gset
select receipt as detached from baton.receive('q', detached => true) \gset
select g.payload from baton.held() h, baton.get('q', h.id) g;
select m.payload, detached from baton.in_flight f join baton.message m on m.id = message_id order by message_id;
discard all;
select m.payload, detached from baton.in_flight f join baton.message m on m.id = message_id order by message_id;
select baton.complete(:'bound');
select baton.complete(:'detached');
select payload, attempt from baton.receive('q');
-- In the transaction that claims it, too.
select baton.complete(receipt) from baton.held();
select baton.send('q', '"detached"') > 0;
begin;
select receipt as detached from baton.receive('q', detached => true) \gset
select count(*) from baton.held();
select baton.release_held();
commit;
select payload from baton.receive('q');
select baton.complete(:'detached');

-- A claim that rolls back never was: another attempt isn't counted, and the order is the same.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[]);
begin;
select payload from baton.receive('q', 2);
rollback;
select payload, attempt from baton.receive('q', 3);
select baton.complete(receipt) from baton.held();

-- complete_and_receive: a worker's loop.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[]);
select receipt as r from baton.complete_and_receive('{}', null, 'q', 2) order by id limit 1 \gset
select payload from baton.complete_and_receive(array[:'r'], array['"done"']::jsonb[], 'q', 5);
select payload, status, result from baton.message where queue = 'q' order by id desc limit 3;
-- All of it or nothing: the receipt is stale, so nothing is received.
select count(*) from baton.send_batch('q', array['4']::jsonb[]);
select payload from baton.complete_and_receive(array[:'r'], null, 'q', 5);
select ready, in_flight from baton.queue;
select payload from baton.complete_and_receive((select array_agg(receipt) from baton.held()), null, 'q', 5);
select payload from baton.complete_and_receive((select array_agg(receipt) from baton.held()), null, 'q', 5);
select baton.complete_and_receive('{}', null, 'q');

-- A backlog: each once, in order, whatever the sizes of the batches.
select count(*) from baton.send_batch('q', array(select to_jsonb(i) from generate_series(1, 1000) i));
create temp table got (n serial, payload int);
do $$
declare
	want int;
	had int := 0;
begin
	loop
		want := 1 + had % 7;
		insert into got (payload) select r.payload::int from baton.receive('q', want) r;
		exit when not found;
		had := had + want;
	end loop;
end $$;
select count(*), count(distinct payload), bool_and(n = payload) from got;
select count(*) from baton.complete_batch(array(select receipt from baton.held()));

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
