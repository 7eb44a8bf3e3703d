-- Receiving in FROM is a plan node of its own (api/scan.c), and behaves as the function scan that it stands for.
-- What it would catch: a call made twice, or not at all, by a node that is scanned again; columns of another
-- delivery; a call without EXECUTE, or past what was put around the function; the node where a row that somebody
-- changed meanwhile makes PostgreSQL run the plan again, which would receive once more.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
select baton.create_queue('q');
create table t (id bigint primary key, n int);
insert into t values (1, 0);

-- Where it stands.
explain (costs off) select id, payload from baton.receive('q', 2) where priority = 4 order by id;
explain (costs off, verbose) select id + 1 from baton.complete_and_receive(array['r'], null, 'q') m;
explain (costs off) select count(*) from baton.receive(queue => 'q', detached => true);
explain (costs off) insert into t select id from baton.receive('q');
prepare p(text, int) as select id from baton.receive($1, $2);
explain (costs off) execute p('q', 1);
set plan_cache_mode = force_generic_plan;
explain (costs off) execute p('q', 1);
reset plan_cache_mode;
-- And where not.
create function has_node(query text) returns boolean language plpgsql as $$
declare
	line text;
	found_it boolean = false;
begin
	for line in execute 'explain (costs off) ' || query loop
		found_it = found_it or line ~ 'Baton Receive';
	end loop;
	return found_it;
end $$;
select has_node($$select id from baton.receive('q')$$);
select has_node($$update t set n = 1 from baton.receive('q') m where m.id = t.id$$);
select has_node($$delete from t using baton.receive('q') m where m.id = t.id$$);
select has_node($$select 1 from t, baton.receive('q') m where m.id = t.id for update of t$$);
select has_node($$select m from baton.receive('q') m$$);
select has_node($$select 1 from baton.receive('q') m where m is null$$);
select has_node($$select id, ordinality from baton.receive('q') with ordinality$$);
select has_node($$select m.id from rows from (baton.receive('q'), generate_series(1, 2)) m$$);
select has_node($$select m.id from t, baton.receive('q', t.n) m$$);
select has_node($$select id from baton.receive((select max(name) from baton.queue))$$);
-- Nothing was received by any of these.
select count(*) from baton.held();

-- All columns, in any order and number, some of them twice; nulls are nulls.
select baton.send('q', '{"a": 1}', headers => '{"h": 2}', key => 'k', priority => 7) > 0, baton.send('q', '0') > 0;
select priority, key, payload, attempt, headers, payload, sent_at <= clock_timestamp(), length(receipt) > 0, id > 0
	from baton.receive('q', 2);
select baton.complete(receipt) from baton.held();
select count(*) from baton.send_batch('q', array['1', '2', '3', '4']::jsonb[]);
select payload::int * 10 from baton.receive('q', 4) m where payload > '1' order by m.id desc limit 2;
select count(*) from baton.held();
select baton.release_held();
execute p('q', 2) \g /dev/null
execute p('q', 2) \g /dev/null
select count(*) from baton.held();
select baton.release_held();
select payload from baton.receive('q') union all select payload from baton.receive('q');
select baton.release_held();

-- Scanned again, it shows again what it has received: for each of three rows the same two messages.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_material = off;
explain (costs off) select g, payload from generate_series(1, 3) g left join baton.receive('q', 2) m on m.payload <> to_jsonb(g + 5);
select g, payload from generate_series(1, 3) g left join baton.receive('q', 2) m on m.payload <> to_jsonb(g + 5);
reset enable_hashjoin;
reset enable_mergejoin;
reset enable_material;
select count(*) from baton.held();
select baton.release_held();
-- Forwards and backwards, beyond both ends.
begin;
declare c scroll cursor for select payload from baton.receive('q', 3);
select count(*) from baton.held();
fetch 2 from c;
fetch backward 5 from c;
fetch all from c;
fetch backward 1 from c;
fetch forward 1 from c;
fetch forward 1 from c;
select count(*) from baton.held();
commit;
select baton.release_held();
-- Held beyond its transaction.
begin;
declare c cursor with hold for select payload from baton.receive('q', 3);
fetch 1 from c;
commit;
fetch all from c;
close c;
select baton.release_held();
-- A branch that isn't taken receives nothing.
select payload from baton.receive('q') where 1 > 2;
select count(*) from baton.held();
-- From a function, in a loop.
do $$
declare
	m record;
