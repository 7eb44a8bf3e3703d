-- Consumers in REPEATABLE READ and SERIALIZABLE: findings 10 and 31.
-- What it would catch: predicate locks on the log, so that serializable consumers fail each other (40001); a receive
-- that can't find a queue or segment newer than its snapshot.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q');
select count(*) from baton.send_batch('q', array(select to_jsonb(i) from generate_series(1, 100) i));
begin isolation level serializable;
select count(*) from baton.receive('q', 50);
select count(baton.complete(receipt)) from baton.held();
select baton.send('q', '"follow-up"') > 0;
select count(*) from baton.complete_and_receive('{}', null, 'q', 10);
select status from baton.held() h, baton.get('q', h.id) g limit 1;
-- none on the log; those on the queues' definitions would be too many as well
select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation where l.mode = 'SIReadLock' and l.pid = pg_backend_pid() and c.relnamespace = 'baton'::regnamespace and c.relname ~ '_log';
commit;
select count(*) from baton.held();
-- Its own sends it sees; what it sent is delivered after its commit.
begin isolation level repeatable read;
select count(*) > 0 from pg_class;
select baton.send('q', '"mine"', priority => 9) > 0;
select payload from baton.message where payload = '"mine"' and queue = 'q';
select payload from baton.receive('q') where payload = '"mine"';
select baton.create_queue('new');
select baton.send('new', '1') > 0;
commit;
select payload from baton.receive('new');
begin isolation level repeatable read;
select payload, baton.complete(receipt) from baton.receive('q') where payload = '"mine"';
rollback;
begin isolation level serializable;
select payload, baton.complete(receipt) from baton.receive('q') where payload = '"mine"';
commit;
select status from baton.message where payload = '"mine"' and queue = 'q';
select baton.drop_queue(name) from baton.queue;
select baton_test.wait_until('baton_test.check_memory() = 0');
