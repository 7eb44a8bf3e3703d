-- PREPARE TRANSACTION is refused after a send, receive, settle or change of a queue: pitfall 8.
-- What it would catch: a message that is delivered before COMMIT PREPARED, or never; a claim that nobody ends.
\pset tuples_only on
\pset format unaligned
\set VERBOSITY sqlstate
select baton.create_queue('q');

begin;
select baton.send('q', '1') > 0;
prepare transaction 'x';
select payload from baton.receive('q');
begin;
select count(*) from baton.send_batch('q', array['1', '2']::jsonb[]);
prepare transaction 'x';
begin;
savepoint a;
select baton.send('q', '1') > 0;
release a;
prepare transaction 'x';
select payload from baton.receive('q');
select baton.send('q', '2') > 0;
begin;
select payload from baton.receive('q');
prepare transaction 'x';
begin;
select baton.create_queue('p');
prepare transaction 'x';
begin;
select baton.alter_queue('q', lease => '1 s');
prepare transaction 'x';
begin;
select baton.drop_queue('q');
prepare transaction 'x';
-- back at once, or after the backoff of the failure that the refusal was
select baton_test.set_clock('1 h');
select payload from baton.receive('q');
begin;
select baton.complete(receipt) from baton.held();
prepare transaction 'x';
begin;
select baton.release(receipt, '1 s') from baton.held();
prepare transaction 'x';
select count(*) from baton.held();
select name, lease from baton.queue;
\set VERBOSITY default
begin;
select baton.send('q', '1') > 0;
prepare transaction 'x';
\set VERBOSITY sqlstate

-- What isn't the queue's business goes on: also with claims of earlier transactions, and after a savepoint rolled back.
begin;
create table prepared (i int);
savepoint a;
select baton.send('q', '3') > 0;
select baton.complete(receipt) from baton.held();
rollback to a;
select count(*) from baton.held();
select status from baton.held() h, lateral (select status from baton.get('q', h.id)) g;
prepare transaction 'x';
select baton.complete(receipt) from baton.held();
commit prepared 'x';
drop table prepared;
select payload from baton.receive('q');
select count(*) from baton.message where queue = 'q';
select count(*) from pg_prepared_xacts;

select baton_test.clear();
select baton.drop_queue('q');
select baton_test.wait_until('baton_test.check_memory() = 0');
