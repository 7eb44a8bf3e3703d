-- Settling: complete, fail, release, extend, alone and in batches: findings 28, 29, guarantee G2.
-- What it would catch: a receipt that settles twice, or a claim that isn't its own; a batch that is settled
-- by half; a settle that rolled back and yet took effect; an event without its settle or the other way round.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
select coalesce(max(id), 0) as before from baton.message \gset
create temp view log as select m.payload, l.action, l.attempt, l.failures, l.crashes, l.detail, l.deliver_at > l.timestamp as later
	from baton.queue_log l join baton.message m on m.id = l.message_id where m.queue = 'q' order by l.id;
select baton.create_queue('q', max_attempts => 3);

-- The four ways.
select count(*) from baton.send_batch('q', array['1', '2', '3', '4']::jsonb[]);
select payload, baton.complete(receipt, '{"n": 1}') from baton.receive('q');
select payload, baton.fail(receipt, 'out of luck', retry_in => '10 s') - now() > '9 s' from baton.receive('q');
select payload, baton.fail(receipt, 'hopeless', retry => false) is null from baton.receive('q');
select payload, baton.release(receipt, '10 s') from baton.receive('q');
select payload from baton.receive('q', 10);
select * from log;
select g.payload, status, result, error, attempt, failures, claimed_at is not null, finished_at is not null
	from (select id from baton.message where queue = 'q') m, baton.get('q', m.id) g order by g.id;
select ready, delayed, in_flight, sent, delivered, completed, failed, vanished, dead from baton.queue;
-- Untyped literals and nulls find their function.
select baton_test.set_clock('11 s');
select payload, attempt from baton.receive('q', 10);
select baton.complete(receipt, '{"success": true}') from baton.held() order by id limit 1;
select baton.complete(receipt) from baton.held();
select baton.send('q', '5') > 0;
select baton.fail(receipt, null) is not null from baton.receive('q');
select baton_test.clear();
select baton_test.set_clock('30 s');
select baton.complete(receipt, null) from baton.receive('q');
select baton_test.clear();
select action, attempt, detail from log where payload = '5';

-- A receipt is good once.
select baton.send('q', '6') > 0;
select receipt as r from baton.receive('q') \gset
select baton.complete(:'r');
select baton.complete(:'r');
select baton.fail(:'r', 'x');
select baton.release(:'r');
select baton.extend(:'r', '1 min');
select * from baton.complete_batch(array[:'r']);
-- Also within one transaction, and after a savepoint that didn't do it.
select baton.send('q', '7') > 0;
select receipt as r from baton.receive('q') \gset
begin;
savepoint a;
select baton.complete(:'r');
rollback to a;
select baton.release(:'r');
savepoint b;
select baton.complete(:'r');
rollback to b;
select baton.extend(:'r', '1 min');
rollback;
begin;
savepoint a;
select baton.fail(:'r', 'undone', retry => false) is null;
rollback to a;
select baton.complete(:'r', '"after all"');
commit;
select baton.complete(:'r');
select action, detail from log where payload = '7';
-- Twice in one batch: it is one claim.
select baton.send('q', '8') > 0;
select receipt as r from baton.receive('q') \gset
\set VERBOSITY terse
\set SHOW_CONTEXT never
select * from baton.complete_batch(array[:'r', :'r']);
\set VERBOSITY sqlstate
select * from baton.complete_batch(array[:'r', :'r'], strict => false);
select action from log where payload = '8';

-- Rolled back: nothing has happened, and the claim is as it was.
select baton.send('q', '9') > 0;
select receipt as r from baton.receive('q') \gset
begin;
select baton.complete(:'r');
select ready, in_flight from baton.queue;
rollback;
begin;
select baton.fail(:'r', 'x') is null;
select 1 / 0;
rollback;
select count(*) from log where payload = '9';
select count(*) from baton.held();
select baton.extend(:'r', '10 min') > now() + interval '9 min';
select lease_until between now() + interval '9 min' and clock_timestamp() + interval '10 min' from baton.held();
-- extend counts at once, and stays though the transaction rolls back.
begin;
select baton.extend(:'r', '1 h') is null;
rollback;
select lease_until > now() + interval '59 min' from baton.held();
select baton.extend(:'r', '10 s') is null;
select lease_until < now() + interval '1 min' from baton.held();
select baton.complete(:'r');

-- A receipt of an earlier claim of the same message, and of another message in its slot.
select baton.send('q', '10') > 0;
select receipt as old from baton.receive('q') \gset
select baton.release(:'old');
select receipt as new from baton.receive('q') \gset
select :'old' <> :'new';
select baton.complete(:'old');
select baton.extend(:'old', '1 min');
select baton.complete(:'new');
do $$
declare
	old text;
	new text;
begin
	for i in 1..50 loop
		perform baton.send('q', '"slot"');
		commit;
		new := receipt from baton.receive('q');
		if old is not null and baton_test.sqlstate(format('select baton.complete(%L)', old)) <> 'BT001' then
			raise exception 'a stale receipt was taken';
		end if;
		perform baton.complete(new);
		commit;
		old := new;
	end loop;
