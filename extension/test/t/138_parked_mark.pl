# Where a start begins to read rises though something is always due much later.
#
# Would catch: a mark that stays at the first message that was ever left to the log for its time, as there has always been another
# one since; one that rises above a message that is still to come, which is then never delivered after a crash.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', conf => "baton.segment_size = 256kB\n");
my $minutes = 0;

sub query { return $node->safe_psql('postgres', shift); }

query(q{select baton.create_queue('q')});
my @id = map { query("select baton.send('q', '$_', delay => '" . (10 * $_) . " minutes')") } 1 .. 4;
foreach my $n (1 .. 3)
{
	$minutes = 10 * $n + 1;
	set_clock($node, "$minutes minutes");
	ok(wait_until($node, q{select payload from baton.receive('q', detached => true) r, lateral (select baton.complete(r.receipt)) c}, $n), "message $n, when it is due");
	$minutes += 2;	# a mark is written once a minute
	set_clock($node, "$minutes minutes");
	push(@id, query("select baton.send('q', '" . ($n + 4) . "', delay => '1 day')"));
	ok(wait_until($node, "select below > $id[$n - 1] from baton.queue_mark, baton_test.wake() where queue_id = 1", 't', timeout => 60), 'is below the mark');
	is(query("select below <= $id[$n] from baton.queue_mark where queue_id = 1"), 't', 'the next one is not');
}
crash($node);
$minutes += 25 * 60;
set_clock($node, "$minutes minutes");
query('create table got (payload text)');
ok(wait_until($node, q{insert into got select payload #>> '{}' from baton.receive('q', 10, detached => true);
	select string_agg(payload, ' ' order by payload) from got}, '4 5 6 7'), 'after a crash all that was still to come is delivered');
check_memory($node);
$node->stop;
done_testing();
