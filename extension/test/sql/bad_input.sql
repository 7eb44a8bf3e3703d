-- Bad input: each kind has its SQLSTATE, and nothing is half done after it. Acceptance point 8 of issue 2.
-- What it would catch: a crash, an internal error (XX000) for what a caller did, a message that was sent, claimed or
-- settled all the same.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q');
select baton.send('q', '"one"') > 0;
create function pg_temp.try(statement text) returns text language sql as $$
	select rpad(baton_test.sqlstate(statement), 7) || statement;
$$;

-- Names.
select pg_temp.try(format(s, n)) from unnest(array['select baton.create_queue(%s)', 'select baton.send(%s, ''1'')', 'select * from baton.receive(%s)', 'select baton.drop_queue(%s)',
		'select baton.alter_queue(%s, lease => ''1 s'')', 'select baton.pause_queue(%s)', 'select * from baton.send_batch(%s, array[''1'']::jsonb[])', 'select * from baton.get(%s, 1)',
		'select * from baton.complete_and_receive(''{}'', null, %s)']) with ordinality s (s, i),
	unnest(array['null', '''''', 'repeat(''x'', 64)', 'repeat(''x'', 1000)', 'repeat(''ä'', 32)']) with ordinality n (n, j) order by i, j;
select pg_temp.try(format(s, '''nosuch''')) from unnest(array['select baton.send(%s, ''1'')', 'select * from baton.receive(%s)', 'select baton.drop_queue(%s)',
		'select baton.alter_queue(%s, lease => ''1 s'')', 'select baton.pause_queue(%s)', 'select baton.resume_queue(%s)', 'select * from baton.send_batch(%s, array[''1'']::jsonb[])',
		'select * from baton.get(%s, 1)', 'select * from baton.complete_and_receive(''{}'', null, %s)']) s;

-- Policies.
select pg_temp.try(format('select baton.%s_queue(%L, %s)', c, case c when 'create' then 'new' else 'q' end, p)) from unnest(array['create', 'alter']) c,
	unnest(array['max_attempts => 0', 'max_attempts => -1', 'max_attempts => 100000', 'max_crashes => 0', 'backoff => ''-1 s''', 'backoff => ''2 h'', backoff_max => ''1 h''', 'backoff_max => ''-1 s''',
		'backoff => ''1000000 years''', 'lease => ''0''', 'lease => ''-1 s''', 'lease => ''178000000 years''', 'lease => ''-178000000 years''', 'key_in_flight => 0', 'key_in_flight => -5']) p;
select pg_temp.try(format('select baton.create_queue(''new'', %s => null)', p)) from unnest(array['max_attempts', 'max_crashes', 'lease', 'key_in_flight', 'if_not_exists', 'backoff', 'backoff_max']) p;
select count(*) from baton.queue where name = 'new';
select max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight from baton.queue where name = 'q';

-- Sending.
select pg_temp.try(format('select baton.send(''q'', %s)', a)) from unnest(array['null', '''1'', priority => -1', '''1'', priority => 10', '''1'', priority => null', '''1'', priority => 65536', '''1'', delay => ''-1 s''',
	'''1'', delay => ''1 s'', deliver_at => now()', '''1'', deliver_at => ''infinity''', '''1'', deliver_at => ''-infinity''', '''1'', expires_in => ''-1 s''', '''1'', expires_in => ''0''',
	'''1'', delay => ''178000000 years''', '''1'', delay => ''200000 years''', '''1'', expires_in => ''200000 years''', '''1'', key => repeat(''k'', 1001)', '''1'', key => repeat(''k'', 1000000)',
	'''1'', deliver_at => ''294276-12-31'', expires_in => ''10 years''']) a;
