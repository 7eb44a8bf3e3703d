# Who may not clean up, and values that no queue can have.
#
# Would catch: a cleanup inside a transaction block, which it would commit; by a role without the grant, on a standby,
# without preload; a retention that is negative or beyond all times; a segment size that makes a segment a message.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', streaming => 1);
my $session = session($node);

$session->query(q{select baton.create_queue('q'); create role nobody; grant usage on schema baton to nobody});
my $cleanup = 'call baton.cleanup_queue()';
like($session->query($cleanup), qr/^0\|0\|0\|0\|0$/, 'nothing to do is reported as that');
$session->query('begin');
like($session->error($cleanup), qr/^25001/, 'in a transaction block');
$session->query('rollback');
like($session->error('do $$ declare a bigint; begin call baton.cleanup_queue(a, a, a, a, a); exception when others then raise; end $$'), qr/^(25001|2D000)/, 'in a block that catches errors');
$session->query('set role nobody');
like($session->error($cleanup), qr/^42501/, 'without the grant');
like($session->error(q{select baton.purge_queue('q')}), qr/^42501/, 'purge, too');
$session->query('reset role');
$session->query('set default_transaction_read_only = on');
like($session->error($cleanup), qr/^25006/, 'read only');
$session->query('reset default_transaction_read_only');

foreach my $bad ("'-1 second'", "'-1000 years'", "'1001 years'", "'100000000 years'")
{
	like($session->error("select baton.create_queue('bad', retention => $bad)"), qr/^(22|23514)/, "retention $bad");
	like($session->error("select baton.alter_queue('q', retention => $bad)"), qr/^(22|23514)/, "alter_queue, retention $bad");
}
is($session->query(q{select retention from baton.queue where name = 'q'}), '7 days', 'it has what it had');
is($session->query(q{select count(*) from baton.queue}), '1', 'and nothing was made');
like($session->error("alter system set baton.$_->[0] = $_->[1]"), qr/^22023/, "$_->[0] = $_->[1]")
  foreach ['segment_size', "'-1'"], ['segment_size', "'1kB'"], ['segment_size', "'1000TB'"], ['segment_age', "'-1'"];
like($session->error(q{select baton.purge_queue('none')}), qr/^42704/, 'no such queue');

my $standby = new_standby($node, 'standby');
like(session($standby)->error($cleanup), qr/^25006/, 'on a standby');
$standby->stop;
check_memory($node);
$session->quit;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
like(session($node)->error($cleanup), qr/^55000/, 'without preload');
is($node->safe_psql('postgres', q{select status from baton.get('q', 1)}), '', 'but get() answers');
$node->stop;
done_testing();
