# While somebody reads the log, segments can't be emptied, and new ones are made; when that is over, the surplus goes.
#
# Would catch: hundreds of empty tables that stay for ever after one forgotten transaction (finding 23); a producer or
# consumer that waits for a reader (pitfall 16).

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "baton.segment_size = 64\nlog_lock_waits = on\ndeadlock_timeout = 10ms\n");
my $pairs = q{select count(*) from pg_class where relname ~ '^message_log_\d+$'};

$node->safe_psql('postgres', q{select baton.create_queue('q', retention => '0')});
my $reader = session($node);
$reader->query('begin');
$reader->query('select count(*) from baton.message');	# locks every table that there is

# each round fills more than a segment, and has every table locked that was made meanwhile
foreach my $round (1 .. 12)
{
	$node->safe_psql('postgres', q{
		select count(*) from (select baton.send('q', to_jsonb(repeat('x', 500))) from generate_series(1, 200) g) s;
		select count(*) from (select baton.complete(receipt) from baton.receive('q', 200)) s});
	my $before = $node->safe_psql('postgres', q{select max(number) from baton.segment where state = 'open'});
	ok(wait_until($node, qq{select count(*) from baton.segment where state = 'open' and number <> $before}, '1'), "rotated $round") if $round < 12;
	$reader->query('select count(*) from baton.message');
}
cmp_ok($node->safe_psql('postgres', $pairs), '>', 10, 'the ring has grown');
is($node->safe_psql('postgres', q{select count(*) > 0 from baton.segment_status where waits_for = 'transactions that read it'}), 't',
	'segment_status says why');
$reader->query('rollback');
ok(wait_until($node, "select ($pairs) <= 8", 't'), 'the surplus is gone');
$node->safe_psql('postgres', q{select baton.send('q', '1'); select baton.complete(receipt) from baton.receive('q')});
unlike(slurp_file($node->logfile), qr/still waiting for (RowExclusiveLock|AccessShareLock|RowShareLock)/, 'nobody has waited');
check_memory($node);
$node->stop;
done_testing();