begin
	for m in select receipt, payload from baton.receive('q', 3) loop
		perform baton.complete(m.receipt, m.payload);
	end loop;
	perform baton.complete(receipt) from baton.receive('q');
end $$;
select depth from baton.queue where name = 'q';

-- Arrays that are written out are never made; whatever their elements are, it is as if they were.
select count(*) from baton.send_batch('q', array['"a"', '"b"', '"c"', '"d"']::jsonb[]);
create temporary table held as select row_number() over (order by id) as n, receipt from baton.receive('q', 3);
prepare settle(text, text, jsonb, int) as
	select payload from baton.complete_and_receive(array[$1, reverse($2)], array[$3, to_jsonb($4 + 1)], 'q', 1);
select (select receipt from held where n = 1) as r1, reverse((select receipt from held where n = 2)) as r2 \gset
set plan_cache_mode = force_generic_plan;
explain (costs off) execute settle(:'r1', 'x', null, 1);
execute settle(:'r1', :'r2', null, 1);
select count(*) from baton.held();
do $$
declare
	result jsonb = '{"from": "plpgsql"}';
	receipts text[];
begin
	select array_agg(receipt) into receipts from held where n = 3;
	perform id from baton.complete_and_receive(array[receipts[1]], array[result], 'q');
	perform id from baton.complete_and_receive(array[]::text[], null, 'q');
	perform id from baton.complete_and_receive(receipts[2:], (array[result, result])[2:], 'q');
end $$;
reset plan_cache_mode;
select detail from baton.event_log order by message_id desc limit 3;
select id from baton.complete_and_receive(array[null], null, 'q');
select id from baton.complete_and_receive(array['x', null]::text[], array['1']::jsonb[], 'q');
select id from baton.complete_and_receive(array[array['x'], array['y']], null, 'q');
select id from baton.complete_and_receive(array['x'], array['1', '2']::jsonb[], 'q');
drop table held;
select baton.complete(receipt) from baton.held();

-- EXECUTE is looked at when it runs, whoever planned it.
create role scan_user;
grant usage on schema baton to scan_user;
revoke execute on function baton.receive(text, integer, interval, boolean) from public;
create function name_of_q() returns text volatile language plpgsql as 'begin return ''q''; end';
revoke execute on function name_of_q() from public;
set role scan_user;
explain (costs off) select id from baton.receive('q');
explain (costs off) select id from baton.complete_and_receive('{}', null, name_of_q());
explain (costs off) select id from baton.complete_and_receive(array[name_of_q()], null, 'q');
execute p('q', 1);
reset role;
grant execute on function baton.receive(text, integer, interval, boolean) to public;

-- Statistics of functions count it.
begin;
set local track_functions = 'all';
select id from baton.receive('q');
select funcname, calls from pg_stat_xact_user_functions;
commit;

-- What is put around the function is put around the call.
explain (costs off) execute p('q', 1);
alter function baton.receive(text, integer, interval, boolean) set work_mem = '1MB';
explain (costs off) execute p('q', 1);
alter function baton.receive(text, integer, interval, boolean) reset work_mem;
alter function baton.receive(text, integer, interval, boolean) security definer;
explain (costs off) execute p('q', 1);
alter function baton.receive(text, integer, interval, boolean) security invoker;
explain (costs off) execute p('q', 1);

drop function name_of_q;
revoke usage on schema baton from scan_user;
drop role scan_user;
drop table t;
drop function has_node;
select baton.drop_queue(name) from baton.queue;
