-- Queues are made, changed and dropped with the transaction that does so: finding 24, finding 9, pitfall 9.
-- What it would catch: a queue that outlives the savepoint or transaction that made it, or is gone
-- though its drop rolled back; a change of policy before its commit; messages of a dropped queue that come
-- back in a new one of the same name, or leave slots behind; settling what was in a dropped queue.
\pset tuples_only on
\pset format unaligned

select coalesce(max(id), 0) as before from baton.message \gset

-- The defaults are those of the design.
select baton.create_queue('q');
select name, paused, max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight, depth, exact
	from baton.queue;
-- There is one already.
\set VERBOSITY sqlstate
select baton.create_queue('q');
select baton.create_queue('q', max_attempts => 3, if_not_exists => true);
select max_attempts from baton.queue where name = 'q';
-- Names are what they are: no folding, no trimming.
select baton.create_queue(n) from unnest(array['Q', ' q', 'q''; drop table x; --', 'ä€😀', repeat('x', 63)]) n;
select quote_literal(name) from baton.queue order by name;
select payload from baton.receive('Q');
select baton.drop_queue(n) from unnest(array['Q', ' q', 'q''; drop table x; --', 'ä€😀', repeat('x', 63)]) n;

-- A change leaves the rest as it is, and is all or nothing.
select baton.alter_queue('q', lease => '1 min', max_crashes => 7);
select max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight from baton.queue;
select baton.alter_queue('q', max_attempts => 5, backoff => '2 h');
select baton.alter_queue('q', max_attempts => 0);
select baton.alter_queue('nosuch', max_attempts => 5);
select max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight from baton.queue;

-- Paused: nothing is received; sending and settling go on.
select baton.send('q', '1') > 0, baton.send('q', '2') > 0;
select receipt as r1 from baton.receive('q') \gset
select baton.pause_queue('q');
select baton.pause_queue('q');
select paused, ready, in_flight from baton.queue;
select payload from baton.receive('q');
select baton.send('q', '3') > 0;
select baton.complete(:'r1');
select baton.resume_queue('q');
select baton.resume_queue('q');
select payload from baton.receive('q', 10);
select baton.release_held();
-- A pause that rolls back never was.
begin;
select baton.pause_queue('q');
rollback;
select paused from baton.queue;
select baton.pause_queue('nosuch');
select baton.resume_queue('nosuch');

-- Dropped, with ready ones and a claim: the claim is lost, nothing comes back in a queue of the same name.
select receipt as r2 from baton.receive('q') \gset
begin;
select baton.drop_queue('q');
-- gone for this transaction
select baton_test.sqlstate($$select baton.send('q', '4')$$);
rollback;
select count(*) from baton.held();
begin;
select baton.drop_queue('q');
commit;
select baton.complete(:'r2');
select baton.extend(:'r2', '1 min');
select count(*) from baton.held();
select baton.drop_queue('q');
select baton.drop_queue('q', if_exists => true);
select payload from baton.receive('q');
select baton.send('q', '4');
select baton.create_queue('q');
select payload from baton.receive('q');
select depth from baton.queue;
-- The log still has what the old one did, without its name.
select payload, queue is null, status from baton.message where id > :before order by id;

-- Made, used and dropped in one transaction, in every order.
begin;
select baton.drop_queue('q');
select baton.create_queue('q', max_attempts => 2);
select baton.send('q', '"new q"') > 0;
select baton.create_queue('p');
select baton.send('p', '"p"') > 0;
select payload from baton.receive('p');
select baton.drop_queue('p');
select baton_test.sqlstate($$select baton.send('p', '1')$$);
select baton.create_queue('p');
select baton.alter_queue('p', max_attempts => 4);
select baton.send('p', '"second p"') > 0;
commit;
select payload from baton.receive('p');
select payload from baton.receive('q');
select name, max_attempts, in_flight from baton.queue order by name;
begin;
select baton.send('p', '"never"') > 0;
select baton.drop_queue('p');
commit;
select name from baton.queue;

-- With savepoints.
begin;
savepoint a;
select baton.create_queue('s');
select baton.send('s', '"lost"') > 0;
rollback to a;
select baton_test.sqlstate($$select baton.send('s', '"lost"')$$);
select baton.create_queue('s', max_attempts => 2);
select baton.send('s', '"kept"') > 0;
savepoint b;
select baton.drop_queue('s');
select baton_test.sqlstate($$select baton.send('s', '"lost"')$$);
rollback to b;
select baton.send('s', '"kept too"') > 0;
savepoint c;
select baton.alter_queue('s', max_attempts => 9);
rollback to c;
savepoint d;
select baton.alter_queue('s', key_in_flight => 9);
release d;
commit;
select max_attempts, key_in_flight from baton.queue where name = 's';
select payload from baton.receive('s', 10);
-- A transaction that made one and rolls back, after it was found by its name.
begin;
select baton.create_queue('gone');
select baton.send('gone', '1') > 0;
select baton.alter_queue('gone', max_attempts => 9);
rollback;
select baton.send('gone', '1');
select count(*) from baton.queue where name = 'gone';
begin;
select baton.create_queue('gone');
select 1 / 0;
commit;
select baton.create_queue('gone');
select depth from baton.queue where name = 'gone';

-- Many times, and no entry is lost.
do $$
begin
	for i in 1..300 loop
		perform baton.create_queue('again');
		perform baton.send('again', '1');
		perform baton.drop_queue('again');
	end loop;
end $$;
do $$
begin
	for i in 1..2000 loop
		perform baton.create_queue('again');
		begin
			perform baton.drop_queue('again');
			raise sqlstate 'XX999';
		exception when sqlstate 'XX999' then
		end;
		perform baton.drop_queue('again');
		commit;
	end loop;
end $$;

select baton.drop_queue(name) from baton.queue;
select baton_test.wait_until('baton_test.check_memory() = 0');
