-- Order and exclusion by key: G5, finding 20.
-- What it would catch: two messages of a key in flight at once, also of different priorities; a later one before an
-- earlier one, after a failure, a delay, a release, a rollback or a lost session; a key that stays busy for ever.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q', backoff => '10 s', backoff_max => '10 s', lease => '1 min');

-- One at a time; others pass by.
select count(*) from baton.send_batch('q', array['"a1"', '"a2"', '"b1"', '"none"', '"a3"', '"b2"']::jsonb[], key => array['a', 'a', 'b', null, 'a', 'b']);
select payload, key from baton.receive('q', 10);
select payload from baton.receive('q', 10);
select ready, blocked, in_flight from baton.queue;
select baton.complete(receipt) from baton.held() h, baton.get('q', h.id) g where g.key = 'a';
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload from baton.receive('q', 10);

-- Not two at once, though their priorities differ; the higher one first.
select count(*) from baton.send_batch('q', array['"low"', '"high"', '"mid"']::jsonb[], priority => array[0, 9, 5], key => array['a']);
select payload from baton.receive('q', 10);
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload from baton.receive('q', 10);
select baton.send('q', '"urgent"', priority => 9, key => 'a') > 0;
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload, baton.complete(receipt) from baton.receive('q', 10);
select payload, baton.complete(receipt) from baton.receive('q', 10);

-- One that failed keeps its place and holds its key until it is settled or dead.
select count(*) from baton.send_batch('q', array['1', '2']::jsonb[], key => array['a']);
select baton.fail(receipt, 'no', '10 s') is not null from baton.receive('q');
select payload from baton.receive('q', 10);
select baton_test.set_clock('11 s');
select payload, baton.fail(receipt, 'no', retry => false) is null from baton.receive('q', 10);
select payload, baton.complete(receipt) from baton.receive('q', 10);
select baton_test.clear();
-- So does one whose session is lost, or whose lease is over, or whose transaction rolled back.
select count(*) from baton.send_batch('q', array['1', '2']::jsonb[], key => array['a']);
select payload from baton.receive('q', 10);
discard all;
select payload, attempt from baton.receive('q', 10);
select baton_test.set_clock('61 s');
select payload, attempt from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
begin;
select payload from baton.receive('q', 10);
rollback;
select count(*) from baton.send_batch('q', array['3']::jsonb[], key => array['a']);
select payload, baton.complete(receipt) from baton.receive('q', 10);
select payload, baton.complete(receipt) from baton.receive('q', 10);
select baton_test.clear();

-- A delayed one enters the line when it is due; until then it holds nothing up.
select baton.send('q', '"delayed"', delay => '10 s', key => 'a') > 0, baton.send('q', '"second"', key => 'a') > 0;
select payload from baton.receive('q', 10);
select baton.send('q', '"third"', key => 'a') > 0;
select baton_test.set_clock('11 s');
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
-- due now, and the oldest
select payload, baton.complete(receipt) from baton.receive('q', 10);
select payload, baton.complete(receipt) from baton.receive('q', 10);
select baton_test.clear();
-- One released with a delay gives the key up until then.
select count(*) from baton.send_batch('q', array['1', '2']::jsonb[], key => array['a']);
select payload, baton.release(receipt, '10 s') from baton.receive('q', 10);
select payload from baton.receive('q', 10);
select baton_test.set_clock('11 s');
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload, baton.complete(receipt) from baton.receive('q', 10);
select baton_test.clear();
-- Released at once: it is first again.
select count(*) from baton.send_batch('q', array['1', '2']::jsonb[], key => array['a']);
select payload, baton.release(receipt) from baton.receive('q', 10);
select payload, baton.complete(receipt) from baton.receive('q', 10);
select payload, baton.complete(receipt) from baton.receive('q', 10);

-- One that expires in the line doesn't hold up those behind it.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[], key => array['a'], expires_in => array[null, '10 s', null]::interval[]);
select payload from baton.receive('q', 10);
select payload from baton.receive('q', 10);
select baton_test.set_clock('11 s');
select baton.complete(receipt) from baton.held();
select payload, baton.complete(receipt) from baton.receive('q', 10);
select payload from baton.receive('q', 10);
select baton_test.clear();

-- More than one at a time, if the queue says so, and from then on.
select baton.alter_queue('q', key_in_flight => 2);
select count(*) from baton.send_batch('q', array['1', '2', '3', '4', '5']::jsonb[], key => array['a']);
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held() order by id limit 1;
select payload from baton.receive('q', 10);
select baton.alter_queue('q', key_in_flight => 1);
select baton.complete(receipt) from baton.held() order by id limit 1;
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload from baton.receive('q', 10);
select baton.alter_queue('q', key_in_flight => 3);
select baton.complete(receipt) from baton.held();
select payload, baton.complete(receipt) from baton.receive('q', 10);
select baton.alter_queue('q', key_in_flight => 1);

-- Keys are the queue's own; the empty one is a key too.
select baton.create_queue('p');
select baton.send('p', '"p"', key => 'a') > 0, baton.send('q', '"q"', key => 'a') > 0, baton.send('q', '"empty"', key => '') > 0, baton.send('q', '"empty too"', key => '') > 0;
select payload from baton.receive('p', 10);
select payload from baton.receive('q', 10);
select baton.complete(receipt) from baton.held();
select payload, key = '', baton.complete(receipt) from baton.receive('q', 10);
select baton.drop_queue('p');
-- A queue that is dropped with a line, and its key free in the next one.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[], key => array['a']);
select payload from baton.receive('q', 10);
select payload from baton.receive('q', 10);
select baton.drop_queue('q');
select baton.create_queue('q', backoff => '0', max_attempts => 1000);
select baton.send('q', '"new"', key => 'a') > 0;
select payload, baton.complete(receipt) from baton.receive('q', 10);

-- By chance: whatever happens to claims, each key's messages are completed in the order of their sending, never two
-- at once.
select count(*) from baton.send_batch('q', array(select to_jsonb(i) from generate_series(1, 400) i), key => array(select (i % 7)::text from generate_series(1, 400) i));
create temp table done (n serial, payload int, key text);
select setseed(0.42);
do $$
declare
	m record;
	busy int := 0;
begin
	while (select count(*) from done) < 400 loop
		perform * from baton.receive('q', 1 + (random() * 3)::int);
		if exists (select from baton.held() h, baton.get('q', h.id) g group by g.key having count(*) > 1) then
			raise exception 'two of a key at once';
		end if;
		for m in select h.receipt, g.payload::int, g.key from baton.held() h, baton.get('q', h.id) g order by random() limit 2 loop
			case (random() * 3)::int
				when 0 then perform baton.fail(m.receipt, 'no', '0');
				when 1 then perform baton.release(m.receipt);
				else
					perform baton.complete(m.receipt);
					insert into done (payload, key) values (m.payload, m.key);
			end case;
		end loop;
		commit;
	end loop;
end $$;
select count(*) from (select payload < lag(payload) over (partition by key order by n) as wrong from done) x where wrong;
select ready, blocked, delayed, in_flight from baton.queue;

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
