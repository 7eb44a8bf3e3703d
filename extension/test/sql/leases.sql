-- Leases, on a clock that the test moves: G2, G4, finding 12, finding 26.
-- What it would catch: a lease counted from the wrong moment, a claim that is still good after its lease, or not
-- yet over and taken from its holder, an extension that isn't heeded, an event that is missing or double.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
select baton.create_queue('q', lease => '1 min', max_crashes => 3);
create temp view log as select m.payload, l.action, l.attempt, l.failures, l.crashes
	from baton.queue_log l join baton.message m on m.id = l.message_id where m.queue = 'q' order by l.id;

-- The queue's lease: over after a minute, for bound and for detached ones; nobody has to ask.
select baton.send('q', '1') > 0, baton.send('q', '2') > 0;
select receipt as r1 from baton.receive('q') \gset
select receipt as r2 from baton.receive('q', detached => true) \gset
select baton_test.set_clock('58 s');
select payload from baton.receive('q', 10);
select baton.extend(:'r2', '1 min') > now() + interval '117 s';
select baton_test.set_clock('61 s');
-- no longer good, whether or not anybody has looked
select baton.complete(:'r1');
select payload, attempt from baton.receive('q', 10);
select baton.complete(:'r2');
select baton.complete(receipt) from baton.held();
select baton.complete(:'r1');
select baton_test.wait_until($$(select count(*) = 3 from log)$$);
select * from log order by payload, attempt;
select baton_test.clear();

-- Its own lease, shorter or longer.
select baton.send('q', '3') > 0, baton.send('q', '4') > 0;
select payload from baton.receive('q', lease => '10 s');
select lease_until - now() between '8 s' and '10 s' from baton.held();
select receipt as r3 from baton.held() \gset
select receipt as r4 from baton.receive('q', lease => '1 h') \gset
-- The keeper does nothing meanwhile: check_hung_messages does it, and says so.
select baton_test.hold('keeper-duty');
select baton_test.wait_held('keeper-duty');
select baton_test.set_clock('11 s');
call baton.check_hung_messages();
call baton.check_hung_messages();
select baton_test.release('keeper-duty');
select count(*) from baton.held();
select baton.complete(:'r3');
select payload, attempt, baton.complete(receipt) from baton.receive('q', 10);
select baton_test.set_clock('59 min');
call baton.check_hung_messages();
select baton.complete(:'r4');
select baton_test.clear();

-- An open transaction is its own lease: it counts from the end of that.
select baton.send('q', '5') > 0;
begin;
select receipt as r5 from baton.receive('q') \gset
select baton_test.set_clock('10 min');
call baton.check_hung_messages();
select payload, lease_until is null from baton.in_flight join baton.message using (queue) where id = message_id;
select baton.extend(:'r5', '2 min') > now() + interval '11 min';
commit;
select lease_until - now() between interval '11 min' and interval '12 min' from baton.held();
select baton_test.set_clock('11 min 50 s');
select payload from baton.receive('q');
begin;
-- settled in time, committed after it: the settle counts
select baton.complete(:'r5');
select baton_test.set_clock('20 min');
call baton.check_hung_messages();
commit;
select payload from baton.receive('q');
select * from log where payload = '5';
select baton_test.clear();

-- A settle that is undone after the lease has ended: the claim is over then. Finding 13.
select baton.send('q', '6') > 0;
select receipt as r6 from baton.receive('q') \gset
begin;
select baton.complete(:'r6');
select baton_test.set_clock('61 s');
rollback;
select payload, attempt from baton.receive('q');
select baton.complete(:'r6');
select baton.complete(receipt) from baton.held();
select baton_test.wait_until($$(select count(*) = 2 from log where payload = '6')$$);
select * from log where payload = '6' order by attempt;
select baton_test.clear();
-- The same to a savepoint.
select baton.send('q', '7') > 0;
select receipt as r7 from baton.receive('q') \gset
begin;
savepoint a;
select baton.complete(:'r7');
select baton_test.set_clock('61 s');
rollback to a;
savepoint b;
select baton.complete(:'r7');
rollback;
select payload, attempt, baton.complete(receipt) from baton.receive('q');
select baton_test.clear();

-- Lost three times: dead.
select baton.send('q', '8') > 0;
do $$
begin
	for i in 1..3 loop
		perform r.id from baton.receive('q') r where attempt = i;
		if not found then
			raise exception 'nothing for attempt %', i;
		end if;
		commit;
		perform baton_test.set_clock(i * interval '61 s');
	end loop;
end $$;
select payload from baton.receive('q');
select baton_test.wait_until($$(select count(*) = 4 from log where payload = '8')$$);
select * from log where payload = '8';
select baton_test.clear();
select baton.extend('nonsense', '1 min');
select payload from baton.receive('q', lease => '0');
select payload from baton.receive('q', lease => '-1 s');

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
