-- The views: message, queue_log, queue, in_flight, health, and get().
-- What it would catch: a status that isn't so, a message that get and the view tell differently, counts that are
-- off, an event missing or double, somebody else's claim with the wrong holder.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q', max_attempts => 2);
select coalesce(max(id), 0) as before from baton.message \gset

-- One message in each status.
select baton.send('q', '"completed"') > 0;
select baton.complete(receipt, '{"r": 1}') from baton.receive('q');
select baton.send('q', '"dead"') > 0;
select baton.fail(receipt, 'because', retry => false) from baton.receive('q');
select baton.send('q', '"failed"') > 0;
select baton.fail(receipt, 'for now', '10 min') is not null from baton.receive('q');
select baton.send('q', '"released"') > 0;
select baton.release(receipt, '10 min') from baton.receive('q');
select baton.send('q', '"given back"') > 0;
select baton.release(receipt) from baton.receive('q');
select baton.send('q', '"scheduled"', delay => '10 min') > 0;
select payload from baton.receive('q');
discard all;
select payload, attempt from baton.receive('q');
select baton.send('q', '"pending"', '{"h": 1}', 7, key => 'k') > 0;
select baton_test.wait_until($$(select count(*) = 1 from baton.queue_log where queue = 'q' and action = 'vanished')$$);
create temp view status as select m.payload, m.status, m.attempt, m.failures, m.crashes, m.result, m.error, m.claimed_at is not null as claimed, m.finished_at is not null as finished,
	m.process_id = pg_backend_pid() as mine, m.deliver_at is not null as due from baton.message m where m.queue = 'q' order by m.id;
select * from status;
select payload, headers, priority, key, sent_at <= clock_timestamp(), origin from baton.message where payload = '"pending"' and queue = 'q';
-- get tells the same of each.
select count(*), count(g.id) from baton.message m left join lateral baton.get('q', m.id) g on m::text = g::text where m.queue = 'q';
select m::text, g::text from baton.message m, baton.get('q', m.id) g where m.queue = 'q' and m::text <> g::text;
select * from baton.get('q', 0);
select * from baton.get('q', -1);
select count(*) from baton.message m, baton.get('q', m.id) g where m.id <= :before;
select baton_test.sqlstate($$select * from baton.get('q', null)$$), baton_test.sqlstate($$select * from baton.get('nosuch', 1)$$), baton_test.sqlstate($$select * from baton.get(null, 1)$$);
-- The log, in order.
select m.payload, l.action, l.attempt, l.failures, l.crashes, l.claimed_at <= l.timestamp, l.process_id = pg_backend_pid(), l.role = session_user, l.deliver_at is not null, l.detail
	from baton.queue_log l join baton.message m on m.id = message_id where l.queue = 'q' order by l.id;
select count(*) = count(distinct id) from baton.queue_log;
-- Who holds what.
select m.payload, f.queue, f.attempt, f.process_id = pg_backend_pid(), f.role = session_user, f.detached, f.claimed_at < f.lease_until
	from baton.in_flight f join baton.message m on m.id = f.message_id;
-- The queue.
select depth, exact, ready, delayed, in_flight, blocked, oldest < clock_timestamp(), sent, delivered, completed, failed, vanished, dead from baton.queue where name = 'q';
-- A role that isn't there any more, and a message of a queue that isn't.
select baton.complete(receipt) from baton.held();
select baton.drop_queue('q');
select payload, queue, status from baton.message where id > :before order by id limit 2;
-- Inside the transaction that sends, the message can be seen, and isn't delivered; and no more after the rollback.
select baton.create_queue('q');
begin;
select baton.send('q', '"mine"') > 0;
select payload, status from baton.message where queue = 'q';
select payload, status from baton.message m, lateral (select 1) x where queue = 'q';
select depth from baton.queue;
rollback;
select payload, status from baton.message where queue = 'q';
-- In the one that settles: as it will be.
select baton.send('q', '1') > 0;
begin;
select baton.complete(receipt, '"yes"') from baton.receive('q');
select payload, status, result from baton.message where queue = 'q';
rollback;
select payload, status, result from baton.message where queue = 'q';
-- Health: all is well; every item that isn't has a hint.
select baton_test.wait_until($$(select count(*) = 0 from baton.health where not ok)$$);
select item, case when item in ('keeper', 'window') then '...' else value end, ok, hint from baton.health
	where item in ('preloaded', 'keeper', 'window', 'quarantine', 'events not recorded') order by item;
select count(*) from baton.health where not ok and hint is null;

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
