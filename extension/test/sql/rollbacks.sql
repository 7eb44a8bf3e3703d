-- What a transaction that received and rolls back does to the message: finding 30.
-- What it would catch: healthy messages that die of serialization failures, a failure without the error that
-- caused it, or with the error of another transaction; a rollback that isn't recorded.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
select baton.create_queue('q', max_attempts => 2, backoff => '1 s', backoff_max => '1 s');
create temp view log as select m.payload, l.action, l.attempt, l.failures, l.crashes, l.detail
	from baton.queue_log l join baton.message m on m.id = l.message_id where m.queue = 'q' order by l.id;
create temp sequence ahead;
-- On to a time when whatever was delayed is due.
create function pg_temp.later() returns void language sql as $$
	select baton_test.set_clock(nextval('ahead') * interval '2 s');
$$;
create function pg_temp.logged(what jsonb, n int) returns void language sql as $$
	select baton_test.wait_until(format('(select count(*) = %s from baton.queue_log l join baton.message m on m.id = message_id and m.payload = %L and m.queue = ''q'')', n, what));
$$;

-- An error: a failure, with its SQLSTATE and message, and backoff.
select baton.send('q', '1') > 0;
begin;
select payload, attempt from baton.receive('q');
select 1 / 0;
rollback;
select delayed from baton.queue;
select pg_temp.logged('1', 1);
select * from log where payload = '1';
-- The second uses the budget up: dead, with the last error.
select pg_temp.later();
begin;
select payload, attempt from baton.receive('q');
do $$ begin raise exception '%', repeat('ä€', 400) using errcode = 'AB123'; end $$;
commit;
select pg_temp.logged('1', 3);
select action, attempt, failures, detail ->> 'sqlstate', octet_length(detail ->> 'error') between 200 and 255, translate(detail ->> 'error', 'ä€', '') from log where payload = '1' and attempt = 2;
select g.status, g.attempt, left(g.error, 2) from baton.message m, baton.get('q', m.id) g where m.queue = 'q' and m.payload = '1';
select payload from baton.receive('q');

-- Nobody's fault: a plain ROLLBACK, and the SQLSTATEs that ask to try again. No failure, however often.
select baton.send('q', '2') > 0;
begin;
select payload, attempt from baton.receive('q');
rollback;
select payload, attempt from baton.receive('q');
select baton.release(receipt) from baton.held();
do $$
declare
	state text;
begin
	foreach state in array array['40001', '40P01', '55P03', '57014'] loop
		perform pg_temp.later();
		begin
			perform payload from baton.receive('q');
			if not found then
				raise exception 'nothing to receive after %', state;
			end if;
			raise sqlstate 'XX999';
		exception when sqlstate 'XX999' then
		end;
	end loop;
end $$;
select pg_temp.later();
begin;
select payload, attempt from baton.receive('q');
do $$ begin raise sqlstate '40001'; end $$;
rollback;
select pg_temp.later();
begin;
select payload, attempt from baton.receive('q');
do $$ begin raise sqlstate '40P01'; end $$;
rollback;
select pg_temp.later();
begin;
select payload, attempt from baton.receive('q');
do $$ begin raise sqlstate '55P03'; end $$;
rollback;
select pg_temp.later();
begin;
select payload, attempt from baton.receive('q');
set local statement_timeout = 1;
do $$ begin loop end loop; end $$;
rollback;
select pg_temp.later();
select payload, attempt from baton.receive('q');
select baton_test.wait_until($$(select bool_or(detail ->> 'sqlstate' = '57014') from pg_temp.log where payload = '2')$$);
select distinct action, failures, detail ->> 'sqlstate' from log where payload = '2' order by 3;
select baton.complete(receipt) from baton.held();
-- But not for ever: ten times the budget, in a row.
select baton.send('q', '3') > 0;
do $$
begin
	for i in 1..20 loop
		perform pg_temp.later();
		perform payload from baton.receive('q');
		if not found then
			raise exception 'not the % time', i;
		end if;
		rollback;
	end loop;
end $$;
select pg_temp.later();
begin;
select payload, attempt from baton.receive('q');
rollback;
select pg_temp.later();
select payload from baton.receive('q');
select baton_test.wait_until($$(select count(*) = 1 from baton.message where queue = 'q' and payload = '3' and status = 'dead')$$);
select action, failures, crashes, count(*) from log where payload = '3' group by 1, 2, 3 order by 1;
-- In a row: a claim that ended otherwise starts the count again.
select baton.alter_queue('q', max_attempts => 1);
select baton.send('q', '4') > 0;
do $$
begin
	for i in 1..30 loop
		perform pg_temp.later();
		perform payload from baton.receive('q');
		if not found then
			raise exception 'not the % time', i;
		end if;
		if i % 10 = 0 then
			perform baton.release(receipt) from baton.held();
			commit;
		else
			rollback;
		end if;
	end loop;
end $$;
select pg_temp.later();
select payload, attempt, baton.complete(receipt) from baton.receive('q');
select baton.alter_queue('q', max_attempts => 5);

-- The error is this transaction's: one that was dealt with, or was of an earlier transaction, isn't it.
select baton.send('q', '5') > 0;
begin;
select payload, attempt from baton.receive('q');
savepoint a;
select 1 / 0;
rollback to a;
rollback;
select pg_temp.logged('5', 1);
select action, failures, detail from log where payload = '5';
select 1 / 0;
begin;
select payload, attempt from baton.receive('q');
rollback;
select pg_temp.logged('5', 2);
select distinct action, failures, detail from log where payload = '5';
-- A claim made in a savepoint whose error undid it failed of that; the transaction goes on.
select pg_temp.later();
begin;
savepoint a;
select payload, attempt from baton.receive('q');
select 1 / 0;
rollback to a;
select payload from baton.receive('q');
commit;
select pg_temp.logged('5', 3);
select action, attempt, failures, detail from log where payload = '5' order by failures desc limit 1;
select pg_temp.later();
-- Settled, and rolled back: it was settled in vain, and failed.
begin;
select payload, attempt, baton.complete(receipt) from baton.receive('q');
select 1 / 0;
rollback;
select pg_temp.logged('5', 4);
select action, attempt, failures, detail from log where payload = '5' order by failures desc limit 1;
-- A claim of an earlier transaction isn't touched by errors of later ones.
select pg_temp.later();
select payload, attempt from baton.receive('q');
select 1 / 0;
begin;
select baton.complete(receipt) from baton.held();
select 1 / 0;
rollback;
select count(*) from baton.held();
select count(*) from log where payload = '5';
select baton.complete(receipt) from baton.held();
-- A deferred constraint that fails at commit fails the claim.
create temp table late (i int unique deferrable initially deferred);
select baton.send('q', '6') > 0;
begin;
insert into late select 1 from baton.receive('q') r, lateral (select baton.complete(r.receipt)) c, generate_series(1, 2);
commit;
select pg_temp.logged('6', 1);
select action, failures, detail ->> 'sqlstate' from log where payload = '6';
select pg_temp.later();
select payload, attempt, baton.complete(receipt) from baton.receive('q');

select baton_test.clear();
select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
