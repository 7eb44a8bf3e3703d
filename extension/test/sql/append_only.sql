-- Nothing in the log is ever updated or deleted: section 2 of the design, pitfall 15.
-- What it would catch: an UPDATE or DELETE on the hot path, or a row that is written and taken back.
\pset tuples_only on
\pset format unaligned
-- Sends that were rolled back before this test count as dead, like any rolled back INSERT.
select baton.create_queue('q');
select pg_stat_force_next_flush();
create table before as select relname, n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup from pg_stat_user_tables where schemaname = 'baton' and relname ~ '_log_\d+$';
select baton.alter_queue('q', max_attempts => 3, max_crashes => 3, backoff => '0');

-- All that can happen to messages, in many transactions.
do $$
declare
	r text;
begin
	for i in 1..100 loop
		perform baton.send('q', to_jsonb(i), key => (i % 3)::text);
		perform * from baton.send_batch('q', array['1', '2', '3']::jsonb[], priority => array[1, 2, 3]);
		commit;
		for r in select receipt from baton.receive('q', 4) loop
			case i % 5
				when 0 then perform baton.complete(r, '1');
				when 1 then perform baton.fail(r, 'x', '0');
				when 2 then perform baton.release(r);
				when 3 then perform baton.extend(r, '1 min');
				else perform baton.fail(r, 'y', retry => false);
			end case;
		end loop;
		commit;
		perform * from baton.receive('q', 2);
		commit;
		perform baton.release_held();
		commit;
	end loop;
end $$;
select payload is not null from baton.receive('q');
discard all;
select baton_test.wait_until($$(select count(*) > 0 from baton.queue_log where queue = 'q' and action = 'vanished')$$);
select baton_test.set_clock('10 min');
call baton.check_hung_messages(null);
select baton_test.clear();
-- One in flight is paused, altered, dropped.
select count(*) from baton.receive('q', 5);
select baton.pause_queue('q');
select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
select count(*) > 300 from baton.message_log where queue_id is not null;
select count(*) > 100 from baton.event_log;

-- The keeper has written events too: ask until its numbers have come.
select pg_stat_force_next_flush();
select baton_test.wait_until($$(select bool_and(n.n_tup_ins > b.n_tup_ins) from pg_stat_user_tables n join before b using (relname))$$);
select regexp_replace(relname, '\d+', 'N'), n.n_tup_upd - b.n_tup_upd, n.n_tup_del - b.n_tup_del, n.n_dead_tup - b.n_dead_tup from pg_stat_user_tables n join before b using (relname) order by 1;
drop table before;
-- The parents are empty.
select count(*) from only baton.message_log union all select count(*) from only baton.event_log;
-- The children depend on the extension, automatically, and are not its members: finding 14.
select deptype, count(*) >= 2 from pg_depend join pg_class c on classid = 'pg_class'::regclass and objid = c.oid and relname ~ '_log_\d+$' and relkind = 'r'
	where refclassid = 'pg_extension'::regclass group by 1;
