-- wait, wait_any and receive_wait in one session: findings 12 and 28, pitfall 2.
-- What it would catch: a wait that waits though there is something, or returns too early or with the wrong queue, that
-- ends without having ended the caller's transaction, or claims what it doesn't return.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('a');
select baton.create_queue('b');

-- Nothing there: the time runs out.
call baton.wait('a', '0');
call baton.wait('a', '10 ms');
call baton.wait_any(array['a', 'b'], '10 ms');
call baton.receive_wait('a', 5, '10 ms');
-- Something there: at once. The clock stands for the 30 seconds that nobody waits here.
select baton.send('b', '1', '{"h": 1}', key => 'k', priority => 3) > 0;
call baton.wait('b');
call baton.wait_any(array['a', 'b']);
call baton.wait_any(array['b', 'a', 'b']);
select baton.send('a', '2') > 0;
call baton.wait_any(array['b', 'a']);
call baton.wait_any(array['a', 'b']);
-- wait claims nothing; receive_wait does.
select in_flight from baton.queue order by name;
do $$
declare
	m jsonb;
begin
	call baton.receive_wait('b', 5, messages => m);
	raise notice '%', (m -> 0) - 'receipt' - 'id' - 'sent_at';
	raise notice '% % %', length(m -> 0 ->> 'receipt'), (m -> 0 ->> 'id')::bigint > 0, (m -> 0 ->> 'sent_at')::timestamptz <= clock_timestamp();
	perform baton.complete(m -> 0 ->> 'receipt');
	call baton.receive_wait('b', 5, '0', messages => m);
	raise notice '%', m;
end $$;
select status from baton.message where queue = 'b';
select count(*) from baton.held();
call baton.wait('b', '0');
-- Its keys are receive's columns.
do $$
declare
	m jsonb;
begin
	call baton.receive_wait('a', messages => m);
	raise notice '%', (select string_agg(k, ' ' order by k) from jsonb_object_keys(m -> 0) k);
	raise notice '%', (select count(*) from baton.held() where receipt = m -> 0 ->> 'receipt');
end $$;
select string_agg(attname, ' ' order by attname) from pg_attribute where attrelid = 'baton.delivery'::regclass;
select baton.complete(receipt) from baton.held();
-- A message that is due soon: the wait ends then, not at its timeout.
select baton.send('a', '3', delay => '50 ms') > 0;
call baton.wait('a', '0');
call baton.wait('a', '1 min');
select payload from baton.receive('a');
-- A lease that ends meanwhile.
select baton.extend(receipt, '50 ms') is not null from baton.held();
call baton.wait('a', '1 min');
select payload, attempt from baton.receive('a');
-- Paused: not ready. Its key is busy: not ready, once a receive has found that out.
select baton.send('b', '4', key => 'k') > 0, baton.send('b', '5', key => 'k') > 0;
select payload from baton.receive('b', 2);
call baton.wait('b', '10 ms');
select baton.complete(receipt) from baton.held();
select baton.pause_queue('b');
call baton.wait('b', '10 ms');
select baton.resume_queue('b');
call baton.wait('b', '1 min');
-- It ends the statement's own transaction only; what came before is committed.
create temp table kept (i int);
do $$
declare
	ready boolean;
begin
	insert into kept values (1);
	call baton.wait('a', '0', ready);
	raise notice 'ready: %', ready;
	insert into kept values (2);
	rollback;
end $$;
select * from kept;
-- With isolation levels whose snapshot would be kept.
begin;
set local default_transaction_isolation = 'serializable';
commit;
set default_transaction_isolation = 'repeatable read';
call baton.wait('b', '10 ms');
call baton.receive_wait('a', 5, '10 ms');
set default_transaction_isolation = 'serializable';
call baton.wait('b', '10 ms');
set default_transaction_isolation = 'read committed';
-- Read only: waiting writes nothing.
set default_transaction_read_only = on;
call baton.wait('b', '10 ms');
set default_transaction_read_only = off;

select payload, baton.complete(receipt) from baton.receive('b', 10);
select baton.drop_queue(name) from baton.queue;
select baton_test.wait_until('baton_test.check_memory() = 0');
