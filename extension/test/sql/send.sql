-- send and send_batch: each option by itself, for all or one a message.
-- What it would catch: an option that goes to the wrong message of a batch or to none, ids that don't rise in
-- the order of the calls, delivery before its time (G6) or after its end, a batch that is sent by half.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q');

-- Any JSON, and headers beside it, come back as they were.
select baton.send('q', p) > 0 from unnest(array['null', 'true', '1.50', '"s"', '[]', '{}', '{"a": {"b": [1, "ä€😀", null]}}']::jsonb[]) p;
select payload, headers is null, attempt, key is null, priority, sent_at between now() - interval '1 h' and clock_timestamp()
	from baton.receive('q', 10);
select baton.release_held();
select count(*) from baton.held();
select baton.complete_batch(array(select receipt from baton.receive('q', 10)));
select baton.send('q', '1', '{"h": 1}', 3, key => 'k') > 0;
select payload, headers, priority, key from baton.receive('q');
select count(*) from baton.held();
select baton.complete(receipt) from baton.held();

-- A large one, which isn't stored in line, and one that compresses.
select baton.send('q', to_jsonb(string_agg(md5(i::text), ''))) > 0 from generate_series(1, 20000) i;
select baton.send('q', to_jsonb(repeat('x', 900000))) > 0;
select length(payload::text), md5(payload::text) = (select md5(to_jsonb(string_agg(md5(i::text), ''))::text) from generate_series(1, 20000) i)
	from baton.receive('q');
select length(payload::text) from baton.receive('q');
select baton.complete(receipt) from baton.held();

-- Ids rise in the order of the calls; a batch's in the order of its payloads.
create temp table sent (n serial, id bigint);
insert into sent (id) select baton.send('q', to_jsonb(i)) from generate_series(1, 5) i;
insert into sent (id) select * from baton.send_batch('q', array['6', '7', '8']::jsonb[]);
insert into sent (id) select baton.send('q', '9');
select count(*) from (select id > lag(id) over (order by n) as rises from sent) x where rises;
select string_agg(payload::text, ' ' order by n) from baton.receive('q', 100) join sent using (id);
select baton.complete(receipt) from baton.held();

-- Batches: one for all.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[], array['"h"']::jsonb[], array[4], key => array['k']);
select baton.alter_queue('q', key_in_flight => 10);
select payload, headers, priority, key from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
-- Batches: one each, some null.
select count(*) from baton.send_batch('q', array['1', '2', '3', '4']::jsonb[],
	headers => array['"a"', null, '"c"', 'null']::jsonb[], priority => array[1, null, 9, 2], key => array[null, 'two', null, 'two']);
select payload, headers, headers is null, priority, key from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
-- None at all.
select count(*) from baton.send_batch('q', array[]::jsonb[]);
select count(*) from baton.send_batch('q', array[]::jsonb[], priority => array[]::int[]);
-- More than go into one run of the commit, and more than one block of pages.
select count(*), max(id) - min(id) = count(*) - 1 from baton.send_batch('q', array(select to_jsonb(i) from generate_series(1, 3000) i)) id;
select string_agg(payload::text, '' order by payload) = (select string_agg(i::text, '' order by i) from generate_series(1, 3000) i)
	from baton.receive('q', 10000);
select count(*) from baton.complete_batch(array(select receipt from baton.held()));

-- Not before its time; each in its time, and then in its place by id.
select baton.send('q', '"later"', delay => '30 s') > 0, baton.send('q', '"last"', deliver_at => now() + interval '50 s') > 0,
	baton.send('q', '"now"') > 0, baton.send('q', '"zero"', delay => '0') > 0, baton.send('q', '"past"', deliver_at => '2000-01-01') > 0;
select payload from baton.receive('q', 10);
select ready, delayed, in_flight from baton.queue;
select baton_test.set_clock('29 s');
select payload from baton.receive('q', 10);
select baton_test.set_clock('31 s');
select payload from baton.receive('q', 10);
select baton_test.set_clock('51 s');
select baton.send('q', '"sent meanwhile"') > 0;
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
-- Far ahead: it waits in the log.
select baton.send('q', '"in a year"', delay => '1 year') > 0;
select payload from baton.receive('q', 10);
select baton_test.wait_until('(select spilled and delayed = 0 from baton.queue)');
select baton_test.set_clock('364 days');
select payload from baton.receive('q', 10);
select baton_test.set_clock('367 days');
select baton_test.wait_until('(select ready + delayed = 1 from baton.queue)');
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select baton_test.clear();
-- One a message, in a batch.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[], delay => array['20 s', null, '10 s']::interval[]);
select payload from baton.receive('q', 10);
select baton_test.set_clock('15 s');
select payload from baton.receive('q', 10);
select baton_test.set_clock('25 s');
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select baton_test.clear();

-- Not after its end, which counts from when it may be delivered.
select count(*) from baton.send_batch('q', array['1', '2', '3', '4']::jsonb[],
	expires_in => array['10 s', '40 s', null, '10 s']::interval[], delay => array[null, null, null, '20 s']::interval[]);
select baton_test.set_clock('25 s');
select payload from baton.receive('q', 2);
select payload from baton.receive('q', 10);
select g.payload, g.status from (select id from baton.message order by id desc limit 4) m, baton.get('q', m.id) g order by g.id;
select baton.complete(receipt) from baton.held();
select baton_test.clear();

-- All or nothing: an error in the last of a batch.
select baton_test.sqlstate($$select count(*) from baton.send_batch('q', array['1', '2', null]::jsonb[])$$);
select baton_test.sqlstate($$select count(*) from baton.send_batch('q', array['1', '2']::jsonb[], priority => array[1, 99])$$);
select baton_test.sqlstate($$select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[], priority => array[1, 2])$$);
select payload from baton.receive('q', 10);

-- Where a send may stand: anywhere.
select baton.send_batch('q', array['"x"', '"y"']::jsonb[]) > 0;
select payload, baton.complete(receipt) from baton.receive('q', 10);
select baton.send('q', '1') > 0 where false;
select sum(case when i % 2 = 0 then (baton.send('q', to_jsonb(i)) > 0)::int end) from generate_series(1, 4) i;
with s as (select baton.send('q', '"cte"') as id) select id > 0 from s;
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');

-- Times count from when the message was sent, to the microsecond.
select baton.create_queue('later');
select count(baton.send('later', '1', delay => '1 h', expires_in => '1 h')) from generate_series(1, 1000);
select count(*), count(*) filter (where deliver_at is distinct from sent_at + interval '1 h'),
	count(*) filter (where expires_at is distinct from sent_at + interval '2 h')
	from baton.message_log m join baton.queue_definition q on q.id = m.queue_id where q.name = 'later';
select baton.drop_queue('later');
