# Segments are opened by senders themselves, who roll back or are overtaken, and rotations fail half-way.
#
# Forbids: an entry in memory of tables that were never committed, to which all senders then go; a sender that takes the
# segment it has just found for its own, and writes to it though it has been closed or emptied since; a keeper that
# records and loads nothing, because it can't rotate.
#
# Pitfall 6.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => small_segments());

sub query { return $node->safe_psql('postgres', shift); }

sub drop_log
{
	query($_) foreach split(/\n/, query(
		q{select format('drop table %s cascade', inhrelid::regclass) from pg_inherits
		where inhparent in ('baton.message_log'::regclass, 'baton.event_log'::regclass)}));
	return ok(wait_until($node, 'select count(*) from baton.segment', 0), 'a log without segments');
}

add_filler($node);
query(q{select baton.create_queue('q', retention => '0')});

# ---- a rotation fails, after the old segment was sealed, and after the new tables were made

foreach my $point ('segment-made', 'rotate-sealed')
{
	my ($out, $err);

	query(q{select count(*) from baton.send_batch('filler', array_fill('1'::jsonb, array[10]),
		expires_in => array[interval '1 microsecond'])});
	fail_at($node, $point);
	$node->psql('postgres', 'call baton.cleanup_queue()', stdout => \$out, stderr => \$err);
	like($err, qr/test point "$point" failed/, "a rotation fails at $point");
	is(query(q{select baton.send('q', '1') > 0}), 't', 'messages are sent all the same');
	is(complete_all($node, 'q'), '1', 'and received');
	query('call baton.cleanup_queue()');
	is(query(q{select baton.send('q', '2') > 0}), 't', 'after the next rotation too');
	is(complete_all($node, 'q'), '2', 'and received');
}

# ---- no tables can be made: all else goes on

my $victim = session($node);
query(q{select baton.send('q', '3')});
$victim->query(q{select count(*) from baton.receive('q')});
query(q{create function no() returns event_trigger language plpgsql as $$ begin raise 'no new tables'; end $$;
	create event trigger no on ddl_command_start when tag in ('CREATE TABLE') execute function no()});
foreach (1 .. 100)
{
	query(q{select count(*) from baton.send_batch('q',
		array(select to_jsonb(repeat(md5(i::text), 30)) from generate_series(1, 30) i)), baton_test.wake()});
	last if PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /no new tables/;
}
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/ERROR:  no new tables/, 'a rotation fails, and says so');
my $keeper = worker_pid($node, 'baton keeper');
query('select pg_terminate_backend(' . $victim->pid . ')');
ok(wait_until($node, q{select count(*) from baton.queue_log where action = 'vanished'}, 1),
	'what happened to a claim is recorded');
is(worker_pid($node, 'baton keeper'), $keeper, 'by a keeper that is still the same');
query('drop event trigger no');
query(q{select baton.drop_queue('q')});
query(q{select baton.create_queue('q', retention => '0')});

# ---- a transaction that opened the first segment rolls back, all of it or to a savepoint

drop_log();
my $first = session($node);
$first->query(q{begin; select baton.send('q', '"never"')});
$first->query('rollback');
is($first->query(q{begin; savepoint s; select baton.send('q', '"never"') > 0; rollback to s;
	select baton.send('q', '"after a savepoint"') > 0; commit}), "t\nt", 'and sends again');
is(complete_all($node, 'q'), 'after a savepoint', 'only what was committed is delivered');

# ---- two want to open the first segment; the second one finds the first one's, but it is emptied before it is locked

drop_log();
my $second = session($node);
$first->query(q{begin; select baton.send('q', '"first"')});
hold_one($node, 'send-segment-chosen');
$second->start(q{select baton.send('q', '"second"') > 0});
ok(wait_until($node, 'select count(*) > 0 from pg_locks where not granted', 't'), 'the second one waits for the first');
$first->query('commit');
wait_held($node, 'send-segment-chosen');
my $opened = open_segment($node);
is(complete_all($node, 'q'), 'first', 'the first one is delivered');
rotate($node);
wait_for_state($node, $opened, 'free');
release($node, 'send-segment-chosen');
is($second->finish, 't', 'the second one has sent, too');
kill_postmaster($node);
$node->start;
is(complete_all_of($node, 'q'), 'second', 'and after a crash its message is there');

check_memory($node);
$node->stop;
done_testing();
