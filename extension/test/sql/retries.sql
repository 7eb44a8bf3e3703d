-- Retries, budgets and death, on a clock that the test moves: finding 32, pitfall 18.
-- What it would catch: a delay outside the backoff's bounds, a message tried too often or too seldom, failures
-- and crashes in one budget, a dead message that is delivered again, a death without its event or with two.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q', max_attempts => 3, max_crashes => 2, backoff => '10 s', backoff_max => '30 s');

-- Full jitter: between 0 and the doubled backoff, at most backoff_max.
select count(*) from baton.send_batch('q', array(select to_jsonb(i) from generate_series(1, 200) i));
create temp table due (round int, delay interval);
insert into due select 1, baton.fail(receipt, 'no') - clock_timestamp() from baton.receive('q', 200);
select min(delay) > '-1 s', max(delay) <= '10 s', max(delay) - min(delay) > '5 s' from due where round = 1;
select baton_test.set_clock('11 s');
select count(*) from baton.receive('q', 200);
insert into due select 2, baton.fail(receipt, 'no') - clock_timestamp() - interval '11 s' from baton.held();
select min(delay) > '-1 s', max(delay) <= '20 s', max(delay) > '10 s', max(delay) - min(delay) > '10 s' from due where round = 2;
select baton_test.set_clock('32 s');
select min(attempt), max(attempt), count(*) from baton.receive('q', 200);
select count(baton.fail(receipt, 'no')) from baton.held();
-- The third was the last one.
select baton_test.set_clock('1 h');
select count(*) from baton.receive('q', 200);
select dead, failed, ready, delayed, in_flight from baton.queue;
select action, attempt, failures, crashes, detail, deliver_at is null, count(*) from baton.queue_log where queue = 'q'
	group by 1, 2, 3, 4, 5, 6 order by 2;
select status, attempt, failures, error, count(*) from baton.message where queue = 'q' group by 1, 2, 3, 4;
select baton_test.clear();
-- With more tries the delay is never above backoff_max.
select baton.alter_queue('q', max_attempts => 100);
select baton.send('q', '1') > 0;
do $$
declare
	due timestamptz;
begin
	for i in 1..60 loop
		perform baton_test.set_clock(i * interval '31 s');
		due := baton.fail(receipt, 'no') from baton.receive('q');
		if due is null or due not between clock_timestamp() + i * interval '31 s' - interval '1 s'
			and clock_timestamp() + i * interval '31 s' + interval '30 s' then
			raise exception 'try %: due at %', i, due;
		end if;
		commit;
	end loop;
end $$;
select baton_test.set_clock('1 h');
select attempt, baton.complete(receipt) from baton.receive('q');
select baton_test.clear();

-- The caller's own delay, whatever the backoff.
select baton.send('q', '"b"') > 0;
select baton.fail(receipt, 'later', '2 min') > now() + interval '119 s' from baton.receive('q');
select baton_test.set_clock('118 s');
select payload from baton.receive('q');
select baton_test.set_clock('121 s');
select baton_test.wait_until($$(select count(*) = 1 from baton.receive('q'))$$);
select attempt, baton.fail(receipt, 'at once', '0') is not null from baton.held();
select attempt, baton.fail(receipt, 'enough', retry => false) is null from baton.receive('q');
select action, l.attempt, detail from baton.queue_log l join baton.message m on m.id = message_id where payload = '"b"' and m.queue = 'q' order by l.id;
select baton_test.clear();

-- Crashes have a budget of their own: two lost sessions, and it is dead.
select baton.alter_queue('q', max_attempts => 3);
select baton.send('q', '"c"') > 0;
select attempt from baton.receive('q');
discard all;
select attempt, baton.fail(receipt, 'no', '0') is not null from baton.receive('q');
select attempt, baton.fail(receipt, 'no', '0') is not null from baton.receive('q');
select attempt from baton.receive('q');
discard all;
select payload from baton.receive('q');
select baton_test.wait_until($$(select count(*) = 1 from baton.message where payload = '"c"' and queue = 'q' and status = 'dead')$$);
select action, l.attempt, l.failures, l.crashes, l.deliver_at is null from baton.queue_log l join baton.message m on m.id = message_id
	where payload = '"c"' and m.queue = 'q' order by l.attempt, l.id;	-- the keeper may write later than others
select g.status, g.attempt, g.failures, g.crashes, g.finished_at is not null from baton.message m, baton.get('q', m.id) g where m.payload = '"c"' and m.queue = 'q';
select vanished, dead from baton.queue;
-- A lower budget, by alter_queue, holds from the next failure on.
select baton.send('q', '"d"') > 0;
select baton.fail(receipt, 'no', '0') is not null from baton.receive('q');
select baton.alter_queue('q', max_attempts => 2);
select baton.fail(receipt, 'no', '0') is null from baton.receive('q');
-- And one of a single attempt.
select baton.alter_queue('q', max_attempts => 1, max_crashes => 1);
select baton.send('q', '"e"') > 0, baton.send('q', '"f"') > 0;
select baton.fail(receipt, 'no') is null from baton.receive('q');
select payload from baton.receive('q');
discard all;
select baton_test.wait_until($$(select count(*) = 1 from baton.message where payload = '"f"' and queue = 'q' and status = 'dead')$$);
select count(*) from baton.receive('q', 10);
-- Each death once.
select count(*), count(distinct message_id) from baton.queue_log where queue = 'q' and action = 'dead';

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
