# Producers and consumers go on while a synchronous standby takes over from its primary, which is
# killed with all its processes.
#
# Forbids: what was committed and acknowledged is lost with the primary, or comes again though it was
# finished; a promoted standby whose memory is empty and believes itself to be loaded; verbs that
# do something, or views that don't answer, on a standby.
#
# By synchronous_commit = on, and by remote_apply.
#
# G1, G3; pitfalls 10, 12; finding 18.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use BatonLedger;
use Test::More;

my $primary = new_node('primary', streaming => 1);
my $standby = new_standby($primary, 'standby', synchronous => 1);

$primary->safe_psql('postgres', q{
	select baton.create_queue('backlog');
	select count(*) from baton.send_batch('backlog', array(select to_jsonb(n) from generate_series(1, 3000) n));
	select baton.send('backlog', '"later"', delay => '400 ms');
	select baton.complete(receipt) from baton.receive('backlog', 100);
	select baton.fail(receipt, 'once', retry_in => '0') from baton.receive('backlog');});
my $receipt =
  $primary->safe_psql('postgres', q{select receipt from baton.receive('backlog', detached => true)});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));

# ---- on the standby ----

my $stayer = session($standby);
foreach my $verb (
	q{select baton.send('backlog', '1')},
	q{select count(*) from baton.send_batch('backlog', array['1'::jsonb])},
	q{select * from baton.receive('backlog')},
	q{call baton.wait('backlog', '1 s')},
	q{call baton.wait_any(array['backlog'], '1 s')},
	q{call baton.receive_wait('backlog', 1, '1 s')},
	"select baton.complete('$receipt')",
	"select baton.fail('$receipt', 'x')",
	"select baton.release('$receipt')",
	"select baton.extend('$receipt', '1 s')",
	"select * from baton.complete_batch(array['$receipt'])",
	"select * from baton.fail_batch(array['$receipt'], array['x'])",
	"select * from baton.release_batch(array['$receipt'])",
	"select * from baton.complete_and_receive(array['$receipt'], null, 'backlog')",
	q{select * from baton.held()},
	q{select baton.release_held()},
	q{call baton.check_hung_messages()},
	q{select baton.create_queue('x')},
	q{select baton.alter_queue('backlog', max_attempts => 2)},
	q{select baton.pause_queue('backlog')},
	q{select baton.resume_queue('backlog')},
	q{select baton.drop_queue('backlog')})
{
	like($stayer->error($verb), qr/^25006: /, "on a standby: $verb");
}
is( $stayer->query(q{select count(*), count(*) filter (where status = 'completed') from baton.message}),
	'3001|100',
	'on a standby: baton.message');
is( $stayer->query(q{select g.status = m.status and g.payload = m.payload from baton.message m, baton.get('backlog', m.id) g limit 1}),
	't',
	'on a standby: baton.get');
is($stayer->query(q{select count(*) from baton.queue_log where action = 'failed'}),
	1, 'on a standby: baton.queue_log');
is($stayer->query(q{select name, depth is null, exact from baton.queue}),
	'backlog|t|f', 'on a standby: baton.queue');
is($stayer->query(q{select count(*) from baton.in_flight}), 0, 'on a standby: baton.in_flight');
like($stayer->query(q{select string_agg(item, ',') from baton.health}),
	qr/./, 'on a standby: baton.health');
# ---- the primary dies under load ----

# The processes whose parent is this one.
sub children_of
{
	my ($parent) = @_;
	my @found;

	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $file, '<', $stat) or next;
		my $line = <$file> // '';
		push(@found, $1) if $line =~ /^(\d+) \(.*\) \S (\d+) /s && $2 == $parent;
	}
	return @found;
}

# All processes at once: first the postmaster is stopped, so that no more are started.  One that was left over could
# wait for ever for a lock of one that was killed.
sub kill_all
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @pids;

	kill('STOP', $postmaster);
	@pids = children_of($postmaster);
	kill('KILL', @pids);
	$node->kill9;
	wait_for_end($_) foreach ($postmaster, @pids);
	return;
}

# Two crashes, and one fail-over between them.
sub fail_over
{
	my ($old, $new, $steps) = @_;
	my $run = BatonLedger->new($old);

	$run->start(2, 3);
	$run->wait_for_steps($steps);
	crash($old);
	$run->wait_for_steps($steps);
	kill_all($old);
	$new->promote;
	$run->move_to($new);
	$run->wait_for_steps($steps);
	crash($new);
	$run->wait_for_steps(500);
	$run->stop_producers;
	$run->drain;
	return $run;
}

my $run = fail_over($primary, $standby, 1500);

# ---- what was unfinished, by a session that was there before the promotion ----

$stayer = session($standby) unless eval { $stayer->query('select 1') };
my %again;
while (1)
{
	my @rows = split(/\n/,
		$stayer->query(
			q{select payload #>> '{}', attempt, baton.complete(receipt) is null from baton.receive('backlog', 500)}
		));

	foreach (@rows)
	{
		my ($payload, $attempt) = split(/\|/);

		fail("$payload came twice") if $again{$payload}++;
		# it had failed on the primary, and maybe the crash there is counted
		like($attempt, qr/^[23]$/, 'the one that had failed') if $payload eq '101';
	}
	last
	  unless $stayer->query(q{call baton.wait('backlog', '1 s')}) eq 't';
}
is(scalar(keys %again), 2901, 'everything unfinished is delivered after the promotion');
like($stayer->error("select baton.complete('$receipt')"),
	qr/^BT001: /, 'a receipt of the old primary is void');
$run->check;
check_memory($standby);
unlike(PostgreSQL::Test::Utils::slurp_file($standby->logfile), qr/PANIC:|TRAP:| leak: /,
	'no PANIC, no leaks');
$standby->stop;

# ---- commits that wait until the standby shows them ----

$primary = new_node('applied', streaming => 1, conf => "synchronous_commit = remote_apply\n");
$standby = new_standby($primary, 'applier', synchronous => 1);
$primary->safe_psql('postgres', q{select baton.create_queue('seen'); select baton.send('seen', '1')});
is($standby->safe_psql('postgres', q{select status from baton.message where queue = 'seen'}),
	'pending', 'remote_apply: a message is on the standby when its commit returns');
$primary->safe_psql('postgres', q{select baton.complete(receipt) from baton.receive('seen')});
is($standby->safe_psql('postgres', q{select status from baton.message where queue = 'seen'}),
	'completed', 'remote_apply: and so is what was done with it');
fail_over($primary, $standby, 500)->check;
check_memory($standby);
unlike(PostgreSQL::Test::Utils::slurp_file($standby->logfile), qr/PANIC:|TRAP:| leak: /,
	'no PANIC, no leaks');
$standby->stop;
done_testing();