-- Too large by a little, together with the headers; and by much.
select pg_temp.try($$select baton.send('q', to_jsonb(repeat('x', 1024 * 1024)))$$);
select pg_temp.try($$select baton.send('q', to_jsonb(repeat('x', 524288)), to_jsonb(repeat('x', 524288)))$$);
select pg_temp.try($$select baton.send('q', '1', to_jsonb(repeat('x', 1024 * 1024)))$$);
select pg_temp.try($$select * from baton.send_batch('q', array['1', to_jsonb(repeat('x', 100000000))])$$);
set baton.max_message_size = '1kB';
select pg_temp.try($$select baton.send('q', to_jsonb(repeat('x', 1100)))$$);
reset baton.max_message_size;
select pg_temp.try(format('select * from baton.send_batch(''q'', %s)', a)) from unnest(array['null', 'array[null]::jsonb[]', 'array[''1'', null]::jsonb[]', 'array[[''1'', ''2''], [''3'', ''4'']]::jsonb[]',
	'array[''1'', ''2'', ''3'']::jsonb[], priority => array[1, 2]', 'array[''1'']::jsonb[], priority => array[1, 2]', 'array[''1'', ''2'']::jsonb[], priority => array[]::int[]', 'array[''1'', ''2'']::jsonb[], priority => array[1, 10]',
	'array[''1'', ''2'']::jsonb[], delay => array[''1 s'', ''-1 s'']::interval[]', 'array[''1'', ''2'']::jsonb[], key => array[[''1''], [''2'']]', 'array_fill(''1''::jsonb, array[100001])',
	'array[''1'', ''2'']::jsonb[], headers => array[''1'', ''2'', ''3'']::jsonb[]', 'array[''1'']::jsonb[], delay => array[''1 s'']::interval[], deliver_at => array[now()]']) a;

-- Receiving.
select pg_temp.try(format('select * from baton.receive(''q'', %s)', a)) from unnest(array['0', '-1', '10001', '2147483647', 'null', '1, ''0''', '1, ''-1 s''', '1, ''178000000 years''', 'detached => null']) a;
select pg_temp.try('select baton.receive(''q'')');
-- Waiting inside a transaction block, or a function.
\set VERBOSITY sqlstate
begin;
call baton.wait('q');
rollback;
begin;
call baton.wait_any(array['q']);
rollback;
begin;
call baton.receive_wait('q');
rollback;
select pg_temp.try('call baton.wait(''q'')');
call baton.wait('nosuch');
call baton.wait(null);
call baton.wait('');
call baton.wait('q', null);
call baton.wait('q', '-1 s');
call baton.wait_any(null);
call baton.wait_any('{}');
call baton.wait_any(array['q', null]);
call baton.wait_any(array['q', 'nosuch']);
call baton.wait_any(array[array['q'], array['q']]);
call baton.receive_wait('nosuch');
call baton.receive_wait('q', 0);
call baton.receive_wait('q', timeout => '-1 s');
call baton.receive_wait('q', lease => '0');
call baton.receive_wait('q', detached => null);
call baton.receive_wait('q', max => null);

-- Settling: the receipts themselves are in settle.sql.
select receipt as r from baton.receive('q') \gset
select baton.fail(:'r', 'x', '-1 s');
select baton.fail(:'r', 'x', retry => null);
select baton.release(:'r', '-1 s');
select baton.release(:'r', '178000000 years');
select baton.extend(:'r', '0');
select baton.extend(:'r', '-1 s');
select baton.extend(:'r', '178000000 years');
select * from baton.complete_batch(array[:'r'], strict => null);
select * from baton.fail_batch(array[:'r'], array['a', 'b']);
select * from baton.complete_and_receive(array[:'r'], array['1', '2']::jsonb[], 'q');
select * from baton.complete_and_receive(array[:'r'], null, 'nosuch');
select * from baton.complete_and_receive(array[:'r'], null, 'q', 0);
select count(*) from baton.held();
select baton.complete(:'r');

-- In a read-only transaction all that writes is refused, and what looks isn't.
select baton.send('q', '"two"') > 0;
select receipt as r from baton.receive('q') \gset
begin read only;
savepoint a;
select baton.send('q', '1');
rollback to a;
select * from baton.send_batch('q', array['1']::jsonb[]);
rollback to a;
select * from baton.receive('q');
rollback to a;
select baton.complete(:'r');
rollback to a;
select * from baton.complete_batch(array[:'r'], strict => false);
rollback to a;
select baton.fail(:'r', 'x');
rollback to a;
select baton.release(:'r');
rollback to a;
select baton.extend(:'r', '1 min');
rollback to a;
select baton.release_held();
rollback to a;
select * from baton.complete_and_receive(array[:'r'], null, 'q');
rollback to a;
select baton.create_queue('new');
rollback to a;
select baton.alter_queue('q', lease => '1 s');
rollback to a;
select baton.drop_queue('q');
rollback to a;
select baton.pause_queue('q');
rollback to a;
select count(*) from baton.held();
select status from baton.held() h, lateral (select status from baton.get('q', h.id)) g;
select count(*) > 0 from baton.health;
commit;
select baton.complete(:'r');

-- Nothing of all this has left anything.
select sent, delivered, completed, failed, dead, depth from baton.queue where name = 'q';
select count(*) from baton.message where queue = 'q';
select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
