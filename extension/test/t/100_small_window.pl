# Many more messages than fit into memory: each is delivered exactly once, in order, while
# the window is refilled from the log, while others are sent, while the keeper is killed
# and the server restarts.
#
# Would catch: a range of the log that is skipped or read twice (findings 1, 2); a keeper
# that dies between moving the cursor and reading (finding 1); a lane that is not
# kept in order of priority while spilled (finding 5).

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node('main', conf => "baton.window_size = 1024\n");
add_ledger($node);

sub query { return $node->safe_psql('postgres', shift); }

# A deep queue, sent by one big transaction and by many, and four consumers.
query(q{select baton.create_queue('deep')});
send_many($node, 'deep', 10_000, per => 10_000);
send_many($node, 'deep', 10_000, first => 10_001, per => 500);
is(query(q{select spilled from baton.queue where name = 'deep'}), 't', 'the queue is spilled');
drain($node, 'deep', 20_000, consumers => 4, batch => 25);
is_exactly_once($node, 'deep', 20_000);
is_in_order($node, 'deep');
check_memory($node);

# Priorities, one consumer.  The window is full of others when the urgent one is sent.
query(q{select baton.create_queue('urgent')});
send_many($node, 'urgent', 6000, priorities => '{0,1,2}');
my $urgent = query(q{select baton.send('urgent', '6001', priority => 9)});
my $consumer = session($node);
ok( wait_until(
		$node, q{select ready > 0 from baton.queue where name = 'urgent'}, 't'),
	'there is something to receive');
my $tries = 0;
my @got;
while (++$tries <= 200)
{
	my $id = $consumer->query(
		q{select baton.release(receipt)::text || id from baton.receive('urgent')});

	last if $id eq $urgent;
	usleep(10_000);    # allowed: between two looks
}
cmp_ok($tries, '<=', 200, 'the urgent one sent last comes first, though memory was full');
drain($node, 'urgent', 6001);
is_exactly_once($node, 'urgent', 6001);
is_in_order($node, 'urgent');
check_memory($node);

# Sent and received at the same time, with the keeper terminated again and again: at
# random moments and at those where a pass is half done.
query(q{select baton.create_queue('killed')});
send_many($node, 'killed', 4000);
my $sender = send_many($node, 'killed', 16_000, first => 4001, per => 50, background => 1);
my @drains = map { consumer($node, "call drain('killed', 20, 20000)") } 1 .. 3;
my $ends = 0;
foreach my $point (('load-cursor-moved', 'load-snapshot-taken', 'load-before-place', 'load-range-read', '') x 2)
{
	hold($node, $point) if $point;
	if ($point)
	{
		last unless wait_until($node,
			"select baton_test.held('$point') or (select count(*) from ledger where queue = 'killed') = 20000", 't');
	}
	$ends += query(
		q{select count(pg_terminate_backend(pid)) from pg_stat_activity where backend_type = 'baton keeper'});
	release($node, $point) if $point;
	usleep(int(rand(50_000))) unless $point;    # allowed: a random moment
}
cmp_ok($ends, '>', 0, "the keeper was terminated $ends times");
$sender->finish;
$_->finish, $_->quit foreach @drains;
is_exactly_once($node, 'killed', 20_000, 'keeper terminated');
is_in_order($node, 'killed');
check_memory($node);

# A restart in the middle.
query(q{select baton.create_queue('restarted')});
send_many($node, 'restarted', 10_000, priorities => '{3,4}');
my $first = consumer($node, "call drain('restarted', 10, 10000)");
wait_until($node, q{select count(*) > 1000 from ledger where queue = 'restarted'}, 't');
$node->restart;
$first->kill;
drain($node, 'restarted', 10_000, consumers => 2, batch => 25);
is_exactly_once($node, 'restarted', 10_000);
is_in_order($node, 'restarted');

check_memory($node);
$node->stop;
done_testing();
