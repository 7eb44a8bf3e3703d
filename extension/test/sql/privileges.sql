-- Who may do what: pitfall 20, guarantee G10 as far as it goes now.
-- What it would catch: a role that reads or writes the log, or changes queues, without having been granted it; one with
-- USAGE that can't send because a table isn't its own; functions that act with the rights of somebody else.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
create role regress_baton_none;
create role regress_baton_user;
create role regress_baton_admin;
grant usage on schema baton, baton_test to regress_baton_user, regress_baton_admin;
grant usage on schema baton_test to regress_baton_none;
grant execute on function baton.create_queue, baton.alter_queue, baton.drop_queue, baton.pause_queue, baton.resume_queue to regress_baton_admin;
create function public.try(statement text) returns text language sql as $$
	select rpad(baton_test.sqlstate(statement), 7) || statement;
$$;
create temp table statements (n serial, statement text);
insert into statements (statement) values
	('select baton.create_queue(''new'')'), ('select baton.alter_queue(''q'', lease => ''1 min'')'), ('select baton.pause_queue(''q'')'), ('select baton.resume_queue(''q'')'), ('select baton.drop_queue(''new'')'),
	('select baton.send(''q'', ''1'')'), ('select * from baton.send_batch(''q'', array[''2'']::jsonb[])'), ('select * from baton.receive(''q'')'), ('select * from baton.held()'), ('select baton.release_held()'),
	('select baton.complete(receipt) from baton.receive(''q'')'), ('select * from baton.complete_and_receive(''{}'', null, ''q'')'), ('select * from baton.get(''q'', 1)'),
	('call baton.check_hung_messages()'), ('select baton._installed()'),
	('select count(*) from baton.message'), ('select count(*) from baton.queue_log'), ('select count(*) from baton.queue'), ('select count(*) from baton.in_flight'), ('select count(*) from baton.health'),
	('select * from baton.message_log'), ('select * from baton.event_log'), ('select * from baton.message_log_1'), ('select * from baton.event_log_1'), ('select * from baton.queue_definition'), ('select nextval(''baton.id_block'')'),
	('insert into baton.message_log_1 (id, queue_id, sent_at, priority) values (1, 1, now(), 0)'), ('delete from baton.message_log_1'), ('truncate baton.event_log_1'), ('update baton.queue_definition set paused = true'),
	('drop table baton.event_log_1'), ('create table baton.mine (i int)');
grant select on statements to public;
select baton.create_queue('q');
select baton.send('q', '"mine"') > 0;

-- Without USAGE: nothing.
set role regress_baton_none;
select public.try(statement) from statements order by n;
reset role;
-- With USAGE: sending and receiving, not the log itself, nor the queues' definitions.
set role regress_baton_user;
select public.try(statement) from statements order by n;
select baton.release_held() >= 0;
reset role;
-- And with what was granted.
set role regress_baton_admin;
select public.try(statement) from statements where n <= 5 order by n;
reset role;

-- What is done as the extension's owner leaves the caller who it was, also after an error; and is not led astray.
create schema regress_trap;
grant all on schema regress_trap to regress_baton_admin;
set role regress_baton_admin;
set search_path = regress_trap, pg_catalog;
create function regress_trap.now() returns timestamptz language plpgsql as $$ begin raise exception 'trapped as %', current_user; end $$;
create table regress_trap.queue_definition (id int, name text);
create function regress_trap.octet_length(text) returns int language plpgsql as $$ begin raise exception 'trapped as %', current_user; end $$;
select baton.create_queue('trap');
select baton.create_queue('trap');
select current_user;
select baton.send('trap', '1') is not null;
select baton.drop_queue('trap');
select current_user;
reset search_path;
reset role;

-- The event says who held the claim: the role at the time of receive.
select baton.send('q', '"role"') > 0;
set role regress_baton_user;
select payload, baton.complete(receipt) from baton.receive('q', 10) order by id desc limit 1;
reset role;
select baton_test.wait_until('(select count(*) > 0 from baton.queue_log where role = ''regress_baton_user'')');
select l.role from baton.queue_log l join baton.message m on m.id = message_id where m.payload = '"role"';
-- A role that is gone: the log goes on to say who it was.
drop schema regress_trap cascade;
drop owned by regress_baton_none, regress_baton_user, regress_baton_admin;
drop role regress_baton_none, regress_baton_user, regress_baton_admin;
select l.role from baton.queue_log l join baton.message m on m.id = message_id where m.payload = '"role"';
drop function public.try;
-- Who may look without being allowed to receive.
select relname, has_table_privilege('pg_monitor', c.oid, 'select'), has_table_privilege('public', c.oid, 'select') from pg_class c where relnamespace = 'baton'::regnamespace and relkind = 'v' order by 1;

select baton.drop_queue(name) from baton.queue;
select baton_test.wait_until('baton_test.check_memory() = 0');
