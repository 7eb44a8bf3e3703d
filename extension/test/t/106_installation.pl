# The extension comes and goes, in transactions that commit or don't, while others use it;
# and what its functions say where it can't work.
#
# Would catch: memory of one installation used by the next (finding 24); a keeper that is not
# there, or still there; a queue entry that a rolled back transaction leaves behind; views that need
# shared memory.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('main', conf => "baton.max_queues = 3\n", extension => 0);

sub query { return $node->safe_psql('postgres', shift); }

sub take { return q{select payload, baton.complete(receipt) from baton.receive('q', 100)}; }

# Everything in one transaction.
my $start = time();
query(q{
	begin;
	create extension baton;
	select baton.create_queue('q');
	select baton.send('q', '1');
	commit});
is(query(take()), '1|', 'created, a queue made and a message sent in one transaction');
like(worker_pid($node, 'baton keeper', 'postgres'), qr/^\d+$/, 'a keeper is there');
cmp_ok(time() - $start, '<', 2, 'at once');
$node->safe_psql('postgres', 'create extension if not exists baton_test');

# Dropped and made again in one transaction, by a session that others don't wait for.
my $user = session($node);
$user->query(q{select baton.send('q', '2')});
my $receipt = $user->query(q{select receipt from baton.receive('q')});
my $ddl = session($node);
$ddl->query('begin');
$ddl->query('drop extension baton cascade');
$ddl->query('create extension baton');
$ddl->query('rollback');
is($user->error("select baton.complete('$receipt')"), '', 'rolled back: claims are as they were');
is(query(q{select baton.send('q', '3') > 0}), 't', 'and it goes on');

$user->query(q{select baton.send('q', '4')});
$receipt = $user->query(q{select receipt from baton.receive('q')});
$ddl->query('begin');
$ddl->query('drop extension baton cascade');
$ddl->query('create extension baton');
$ddl->query(q{select baton.create_queue('q')});
$ddl->query(q{select baton.send('q', '10')});
$ddl->query('commit');
like($user->error("select baton.complete('$receipt')"), qr/^BT001: /, 'committed: the old claims are lost');
is($user->query(take()), '10|', 'and only what was sent to the new one is there');
is(query(q{select count(*) from baton.message}), '1', 'in a log of its own');
like(worker_pid($node, 'baton keeper', 'postgres'), qr/^\d+$/, 'it has a keeper');
is(query(q{select baton.send('q', '11') > 0}), 't', 'others send');
is(query(take()), '11|', 'and receive');

# Savepoints around it.
$ddl->query('begin');
$ddl->query('savepoint a');
$ddl->query(q{select baton.create_queue('s')});
$ddl->query(q{select baton.send('s', '1')});
$ddl->query('rollback to a');
like($ddl->error(q{select baton.send('s', '1')}), qr/^42704: /, 'a queue whose savepoint was rolled back');
$ddl->query('rollback');
like($user->error(q{select baton.send('s', '1')}), qr/^42704: /, 'for others too');

# Too many queues; those rolled back don't count.
query(qq{begin; select baton.create_queue('t$_'); rollback}) foreach 1 .. 5;
ok(wait_until($node, q{select baton.create_queue('t1')::text || baton.create_queue('t2')}, ''),
	'queues that were never committed leave no trace');
like($user->error(q{select baton.create_queue('t3')}), qr/^53400: /, 'more queues than baton.max_queues');
query(q{select baton.drop_queue('t1')});
ok(wait_until($node, q{select baton.create_queue('t3', if_not_exists => true)::text}, ''),
	'one that is dropped makes room');
check_memory($node);

# Dropped for good.
query('drop extension baton_test');
query('drop extension baton cascade');
ok(wait_until($node, q{select count(*) from pg_stat_activity where backend_type = 'baton keeper'}, '0'),
	'no keeper without the extension');
is(query(q{select count(*) from pg_class where relname ~ '^(message|event)_log'}), '0', 'no tables either');
query(q{create extension baton});
ok(wait_until($node, q{select baton.create_queue('q')::text}, ''), 'what the old one had in memory is taken back');
query(q{select baton.send('q', '5')});
is(query(take()), '5|', 'made again');

# Settings of the database don't change what a keeper does.
query(q{
	alter database postgres set default_transaction_read_only = on;
	alter database postgres set default_transaction_isolation = 'serializable';
	alter database postgres set lock_timeout = '1ms';
	alter database postgres set statement_timeout = '1s';
	alter database postgres set search_path = 'nowhere'});
$node->restart;
my $writer = session($node);
$writer->query('set default_transaction_read_only = off; set statement_timeout = 0');
my $id = $writer->query(q{select baton.send('q', '6')});
my $holder = session($node);
$holder->query('set default_transaction_read_only = off');
$holder->query(q{select * from baton.receive('q')});
$holder->kill;
ok(wait_until($node, "select count(*) from baton.queue_log where message_id = $id and action = 'vanished'", '1'),
	'the keeper writes, whatever the database says');
is($writer->query(take()), '6|', 'and the message comes again');
query('set default_transaction_read_only = off; alter database postgres reset all');

# Not preloaded: errors that say what to do, and views that answer.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
$user = session($node);
foreach my $call (
	q{select baton.send('q', '1')}, q{select * from baton.receive('q')}, q{call baton.wait('q')},
	q{select baton.create_queue('x')}, q{select baton.complete('x')}, q{call baton.check_hung_messages()})
{
	like($user->error($call), qr/^(55000|22023): /, "$call without preload");
}
my ($code, $out, $err) = $node->psql('postgres', q{select baton.send('q', '1')});
like($err, qr/shared_preload_libraries/, 'the error names the setting');
is(query(q{select status from baton.message where payload = '6'}), 'completed', 'baton.message answers');
is(query(qq{select count(*) from baton.queue_log where message_id = $id}), '2', 'baton.queue_log answers');
is(query(q{select name from baton.queue}), 'q', 'baton.queue answers');
is(query(q{select count(*) from baton.in_flight}), '0', 'baton.in_flight answers');
is(query(q{select ok from baton.health where item = 'preloaded'}), 'f', 'baton.health says it');
is(query(qq{select status from baton.get('q', $id)}), 'completed', 'baton.get answers');
query('drop extension baton');

$node->stop;
done_testing();
