-- Savepoints and PL/pgSQL exception blocks at any depth, against a model: pitfall 9.
-- What it would catch: a message of a rolled back savepoint that is delivered, one of its parent that is lost, a
-- claim or a settle that outlives its savepoint or doesn't outlive its release.
\pset tuples_only on
\pset format unaligned
select baton.create_queue('q', max_attempts => 10000);

-- By hand first: ROLLBACK TO twice, names that repeat, releases at several depths.
begin;
select baton.send('q', '"1 kept"') > 0;
savepoint a;
select baton.send('q', '"2 lost"') > 0;
savepoint b;
select baton.send('q', '"3 lost"') > 0;
rollback to a;
select baton.send('q', '"4 lost"') > 0;
rollback to a;
select baton.send('q', '"5 kept"') > 0;
savepoint a;
select baton.send('q', '"6 lost"') > 0;
rollback to a;
release a;
savepoint c;
savepoint d;
select baton.send('q', '"7 kept"') > 0;
release c;
savepoint e;
select baton.send('q', '"8 lost"') > 0;
savepoint f;
select baton.send('q', '"9 lost"') > 0;
release f;
rollback to e;
commit;
select payload from baton.receive('q', 100);
-- The same for settling: a rolled back one can be done again, or another way.
begin;
savepoint a;
select baton.complete(receipt) from baton.held();
rollback to a;
select baton.release(receipt) from baton.held() order by id limit 1;
savepoint b;
select baton.complete(receipt) from baton.held() order by id limit 1;
release b;
savepoint c;
select baton.complete(receipt) from baton.held();
rollback to c;
select count(*) from baton.held();
rollback to a;
select count(*) from baton.held();
select baton.complete(receipt) from baton.held();
commit;
select payload, attempt from baton.receive('q', 100);
select baton.complete(receipt) from baton.held();
-- And for claims: they end with their savepoint, the message is at once there for the same transaction.
select count(*) from baton.send_batch('q', array['1', '2', '3']::jsonb[]);
begin;
select payload from baton.receive('q');
savepoint a;
select payload from baton.receive('q');
savepoint b;
select payload from baton.receive('q');
release b;
rollback to a;
select g.payload from baton.held() h, baton.get('q', h.id) g;
select payload from baton.receive('q', 10);
release a;
commit;
select count(*), bool_and(lease_until is not null) from baton.held();
select baton.complete(receipt) from baton.held();
-- A claim and its settling go together.
select baton.send('q', '4') > 0;
begin;
savepoint a;
select payload, baton.complete(receipt) from baton.receive('q');
rollback to a;
select payload, baton.complete(receipt) from baton.receive('q');
commit;
select payload from baton.receive('q');
-- release_held doesn't forget what is being settled: it comes back if that is undone.
select baton.send('q', '5') > 0;
begin;
select payload, baton.complete(receipt) from baton.receive('q');
select baton.release_held();
rollback;
select payload from baton.receive('q');
begin;
select baton.complete(receipt) from baton.held();
select baton.release_held();
rollback;
select count(*) from baton.held();
select baton.complete(receipt) from baton.held();

-- By chance, against a model: a table does the same in the same subtransactions, so what it has at the end is what
-- the queue must have. Each block does a few things, goes deeper, and fails or not.
create temp table model (n int, what text);
create temp table todo (receipt text, n int);
create function pg_temp.step(depth int) returns void language plpgsql as $$
declare
	m record;
begin
	for i in 1..1 + (random() * 3)::int loop
		case (random() * 5)::int
			when 0, 1 then
				insert into model values (nextval('pg_temp.number'), 'sent');
				perform baton.send('q', to_jsonb(currval('pg_temp.number')));
			when 2 then
				insert into model select nextval('pg_temp.number'), 'sent' from generate_series(1, 3);
				perform * from baton.send_batch('q', array(select to_jsonb(currval('pg_temp.number') - 3 + j) from generate_series(1, 3) j));
			when 3 then
				for m in select * from baton.receive('q', 2) loop
					insert into todo values (m.receipt, m.payload::int);
				end loop;
			when 4 then
				for m in delete from todo where n in (select n from todo order by n limit 2) returning * loop
					perform baton.complete(m.receipt);
					insert into model values (m.n, 'completed');
				end loop;
			else
				for m in delete from todo where n in (select n from todo order by n desc limit 1) returning * loop
					perform baton.release(m.receipt);
				end loop;
		end case;
		if depth > 0 and random() < 0.6 then
			begin
				perform pg_temp.step(depth - 1);
				if random() < 0.4 then
					raise sqlstate 'XX999';
				end if;
			exception when sqlstate 'XX999' then
			end;
		end if;
	end loop;
end $$;
create temp sequence number;
select setseed(0.42);
do $$
begin
	for i in 1..150 loop
		perform pg_temp.step((random() * 6)::int);
		if random() < 0.3 then
			rollback;
			delete from todo where receipt not in (select receipt from baton.held());
		end if;
		commit;
		if (select count(*) from todo) <> (select count(*) from baton.held() join todo using (receipt))
			or (select count(*) from todo) <> (select count(*) from baton.held()) then
			raise exception 'round %: % claims, the model has %', i, (select count(*) from baton.held()), (select count(*) from todo);
		end if;
		if i % 10 = 0 then
			perform baton_test.check_memory();
		end if;
	end loop;
end $$;
select count(*) > 100 from model where what = 'completed';
select baton.release_held() >= 0;
-- What was sent and not completed is there, each once, and nothing else.
select baton_test.set_clock('2 h');
create temp table left_over as select payload::int as n from baton.receive('q', 10000);
-- A call looks at 256 that have become due at most.
insert into left_over select payload::int as n from baton.receive('q', 10000);
insert into left_over select payload::int as n from baton.receive('q', 10000);
select count(*) - count(distinct n) as doubles from left_over;
select count(*) as differ from (select n from model where what = 'sent' except select n from model where what = 'completed') x full join left_over l using (n)
	where x.n is null or l.n is null;
select count(*) as wrong from baton.message m full join (select n from model where what = 'completed') c on m.payload = to_jsonb(c.n) and m.status = 'completed'
	where m.queue = 'q' and m.status = 'completed' and jsonb_typeof(m.payload) = 'number' and m.payload::int > 5 and c.n is null or m.id is null;
select baton.complete(receipt) is null from baton.held() limit 1;
select baton_test.clear();

-- Deep: 200 levels; what is at 100 and deeper fails as a whole.
select baton.release_held() >= 0;
select baton.drop_queue('q');
select baton.create_queue('q');
create function pg_temp.dive(depth int) returns void language plpgsql as $$
begin
	perform baton.send('q', to_jsonb(depth));
	begin
		if depth < 200 then
			perform pg_temp.dive(depth + 1);
		end if;
		if depth = 99 then
			raise sqlstate 'XX999';
		end if;
	exception when sqlstate 'XX999' then
	end;
end $$;
select pg_temp.dive(1);
select count(*), max(payload::int) from baton.receive('q', 1000);

select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
