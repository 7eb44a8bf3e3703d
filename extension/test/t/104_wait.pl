# A session that waits holds nothing: no snapshot, no transaction id; and it refuses to wait
# where it would have to.
#
# Would catch: vacuum held back by idle consumers (pitfall 2), in any isolation level; a CALL that
# commits what its caller has not finished: transaction blocks, pipelines.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use BatonWire;
use Test::More;

my $node = new_node('main');

sub query { return $node->safe_psql('postgres', shift); }

query(q{select baton.create_queue('q'); select baton.create_queue('p')});

foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	foreach my $call (
		q{call baton.wait('q', '60 s')},
		q{call baton.wait_any(array['p', 'q'], '60 s')},
		q{call baton.receive_wait('q', timeout => '60 s')},
		q{do $$ declare r boolean; begin perform count(*) from pg_class; call baton.wait('q', '60 s', r); end $$})
	{
		my $session = session($node);
		my $pid = $session->pid;
		my ($what) = $call =~ /(baton\.\w+)/;

		$what = "do: $what" if $call =~ /^do/;
		$session->query("set default_transaction_isolation = '$level'");
		$session->start($call);
		wait_until($node, "select wait_event_type from pg_stat_activity where pid = $pid", 'Extension');
		is(query("select backend_xmin is null and backend_xid is null from pg_stat_activity where pid = $pid"),
			't', "$what holds no snapshot, $level");
		is(query("select count(*) from pg_locks where pid = $pid and locktype = 'relation'"),
			'0', 'and no lock');
		query(q{select baton.send('q', '1')});
		like($session->finish, qr/^(t|q|\[.*\]|)$/, 'and is woken');
		$session->quit;
		query(q{select baton.complete(receipt) from baton.receive('q', 100)});
	}
}

# Transaction blocks.
my $session = session($node);
foreach my $call (q{call baton.wait('q')}, q{call baton.wait_any(array['q'])}, q{call baton.receive_wait('q')})
{
	$session->query('begin');
	$session->query(q{select baton.send('q', '1')});
	like($session->error($call), qr/^25001: /, "$call in a transaction block");
	$session->query('rollback');
}
query(q{create function waits() returns boolean language plpgsql as $$
	declare r boolean; begin call baton.wait('q', '1 s', r); return r; end $$});
like($session->error('select waits()'), qr/^25001: /, 'in a function');
is($session->query(q{call baton.wait('q', '10 ms')}), 'f', 'outside it waits, until the time is over');

# Pipelines: what came before in the same one must not be committed by the CALL.
my $wire = BatonWire->connect($node);
$wire->pipeline(q{call baton.wait('q', '1 ms')});
my ($error, @rows) = $wire->answer;
is($error // $rows[0], 'f', 'the extended protocol alone');
$wire->pipeline(q{select baton.send('q', '1')}, q{call baton.wait('q', '1 ms')});
($error) = $wire->answer;
is($error, '25001', 'in a pipeline after another statement');
is(query(q{select count(*) from baton.message where status <> 'completed'}), '0', 'nothing of it was committed');
$wire->close;

# A waiter whose time comes, or is taken, leaves nothing behind.
$session->query(q{set statement_timeout = '20 ms'});
like($session->error(q{call baton.wait('q')}), qr/^57014: /, 'statement_timeout is kept to');
$session->query(q{set statement_timeout = 0});
$session->start(q{call baton.wait('q')});
query(q{select baton.drop_queue('q')});
like($session->finish_error, qr/^42704: /, 'a queue that is dropped');

check_memory($node);
$node->stop;
done_testing();
