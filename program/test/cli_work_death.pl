# What it would catch: messages that wait for a dead worker; a command that works on beside
# the one that got its message; a worker that doesn't come back when its connection does, or
# settles what it has lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('death');
my $dir  = PostgreSQL::Test::Utils::tempdir();

# Succeeds, but not at the first attempt: that one never ends.
my $second_time = 'test $BATON_ATTEMPT -gt 1 || exec tail -f /dev/null; echo $BATON_ATTEMPT';

# The session that holds claims of a queue; the other one of the worker waits.
sub holder
{
	my ($queue) = @_;
	return $node->safe_psql('postgres',
		"select distinct process_id from baton.in_flight where queue = '$queue'");
}

# SIGKILL of a worker: another has its messages at once, and nothing of it lives on.
baton('queue', 'create', 'kill');
my $victim = start_baton('work', 'kill', '-c', '4', '-e',
	"tail -f /dev/null & echo \$\$ \$! >$dir/kill.\$BATON_MESSAGE_ID; wait");
baton_in("1\n2\n3\n4\n", 'send', 'kill', '-');
wait_until('four run', sub { (() = join('', map { slurp($_) } glob("$dir/kill.*")) =~ /\n/g) == 4 }, $victim);
my $other = start_baton('work', 'kill', '-c', '4', '-e', 'echo $BATON_ATTEMPT');
wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton work kill'
	and query like 'call%' and state = 'active'}, 1, $other);
my @pids = split(/\s+/, join('', map { slurp($_) } glob("$dir/kill.*")));
is(scalar(grep { alive($_) } @pids), 8, 'the commands and what they started run');
my $killed_at = $node->safe_psql('postgres', 'select clock_timestamp()');
is(stop_baton($victim, 'KILL'), 128 + 9, 'the worker is killed');
ok(wait_sql($node, q{select count(*) from baton.message where queue = 'kill' and status = 'completed'}, 4, $other),
	'another worker completes its messages');
is($node->safe_psql('postgres', q{select string_agg(result::text || ' ' || crashes, ', ')
	from baton.message where queue = 'kill'}), '2 1, 2 1, 2 1, 2 1', '... at the second attempt');
my $gap = $node->safe_psql('postgres', "select extract(epoch from max(claimed_at) - '$killed_at') * 1000
	from baton.message where queue = 'kill'");
diag("taken over after $gap ms, kill included");
cmp_ok($gap, '<', 1000, '... at once');
ok(wait_until('the commands end', sub { !grep { alive($_) } @pids }), '... and nothing of the dead one lives');
ok(wait_sql($node, q{select count(*) from baton.queue_log where queue = 'kill' and action = 'vanished'}, 4),
	'the log says what happened');
is(stop_baton($other, 'TERM'), 0, 'the other worker ends well');

# The session that holds the claims ends: they are void, so the commands are killed.
baton('queue', 'create', 'session', '--backoff', '1 ms');
my $worker = start_baton('work', 'session', '-e', "echo \$\$ >>$dir/session; $second_time");
baton('send', 'session', '1');
wait_until('it runs', sub { slurp("$dir/session") =~ /\n/ }, $worker);
my ($first) = split(/\n/, slurp("$dir/session"));
$node->safe_psql('postgres', 'select pg_terminate_backend(' . holder('session') . ')');
ok(wait_sql($node, q{select status, result from baton.message where queue = 'session'}, 'completed|2', $worker),
	'a worker whose session was ended comes back and goes on');
ok(!alive($first), '... without the command it had');
like($worker->{err}, qr/event=disconnected link=hold .*\n.*event=lost queue=session/, '... and says so');
is(stop_baton($worker, 'TERM'), 0, 'it ends well');

# The other session ends: nothing is lost.
baton('queue', 'create', 'settle');
system('mkfifo', "$dir/settle");
$worker = start_baton('work', 'settle', '-e', "read x <$dir/settle; echo \$BATON_ATTEMPT");
baton('send', 'settle', '1');
wait_sql($node, q{select count(*) from baton.in_flight where queue = 'settle'}, 1, $worker);
$node->safe_psql('postgres', q{select pg_terminate_backend(pid) from pg_stat_activity
	where application_name = 'baton work settle' and pid <> } . holder('settle'));
wait_until('it notices', sub { $worker->{err} =~ /event=disconnected link=wait/ }, $worker);
append_to_file("$dir/settle", "go\n");
ok(wait_sql($node, q{select status, result from baton.message where queue = 'settle'}, 'completed|1', $worker),
	'a worker that lost the other session settles all the same');
is(stop_baton($worker, 'TERM'), 0, 'it ends well');

# Detached claims don't end with the session.
baton('queue', 'create', 'detached');
system('mkfifo', "$dir/detached");
$worker = start_baton('work', 'detached', '--detached', '-e', "read x <$dir/detached; echo \$BATON_ATTEMPT");
baton('send', 'detached', '1');
wait_sql($node, q{select count(*) from baton.in_flight where queue = 'detached' and detached}, 1, $worker);
$node->safe_psql('postgres', q{select pg_terminate_backend(pid) from pg_stat_activity
	where application_name = 'baton work detached'});
wait_until('it notices', sub { (() = $worker->{err} =~ /event=connected/g) == 2 }, $worker);
append_to_file("$dir/detached", "go\n");
ok(wait_sql($node, q{select status, result from baton.message where queue = 'detached'}, 'completed|1', $worker),
	'a detached claim outlives both sessions');
is(stop_baton($worker, 'TERM'), 0, 'it ends well');

# The server restarts, and then crashes, under a worker that holds something.
foreach my $how ('fast', 'immediate')
{
	baton('queue', 'create', $how, '--backoff', '1 ms');
	# Whether a restart of the server uses up an attempt is not our business here.
	$worker = start_baton('work', $how, '-e',
		"echo \$\$ >>$dir/$how; test \$(wc -l <$dir/$how) -gt 1 || exec tail -f /dev/null; echo 2");
	baton('send', $how, '1');
	wait_until('it runs', sub { slurp("$dir/$how") =~ /\n/ }, $worker);
	$node->stop($how);
	wait_until('it notices', sub { $worker->{err} =~ /event=lost/ }, $worker);
	$node->start;
	ok(wait_sql($node, "select status, result from baton.message where queue = '$how'", 'completed|2',
			$worker), "a worker goes on after a restart ($how)");
	is(stop_baton($worker, 'TERM'), 0, 'it ends well');
	is(scalar(grep { alive($_) } split(/\n/, slurp("$dir/$how"))), 0, 'no command is left');
}

# No connection while it stops: it ends all the same.
baton('queue', 'create', 'cut');
$worker = start_baton('work', 'cut', '-e', "touch $dir/cut; exec tail -f /dev/null");
baton('send', 'cut', '1');
wait_until('it runs', sub { -e "$dir/cut" }, $worker);
$node->stop('immediate');
is(stop_baton($worker, 'TERM'), 0, 'a worker without a server can be stopped');
$node->start;

done_testing();
