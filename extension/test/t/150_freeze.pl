# Segments that live long are frozen by us, one at a time, before the server has to.
#
# Would catch: an anti-wraparound vacuum of every segment at once, at a time of the server's choice (issue 3,
# autovacuum): here it would come at an age of 100,000.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', conf => "autovacuum = off\nautovacuum_freeze_max_age = 100000\nfsync = off\n");
my $age = q{select max(age(relfrozenxid)) from pg_class where relname ~ '^(message|event)_log_\d+$'};

$node->safe_psql('postgres', q{
	select baton.create_queue('q');
	select count(*) from (select baton.send('q', to_jsonb(g)) from generate_series(1, 1000) g) s;
	select count(*) from (select baton.complete(receipt) from baton.receive('q', 900)) s});
$node->safe_psql('postgres', q{do $$ begin for i in 1..60000 loop perform pg_current_xact_id(); commit; end loop; end $$});
ok(wait_until($node, "select ($age) < 30000", 't'), 'frozen at half of the age');
is($node->safe_psql('postgres', q{select count(*) from pg_stat_all_tables where schemaname = 'baton'
	and relname ~ '_log' and (n_dead_tup > 0 or n_tup_upd > 0 or n_tup_del > 0)}), '0', 'and nothing was changed');
is($node->safe_psql('postgres', q{select ok from baton.health where item = 'freeze age of the log'}), 't', 'health says so');
is($node->safe_psql('postgres', q{select count(*) from baton.receive('q', 200)}), '100', 'what is left is delivered');
check_memory($node);
$node->stop;
done_testing();
