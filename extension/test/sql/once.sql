-- What the HTTP server stands on: sends that happen once a key, the queue of a receipt, the end of a wait.
-- What it would catch: a key that sends twice, or stands for two requests; a receipt that is taken for one of another
-- queue; a wait that can't be ended, or is ended by who may not.
select baton.create_queue('once');
\set VERBOSITY terse
select baton.create_queue('once2');

-- The same key and request: the same ids, sent once.
create temp table first as select id from baton.send_once('once', 'k', '\x01', array['1', '2']::jsonb[]) id;
select count(*) from first;
select array_agg(id order by id) = (select array_agg(id order by id) from first) as same
	from baton.send_once('once', 'k', '\x01', array['1', '2']::jsonb[]) id;
select count(*) from baton.message where queue = 'once';
-- Another request, another queue, another key.
select * from baton.send_once('once', 'k', '\x02', array['1', '2']::jsonb[]);
select count(*) from baton.send_once('once2', 'k', '\x02', array['3']::jsonb[]);
select count(*) from baton.send_once('once', 'k2', '\x02', array['3']::jsonb[]);
-- A send that fails or is rolled back leaves its key free.
select * from baton.send_once('once', 'k3', '\x01', array['4']::jsonb[], priority => array[99]);
begin;
select count(*) from baton.send_once('once', 'k3', '\x01', array['4']::jsonb[]);
rollback;
select count(*) from baton.send_once('once', 'k3', '\x02', array['5']::jsonb[]);
select payload from baton.message where queue = 'once' order by id;
-- Two in one transaction.
begin;
select count(*) from baton.send_once('once', 'k4', '\x01', array['6']::jsonb[]);
select count(*) from baton.send_once('once', 'k4', '\x01', array['6']::jsonb[]);
commit;
select count(*) from baton.message where queue = 'once' and payload = '6';
select * from baton.send_once('none', 'k', '\x01', array['1']::jsonb[]);
select * from baton.once_find('once', 'never');
-- the table's name is another one each day
\set VERBOSITY sqlstate
select count(*) from baton.send_once('once', '', '\x01', array['7']::jsonb[]);
\set VERBOSITY terse
call baton.cleanup_idempotency_keys();

-- Nothing else is let in where the server's rights are missing.
create role once_nobody;
grant usage on schema baton to once_nobody;
set role once_nobody;
select * from baton.send_once('once', 'k', '\x01', array['1', '2']::jsonb[]);
select name from baton.token;
reset role;

-- Tokens: nothing but a hash, scopes that there are.
insert into baton.token (name, hash, scopes) values ('short', '\x01', '{send}');
insert into baton.token (name, hash, scopes) values ('scope', sha256('x'), '{send,fly}');
insert into baton.token (name, hash, scopes) values ('none', sha256('x'), '{}');
insert into baton.token (name, hash, scopes) values ('', sha256('x'), '{send}');

-- The queue of a receipt, as long as the claim is there.
select receipt from baton.receive('once2', detached => true) \gset
select baton.receipt_queue(:'receipt');
select baton.complete(:'receipt');
select baton.receipt_queue(:'receipt');
select baton.receipt_queue('nonsense');
select baton.receipt_queue(null);

-- The end of a wait: here of one's own next one.
select baton.end_wait(pg_backend_pid());
call baton.wait_any(array['once2'], timeout => '1 hour');
call baton.wait_any(array['once2'], timeout => '0');
select baton.end_wait(0);
select baton.end_wait(null);
-- Not of another role's session.
select pg_backend_pid() as pid \gset
set role once_nobody;
select baton.end_wait(:pid);
reset role;

select baton.drop_queue('once'), baton.drop_queue('once2');
drop owned by once_nobody;
drop role once_nobody;
