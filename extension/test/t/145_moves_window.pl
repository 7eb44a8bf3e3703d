# Survivors that don't fit in the window are moved out of their segment all the same.
#
# Would catch: a compaction that stops when their own queue fills the window, so that the segment is kept for ever; survivors that are
# lost, doubled or out of order because their slots were taken for others meanwhile.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

use constant KEPT => 3000;

my $node = new_node('main', conf => "baton.window_size = 1024\nautovacuum = off\n");

sub query { return $node->safe_psql('postgres', shift); }

query(q{select baton.create_queue('kept'), baton.create_queue('gone', retention => '0')});
query('select count(*) from baton.send_batch(\'kept\', array(select to_jsonb(g) from generate_series(1, ' . KEPT . ') g))');
query(q{select count(*) from baton.send_batch('gone', array_fill('1'::jsonb, array[70000]))});
ok( wait_until($node, q{with done as materialized (select baton.complete(receipt) from baton.receive('gone', 10000))
	select count(*) from done; select depth from baton.queue where name = 'gone'}, "0\n0"), 'most is over');
is(query(q{select spilled from baton.queue where name = 'kept'}), 't', 'what is kept does not fit');

my ($emptied, $removed, $moved) = split(/\|/, query('call baton.cleanup_queue()'));
is($moved, KEPT, 'all of it is moved');
is($emptied, 1, 'and the segment is empty');
check_memory($node);

query('create table got (n serial, payload int)');
ok( wait_until($node, q{with m as materialized (select * from baton.receive('kept', 500)), d as materialized (select baton.complete(receipt) from m)
	insert into got (payload) select payload::int from m, (select count(*) from d) c order by id; select count(*) from got}, KEPT), 'it is delivered');
is(query('select count(distinct payload), bool_and(n = payload) from got'), KEPT . '|t', 'once, in order');
check_memory($node);
$node->stop;
done_testing();
