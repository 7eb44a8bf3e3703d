# Twenty queues that nobody reads fill memory, and a healthy one goes on as if they weren't there.
#
# Would catch: a window that is shared by who comes first, so that queues without consumers
# starve the others for ever (finding 4).

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('main', conf => "baton.window_size = 1024\n");
add_ledger($node);

foreach my $i (1 .. 20)
{
	$node->safe_psql('postgres', "select baton.create_queue('abandoned$i')");
	send_many($node, "abandoned$i", 300, per => 100, first => 1);
}
$node->safe_psql('postgres', q{select baton.create_queue('healthy')});

# One at a time: each arrives while the others have filled the window.
my $start = time();
my $consumer = session($node);
for my $i (1 .. 100)
{
	$node->safe_psql('postgres', "select baton.send('healthy', '$i')") if $i % 10 == 1;
	$consumer->query("select baton.send('healthy', '$i')") if $i % 10 != 1;
	$consumer->query(q{call baton.wait('healthy', '20 s')});
	$consumer->query(q{with m as materialized (select * from baton.receive('healthy')),
		l as (insert into ledger (queue, id, payload, priority, attempt) select 'healthy', id, payload, priority, attempt from m)
		select baton.complete(receipt) from m});
}
is_exactly_once($node, 'healthy', 100);
cmp_ok(time() - $start, '<', 20, 'without waiting');

# Many at once.
$node->safe_psql('postgres', q{delete from ledger});
$start = time();
my $sender = send_many($node, 'healthy', 5000, per => 100, background => 1);
drain($node, 'healthy', 5000, consumers => 2);
$sender->finish;
is_exactly_once($node, 'healthy', 5000);
is_in_order($node, 'healthy');
cmp_ok(time() - $start, '<', 30, 'nor this time');
check_memory($node);

# The abandoned ones have lost nothing, and neither has a restart.
drain($node, "abandoned$_", 300, batch => 50) foreach 1 .. 10;
$node->restart;
drain($node, "abandoned$_", 300, batch => 50) foreach 11 .. 20;
is($node->safe_psql('postgres', q{
		select count(*), count(distinct (queue, payload)) from ledger where queue like 'abandoned%'}),
	'6000|6000', 'and the abandoned queues have lost nothing');

check_memory($node);
$node->stop;
done_testing();
