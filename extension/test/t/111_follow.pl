# Following the log by baton.wait_log: each committed event once, whatever its id.
#
# Would catch: an event that is missed because its transaction took its id early and committed late, or because
# the keeper wrote it after its holder was gone, or because it was committed between the follower's look and its sleep; one
# that is shown and was rolled back, or shown twice; a follower that fell behind, or comes back after a restart,
# and isn't told; a follower that holds a snapshot while it sleeps.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main');

sub query { return $node->safe_psql('postgres', shift); }

query(q{select baton.create_queue('q'); select baton.create_queue('p')});

# A follower: reads from its mark on; what came, as actions with their payloads.
my $follower = session($node);
my $mark = 'null';

sub follow_start
{
	my ($queue, $timeout) = @_;
	$follower->start("call baton.wait_log($queue, '" . ($timeout // '1 min') . "', $mark)");
	return;
}

sub follow_finish
{
	my ($new, $events, $messages) = split(/\|/, $follower->finish);

	$mark = $new;
	return 'lost' if $events eq '';
	return query(qq{select coalesce(string_agg(l.action || ' ' || m.payload::text, ', ' order by t.n), '')
		from unnest('$events'::bigint[], '$messages'::bigint[]) with ordinality as t (id, message_id, n)
		join baton.queue_log l on l.message_id = t.message_id and l.id = t.id
		join baton.message m on m.id = l.message_id});
}

sub follow
{
	follow_start(@_);
	return follow_finish();
}

# Waits until the follower sleeps.
sub asleep
{
	my $pid = $follower->pid;

	return wait_until($node, "select wait_event_type from pg_stat_activity where pid = $pid", 'Extension');
}

sub send_one { return query("select baton.send('$_[0]', '$_[1]')"); }

my $complete = q{select baton.complete(receipt) from baton.receive('q')};

send_one('q', 0);
query($complete);
is(follow('null'), 'lost', 'the first call says that what was before is not known here');
is(follow('null', '0'), '', 'nothing since');

# Awake at the commit, and no snapshot before.
follow_start('null');
asleep();
is(query('select backend_xmin is null and backend_xid is null from pg_stat_activity where pid = ' . $follower->pid),
	't', 'a follower holds no snapshot');
send_one('q', 1);
query($complete);
is(follow_finish(), 'completed 1', 'a commit wakes it');

# Ids taken early, committed late.
send_one('q', 2);
send_one('q', 3);
my $early = session($node);
$early->query('begin');
$early->query($complete);
query($complete);
is(follow('null'), 'completed 3', 'who took its id later and commits first comes first');
$early->query('commit');
is(follow('null'), 'completed 2', 'and the other one is not missed');
is(follow('null', '0'), '', 'nor shown again');

# Rolled back, wholly and in part.
send_one('q', 4);
$early->query(q{select count(*) from baton.receive('q')});
$early->query(q{begin; select baton.complete(receipt) from baton.held()});
$early->query('rollback');
$early->query(q{begin; savepoint s; select baton.fail(receipt, 'no') from baton.held();
	rollback to s; select baton.complete(receipt) from baton.held(); commit});
is(follow('null'), 'completed 4', 'what was rolled back is not shown');

# Between the look and the sleep.
send_one('q', 5);
hold($node, 'follow-before-sleep');
follow_start(q{'q'});
wait_held($node, 'follow-before-sleep');
query($complete);
release($node, 'follow-before-sleep');
is(follow_finish(), 'completed 5', 'an event between the look and the sleep is not missed');

# Of one queue.
follow_start(q{'p'});
asleep();
send_one($_, 6) foreach qw(q p);
query($complete);
query(q{select baton.release(receipt) from baton.receive('p')});
is(follow_finish(), 'released 6', 'another queue is not shown');

# The keeper's.
my $holder = session($node);
$holder->query(q{select id from baton.receive('p')});
follow_start('null');
asleep();
$holder->kill;
is(follow_finish(), 'vanished 6', 'what the keeper writes');
query(q{select baton.alter_queue('p', max_crashes => 2)});
$holder = session($node);
wait_until($node, q{select count(*) from baton.queue where name = 'p' and ready = 1}, 1);
$holder->query(q{select id from baton.receive('p')});
$holder->kill;
my $shown = follow('null');
$shown .= ', ' . follow('null') if $shown eq 'vanished 6';	# the keeper may have written them one by one
is($shown, 'vanished 6, dead 6', 'also two in a row');
$early->query(q{begin});
send_one('q', 7);
$early->query($complete);

# A cancelled follower leaves nothing behind; the mark it had is still good.
follow_start('null');
asleep();
query('select pg_cancel_backend(' . $follower->pid . ')');
like($follower->finish_error, qr/^57014: /, 'it can be cancelled');
$early->query('commit');
is(follow('null'), 'completed 7', 'and goes on from its mark');

# Many at once, more than one call gives.
query(q{select baton.send_batch('q', array_fill('0'::jsonb, array[2500]))});
query(q{select baton.complete_batch(array_agg(receipt)) from baton.receive('q', 2500)});
my $count = 0;
foreach (1 .. 3)
{
	my @shown = split(/, /, follow('null'));
	$count += @shown;
}
is($count, 2500, 'many: all of them, in three calls');
is(follow('null', '0'), '', '... and no more');

# Behind.
query(q{select baton.send_batch('q', array_fill('0'::jsonb, array[16385]))});
query(q{select baton.complete_batch(array_agg(receipt)) from baton.receive('q', 10000)}) foreach 1 .. 2;
is(follow('null'), 'lost', 'who is a whole ring behind is told');
send_one('q', 8);
query($complete);
is(follow('null'), 'completed 8', '... and goes on');
set_clock($node, '10 min');
is(follow('null', '0'), 'lost', 'who stayed away is told');
set_clock($node, '0');

# Where it can't be.
$follower->query('begin');
like($follower->error(q{call baton.wait_log()}), qr/^25001: /, 'in a transaction block');
$follower->query('rollback');
like($follower->error(q{call baton.wait_log('nope')}), qr/^42704: /, 'no such queue');
like($follower->error(q{call baton.wait_log(timeout => '-1 s')}), qr/^22023: /, 'a negative timeout');
like($follower->error(q{call baton.wait_log(timeout => null)}), qr/^22004: /, 'no timeout');
query(q{create role anybody; grant usage on schema baton to anybody});
$follower->query('set role anybody');
like($follower->error('call baton.wait_log()'), qr/^42501: /, 'a role that may not read the log');
$follower->query('reset role');

# More followers than are woken: they still look.
my @others = map { session($node) } 1 .. 17;
$_->start("call baton.wait_log('q', '1 min', $mark)") foreach @others;
wait_until($node, q{select count(*) from pg_stat_activity where query like 'call baton.wait_log%' and wait_event_type = 'Extension'}, 17);
send_one('q', 9);
query($complete);
like($_->finish, qr/\|\{\d+\}\|/, 'each of many followers has it') foreach @others;
$_->quit foreach @others;

# Another life of the server.
$follower->quit;
check_memory($node);
$node->restart;
$follower = session($node);
is(follow('null'), 'lost', 'a mark of another life of the server');

check_memory($node);
$node->stop;
done_testing();
