-- An index that somebody adds to a table of the log by hand lacks rows that were written afterwards, by a session that
-- has used the table before; or a unique one does not hold; or a table is taken for a heap that is none any more.
select baton.create_queue('own');
select baton.send('own', '{"own": 1}') is not null as sent;
select max(tableoid)::regclass as messages from baton.message_log \gset

create index own_time on :messages (sent_at);
select baton.send('own', '{"own": 2}') is not null as sent;
create index own_expression on :messages ((payload ->> 'own')) where payload ? 'own';
create unique index own_unique on :messages (key) where key = 'own';
select baton.send('own', '{"own": 3}', key => 'own') is not null as sent;
select count(*) from baton.send_batch('own', array['{"own": 4}', '{"other": 5}']::jsonb[]);
\set VERBOSITY terse
select baton.send('own', '{"own": 5}', key => 'own');
\set VERBOSITY default
drop index baton.own_unique;
select baton.send('own', '{"own": 5}', key => 'own') is not null as sent;

set enable_seqscan = off;
set enable_bitmapscan = off;
select payload from :messages where payload ? 'own' and payload ->> 'own' = any (array['1', '2', '3', '4', '5']) order by id;
drop index baton.own_expression;
select payload from :messages where sent_at > '-infinity' and payload ? 'own' order by sent_at, id;
drop index baton.own_time;

-- the events' table
select count(baton.complete(receipt)) from baton.receive('own');
select max(tableoid)::regclass as events from baton.event_log \gset
create index own_action on :events using hash (action) where action = 'completed';
select count(baton.complete(receipt)) from baton.receive('own', 2);
select detail, count(*) from :events
	where action = 'completed' and queue_id = (select id from baton.queue_definition where name = 'own') group by detail;
drop index baton.own_action;

-- One by operators of somebody's own, which send a message while a row is entered.
create function own_compare(a bigint, b bigint) returns integer language plpgsql as $$
begin
	if current_setting('own.sent', true) = 'no' then
		perform set_config('own.sent', 'yes', false);
		perform baton.send('own', '{"own": "by the index"}');
	end if;
	return btint8cmp(a, b);
end $$;
create operator class own_ops for type bigint using btree as
	operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 own_compare(bigint, bigint);
create index own_id on :messages (id own_ops);
set own.sent = 'no';
select baton.send('own', '{"own": "after"}') is not null as sent;
show own.sent;
set enable_seqscan = off;
select payload from :messages where id > 0 and payload ->> 'own' in ('after', 'by the index') order by 1;
drop index baton.own_id;
drop operator class own_ops using btree;
drop function own_compare;

-- Another access method: rows of a heap are in its files.
create access method own_method type table handler heap_tableam_handler;
alter table :messages set access method own_method;
select baton.send('own', '{"own": "elsewhere"}');
alter table :messages set access method heap;
drop access method own_method;
select baton.send('own', '{"own": "here"}') is not null as sent;
select baton.drop_queue('own');
