# What it would catch: a worker that takes more while it stops, drops what it has, or can't
# be stopped; a claim that outlives its lease although the command runs on; a command that
# runs on although its claim is lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('stop');
my $dir  = PostgreSQL::Test::Utils::tempdir();
my $stuck = 'exec tail -f /dev/null';

sub statuses
{
	my ($queue) = @_;
	return $node->safe_psql('postgres', "select string_agg(status || ' ' || failures || ' ' || crashes, ', ' order by id)
		from baton.message where queue = '$queue'");
}

sub wait_running
{
	my ($queue, $count, @handles) = @_;
	return wait_sql($node, "select count(*) from baton.in_flight where queue = '$queue'", $count, @handles);
}

# SIGTERM: finishes what runs, takes nothing new.
baton('queue', 'create', 'term');
baton_in("1\n2\n3\n", 'send', 'term', '-');
system('mkfifo', map { "$dir/term.$_" } 1 .. 3);
my $worker = start_baton('work', 'term', '-c', '2', '-e', "read n; read x <$dir/term.\$n");
wait_running('term', 2, $worker);
signal_baton($worker, 'TERM');
wait_until('it stops', sub { $worker->{err} =~ /event=stopping/ }, $worker);
append_to_file("$dir/term.1", "go\n");
ok(wait_sql($node, q{select count(*) from baton.message where queue = 'term' and status = 'completed'}, 1, $worker),
	'SIGTERM: one command finishes');
wait_running('term', 1, $worker);
append_to_file("$dir/term.2", "go\n");
is(stop_baton($worker), 0, 'the worker ends well');
is(statuses('term'), 'completed 0 0, completed 0 0, pending 0 0', 'nothing new was taken');

# SIGINT while it waits: ends at once.
baton('queue', 'create', 'idle');
$worker = start_baton('work', 'idle', '-e', 'true');
wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton work idle'
	and state = 'active'}, 1, $worker);
is(stop_baton($worker, 'INT'), 0, 'SIGINT ends a worker that waits');

# A second signal: kills the commands, gives their messages back.
baton('queue', 'create', 'twice');
baton_in("1\n2\n", 'send', 'twice', '-');
$worker = start_baton('work', 'twice', '-c', '2', '-e', "echo \$\$ >>$dir/twice; trap '' TERM; while :; do read x </dev/zero; done");
wait_until('two run', sub { my @pids = split(/\n/, slurp("$dir/twice")); @pids == 2 }, $worker);
signal_baton($worker, 'TERM');
wait_until('it stops', sub { $worker->{err} =~ /event=stopping/ }, $worker);
is(stop_baton($worker, 'TERM'), 7, 'a second SIGTERM: it ends and says so');
is(statuses('twice'), 'pending 0 0, pending 0 0', '... its messages are given back, no attempt used up');
is(scalar(grep { alive($_) } split(/\n/, slurp("$dir/twice"))), 0, '... and no command lives');

# The grace period ends: the commands are asked to end, then what they had is given back.
baton('queue', 'create', 'grace');
baton('send', 'grace', '1');
$worker = start_baton('work', 'grace', '--grace', '100ms', '-e', $stuck);
wait_running('grace', 1, $worker);
is(stop_baton($worker, 'TERM'), 7, 'the grace period ends');
is(statuses('grace'), 'pending 0 0', '... the message is given back');
baton('queue', 'create', 'polite');
baton('send', 'polite', '1');
$worker = start_baton('work', 'polite', '--grace', '100ms', '-e',
	"trap 'echo saved; exit 0' TERM; touch $dir/polite; while :; do read x <$dir/never; done");
system('mkfifo', "$dir/never");
wait_until('it runs', sub { -e "$dir/polite" }, $worker);
stop_baton($worker, 'TERM');
is($node->safe_psql('postgres', q{select result from baton.message where queue = 'polite'}),
	'{"output": "saved"}', 'a command that ends well when asked has completed');

# A command may be longer than the lease.
foreach my $mode ([], ['--detached'])
{
	my $queue = @$mode ? 'lease2' : 'lease1';
	baton('queue', 'create', $queue, '--lease', '300 ms');
	baton('send', $queue, '1');
	system('mkfifo', "$dir/$queue");
	$worker = start_baton('work', $queue, @$mode, '-e', "read x <$dir/$queue");
	ok(wait_sql($node, "select count(*) from baton.in_flight where queue = '$queue'
		and lease_until > claimed_at + '2 s'", 1, $worker), "the lease is renewed (@$mode)");
	append_to_file("$dir/$queue", "go\n");
	ok(wait_sql($node, "select status, attempt from baton.message where queue = '$queue'",
			'completed|1', $worker), '... until the command has ended');
	is(stop_baton($worker, 'TERM'), 0, 'the worker ends well');
}

# A worker that is stopped loses its claim by the lease; when it goes on it must not go on with that.
baton('queue', 'create', 'frozen', '--lease', '300 ms');
baton('send', 'frozen', '1');
my $frozen = start_baton('work', 'frozen', '-e', "echo \$\$ >$dir/frozen; $stuck");
wait_until('it runs', sub { slurp("$dir/frozen") =~ /\n/ }, $frozen);
signal_baton($frozen, 'STOP');
my $other = start_baton('work', 'frozen', '-e', 'echo $BATON_ATTEMPT');
ok(wait_sql($node, q{select status, result from baton.message where queue = 'frozen'}, 'completed|2', $other),
	'a stopped worker\'s message goes to another');
signal_baton($frozen, 'CONT');
chomp(my $pid = slurp("$dir/frozen"));
ok(wait_until('the command is killed', sub { !alive($pid) }, $frozen), '... and its command is killed when it goes on');
ok(wait_until('it is logged', sub { $frozen->{err} =~ /event=lost queue=frozen/ }, $frozen), '... which it says');
is(stop_baton($frozen, 'TERM'), 0, 'the stopped worker ends well');
is(stop_baton($other,  'TERM'), 0, 'the other worker ends well');

done_testing();
