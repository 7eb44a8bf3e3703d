# Many rotations, with a transaction open that holds a snapshot and one that has written: disk, catalogs and memory stay as they are.
#
# Forbids: dead rows in tables of the log, or more than a few in the two small tables (pitfall 15), also where many queues are
# idle while one is busy; rows of small tables that autovacuum never hears of; a ring that grows though its
# segments are free; readers of the views that exhaust the lock table or get an error (finding 23).
#
# Pitfall 15; findings 23, 33.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

use constant ROTATIONS => $ENV{BATON_TEST_ROTATIONS} // 20;

my $node = new_node('main', conf => small_segments());

sub query { return $node->safe_psql('postgres', shift); }

sub census
{
	return query(q{select (select count(*) from pg_class) || ' ' || (select count(*) from pg_attribute) || ' ' || (select count(*) from baton.segment)});
}

add_filler($node);
query(q{select count(baton.create_queue('idle' || i)) from generate_series(1, 200) i});
query('create table other (i int)');
my $snapshot = session($node);
my $writer = session($node);

rotate($node) foreach 1 .. 5;
$snapshot->query('begin isolation level repeatable read; select count(*) from other');
$writer->query('begin; insert into other values (1)');
my $before = census();
my ($pairs) = $before =~ /(\d+)$/;
foreach my $i (1 .. ROTATIONS)
{
	rotate($node);
	# a minute passes: marks are written
	set_clock($node, $i / 6 . ' minutes') if $i % 6 == 0;
}
my $after = census();
cmp_ok(($after =~ /(\d+)$/)[0], '<=', $pairs + 2, "the ring stays as it is ($before, $after)");
ok(wait_until($node, q{select coalesce(sum(n_tup_ins), 0) > 0 from pg_stat_user_tables where relname = 'queue_mark'}, 't'),
	'the keeper tells the statistics what it has written');
is(query(q{select coalesce(sum(n_tup_upd + n_tup_del + n_dead_tup), 0) from pg_stat_user_tables
	where schemaname = 'baton' and relname ~ '_log'}), 0, 'nothing in the log is updated, deleted or dead');
cmp_ok(query(q{select max(n_dead_tup) from pg_stat_user_tables where schemaname = 'baton'}), '<', 1000, 'few dead rows elsewhere');
cmp_ok(query(q{select n_tup_upd from pg_stat_user_tables where relname = 'queue_mark'}), '<', 200,
	'the marks of idle queues are not written again and again');
$snapshot->query('commit');
$writer->query('commit');

# ---- a large transaction over several rotations (finding 33)

my $large = session($node);
my $first = open_segment($node);
query(q{select baton.create_queue('large', retention => '0')});
is($large->query(q{begin; select count(*) from baton.send_batch('large', array_fill('1'::jsonb, array[60000]))}), 60000, 'many are sent');
rotate($node);
is($large->query(q{select count(*) from baton.send_batch('large', array_fill('1'::jsonb, array[60000]))}), 60000, 'and more after a rotation');
rotate($node);
is($large->query('commit'), '', 'and committed together');
my $consumers = query(q{create procedure take_all(inout n bigint default 0) language plpgsql as $$
	declare
		more bigint;
	begin
		loop
			select count(*) into more from baton.receive('large', 1000) r, lateral (select baton.complete(r.receipt)) c;
			commit;
			n := n + more;
			exit when more = 0 and (select depth = 0 from baton.queue where name = 'large');
		end loop;
	end $$; call take_all()});
is($consumers, 120000, 'all are delivered once');

# ---- ten readers of the views over 64 and more segments

my $keep = session($node);
$keep->query('begin; select count(*) from baton.message_log');
my $grown = 0;
while (query('select count(*) from baton.segment') < 66 && $grown++ < 90)
{
	rotate($node);
	$keep->query('select count(*) from baton.message_log');
}
cmp_ok(query('select count(*) from baton.segment'), '>=', 64, 'there are many segments');
my @readers = map { session($node)->start('begin; select count(*) from baton.message; select count(*) from baton.queue_log; select count(*) from baton.queue; select count(*) from baton.segment_status') } 1 .. 10;
is(query(q{select baton.send('filler', '1') > 0}), 't', 'messages are sent meanwhile');
is(complete_all($node, 'filler'), '1', 'and received');
unlike($_->finish, qr/^$/, 'a reader is answered') foreach @readers;
$keep->query('commit');

no_lock_waits($node);
check_memory($node);
$node->stop;
done_testing();