end $$;

-- Not a receipt at all, or changed by one character, anywhere.
select baton.send('q', '11') > 0;
select receipt as r from baton.receive('q') \gset
select r, baton_test.sqlstate(format('select baton.complete(%L)', r)) from unnest(array['', 'x', ' ', repeat('A', 31), repeat('A', 32), repeat('A', 33), repeat('ä', 16), '1']) r;
select baton_test.sqlstate(format('select baton.complete(%L)', 'x' || :'r')), baton_test.sqlstate(format('select baton.complete(%L)', :'r' || ' '));
select baton_test.sqlstate(format('select baton.complete(%L)', lower(:'r'))) in ('22023', 'BT001');
select count(*), bool_and(state in ('22023', 'BT001')) from generate_series(1, length(:'r')) i,
	baton_test.sqlstate(format('select baton.complete(%L)', overlay(:'r' placing case substr(:'r', i, 1) when 'B' then 'C' else 'B' end from i))) state;
select baton.complete(null);
select baton.fail(null, 'x');
select baton.release(null);
select baton.extend(null, '1 min');
select baton.extend(:'r', null);
select baton.complete(:'r');

-- Batches, strict: all or nothing, and the positions are told.
select count(*) from baton.send_batch('q', array['21', '22', '23', '24']::jsonb[]);
select array_agg(receipt order by id) as rs from baton.receive('q', 4) \gset
select baton.complete((:'rs'::text[])[2]);
select baton.complete((:'rs'::text[])[4]);
create function pg_temp.positions(rs text[]) returns text language plpgsql as $$
declare
	detail text;
begin
	perform * from baton.complete_batch(rs);
	return 'ok';
exception when sqlstate 'BT001' then
	get stacked diagnostics detail = pg_exception_detail;
	return detail;
end $$;
select pg_temp.positions(:'rs');
select in_flight from baton.queue;
-- One malformed one among them: nothing is settled.
select * from baton.complete_batch(array[(:'rs'::text[])[1], 'malformed', (:'rs'::text[])[3]]);
select * from baton.complete_batch(array[(:'rs'::text[])[1], 'malformed', (:'rs'::text[])[3]], strict => false);
select * from baton.complete_batch(array[(:'rs'::text[])[1], null]);
select * from baton.complete_batch(null, array['1', '2']::jsonb[]);
select in_flight from baton.queue;
-- Not strict: what can be is.
select * from baton.complete_batch(:'rs', array['"a"', '"b"', null, '"d"']::jsonb[], strict => false);
select * from baton.complete_batch(:'rs', strict => false);
select payload, action, detail from log where payload in ('21', '22', '23', '24');
-- Arrays that don't fit; none at all.
select * from baton.complete_batch(:'rs', array['1', '2']::jsonb[]);
select * from baton.complete_batch(array[]::text[]);
select * from baton.complete_batch(null);
select * from baton.complete_batch(array[array['a', 'b'], array['c', 'd']]);
-- One for all.
select count(*) from baton.send_batch('q', array['31', '32', '33']::jsonb[]);
select * from baton.complete_batch(array(select receipt from baton.receive('q', 3)), array['"same"']::jsonb[]);
select payload, action, detail from log where payload in ('31', '32', '33');
select baton.create_queue('x');
select baton.send('x', '1') > 0;
select * from baton.fail_batch(array(select receipt from baton.receive('x')), array['one', 'two']);
select baton.drop_queue('x');
-- The other two.
select baton.release_held() >= 0;
select count(*) from baton.send_batch('q', array['41', '42', '43', '44']::jsonb[]);
select array_agg(receipt order by id) as rs from baton.receive('q', 4) \gset
select * from baton.fail_batch((:'rs'::text[])[1:2], array['one', 'two'], retry_in => '0');
select * from baton.fail_batch((:'rs'::text[])[3:3], array['never'], retry => false);
select * from baton.release_batch((:'rs'::text[])[3:4], strict => false);
select * from baton.release_batch((:'rs'::text[])[3:4]);
select payload, attempt from baton.receive('q', 10);
select payload, action, detail from log where payload in ('41', '42', '43', '44');
select * from baton.release_batch(array(select receipt from baton.held()), '30 s');
select ready, delayed, in_flight from baton.queue;
select baton_test.set_clock('31 s');
select payload, attempt, baton.complete(receipt) from baton.receive('q', 10);
select baton_test.clear();

-- The same in one transaction with what it stands for, and what the view then says of it: G3.
select baton.send('q', '51') > 0;
create temp table work (done text);
begin;
insert into work select 'twice' from (select baton.complete(receipt) from baton.receive('q')) x;
rollback;
begin;
insert into work select 'once' from (select baton.complete(receipt) from baton.receive('q')) x;
commit;
select done from work;
select payload from baton.receive('q');

-- Every message that was sent here is finished, once.
select count(*) = 0 from baton.message where id > :before and status not in ('completed', 'dead');
select count(*) from (select message_id from baton.queue_log where message_id > :before and action in ('completed', 'dead', 'cancelled')
	group by 1 having count(*) > 1) x;
select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
