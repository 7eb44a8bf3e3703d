# A message that was sent is there after a restart, and so is a queue.
# What it would catch: a window that isn't rebuilt from the log.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main');

$node->safe_psql('postgres', q{select baton.create_queue('q')});
my $id = $node->safe_psql('postgres', q{select baton.send('q', '{"n": 1}')});
$node->restart;

my $consumer = session($node);
like($consumer->error(q{select * from baton.receive('nosuch')}), qr/^42704: /, 'an unknown queue');

wait_until($node, q{select ready from baton.queue where name = 'q'}, '1');
my $got = $consumer->query(q{select id, payload, attempt from baton.receive('q')});
is($got, qq[$id|{"n": 1}|1], 'the message sent before the restart');

# The consumer's connection is lost: its message is there again.
$consumer->kill;
wait_until($node, q{select ready from baton.queue where name = 'q'}, '1');
is($node->safe_psql('postgres', q{select id, attempt from baton.receive('q')}),
	"$id|2", 'the message of the consumer that is gone');

check_memory($node);
$node->stop;
done_testing();
