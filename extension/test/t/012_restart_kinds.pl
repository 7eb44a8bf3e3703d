# Messages in every state there is, then a restart: clean, immediate, and by a crash.
#
# Forbids: a message that is in another state afterwards than before, comes before its time or with
# its counts lost, comes again though it was finished, or overtakes another one of its key that
# has failed; a server that answers nothing, or an error, until everything is loaded.
#
# Pitfall 10; findings 20, 22, 35.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main');

my $facts = q{select payload #>> '{}', status, attempt, failures, crashes, deliver_at, expires_at,
	priority, key, result, error from baton.message where queue = '%s' order by id};

# One message of each kind, by its payload.  Returns the sessions that hold some.
sub set_up
{
	my ($queue) = @_;
	my $worker = session($node);
	my $holder = session($node);
	my $take = sub {
		my ($payload, $what) = @_;

		$node->safe_psql('postgres', "select baton.send('$queue', '\"$payload\"')");
		$worker->query("do \$\$
			declare r record;
			begin
				select * into strict r from baton.receive('$queue');
				$what
			end \$\$");
	};

	$node->safe_psql('postgres', "select baton.create_queue('$queue')");
	$take->('completed', q{perform baton.complete(r.receipt, '{"n": 1}');});
	$take->('dead', q{perform baton.fail(r.receipt, 'broken', retry => false);});
	$take->('failed', q{perform baton.fail(r.receipt, 'not yet', retry_in => '1 hour');});
	$take->('released', q{perform baton.release(r.receipt, delay => '1 hour');});
	$node->safe_psql('postgres', qq{
		select baton.send('$queue', '"key 1"', key => 'k');
		select baton.send('$queue', '"key 2"', key => 'k', priority => 5)});
	$worker->query("select baton.fail(receipt, 'hold on', retry_in => '1 hour')
		from baton.receive('$queue') where payload = '\"key 2\"'");
	$node->safe_psql('postgres', qq{
		select baton.send('$queue', '"held"', priority => 9);
		select baton.send('$queue', '"detached"', priority => 9)});
	$holder->query("select baton.extend(receipt, '1 hour') from baton.receive('$queue')");
	$holder->query("select * from baton.receive('$queue', detached => true)");
	$node->safe_psql('postgres', qq{
		select baton.send('$queue', '"low"', priority => 1);
		select baton.send('$queue', '"high"', priority => 7);
		select baton.send('$queue', '"first"');
		select baton.send('$queue', '"second"');
		select baton.send('$queue', '"scheduled"', delay => '1 hour');
		select baton.send('$queue', '"far away"', delay => '10 days');
		select baton.send('$queue', '"expired"', expires_in => '1 ms');
		begin; select baton.send('$queue', '"never"'); rollback});
	wait_until($node, "select status from baton.message where queue = '$queue' and payload = '\"expired\"'",
		'expired');
	is($node->safe_psql('postgres', "select count(*) from baton.in_flight where queue = '$queue'"),
		2, 'two are held');
	return ($worker, $holder);
}

# All of a queue that may be received now, completed in turn: their payloads and attempts.
sub take_all
{
	my ($session, $queue) = @_;
	my @got;

	while (my $got = $session->query(
			"select payload #>> '{}', attempt, receipt from baton.receive('$queue')"))
	{
		my ($payload, $attempt, $receipt) = split(/\|/, $got);

		push @got, "$payload $attempt";
		$session->query("select baton.complete('$receipt')");
	}
	return join(', ', @got);
}

my %restarts = (
	'clean' => sub { $node->restart },
	'immediate' => sub { $node->stop('immediate'); $node->start },
	'crash' => sub { crash($node) });

foreach my $kind (sort keys %restarts)
{
	my $queue = "q_$kind";
	my @sessions = set_up($queue);
	my $before = $node->safe_psql('postgres', sprintf($facts, $queue));

	$restarts{$kind}->();
	$_->kill foreach @sessions;

	my $session = session($node);
	wait_until($node, "select ready from baton.queue where name = '$queue'", 7);
	my $after = $node->safe_psql('postgres', sprintf($facts, $queue));

	# who was held is pending, maybe with its crash counted; nothing else has changed
	s/^(held|detached)\|.*$/$1/mg foreach ($before, $after);
	is($after, $before, "$kind: all as before");
	my $got = take_all($session, $queue);
	my $held = $kind eq 'crash' ? '[12]' : '\d';
	like(
		$got,
		qr/^held $held, detached $held, high 1, low 1, first 1, second 1$/,
		"$kind: what is ready, in order, and nothing else");
	set_clock($node, '2 hours');
	wait_until($node, "select ready from baton.queue where name = '$queue'", '4');
	like(take_all($session, $queue), qr/^key 2 2, failed 2, released 1, key 1 1, scheduled 1$/,
		"$kind: what was delayed, and who waited for a key that was busy");
	set_clock($node, '11 days');
	wait_until($node, "select ready from baton.queue where name = '$queue'", '1');
	is(take_all($session, $queue), 'far away 1', "$kind: what was parked");
	is( $node->safe_psql('postgres', "select string_agg(distinct status, ',') from baton.message where queue = '$queue'"),
		'completed,dead,expired',
		"$kind: all are finished");
	set_clock($node, '0');
	$session->quit;
	check_memory($node);
}

# ----------------------------------------------------------------
#		It serves while it loads
# ----------------------------------------------------------------

$node->safe_psql('postgres', q{
	select baton.create_queue(q) from unnest(array['deep', 'active']) q;
	select count(*) from baton.send_batch('deep', array(select to_jsonb(n) from generate_series(1, 20000) n));
	select baton.send('active', '"waiting since before"')});
hold($node, 'load-cursor-moved');
crash($node);
ok(wait_held($node, 'load-cursor-moved'), 'the keeper is loading');
my $consumer = session($node);
my $producer = session($node);
my $id = $producer->query(q{select baton.send('active', '"sent meanwhile"')});
like($id, qr/^\d+$/, 'send works while it loads');
is($consumer->query(q{select count(*) from baton.receive('active')}),
	0, 'receive has nothing yet, and no error');
is($consumer->query("select payload from baton.get('active', $id)"),
	'"sent meanwhile"', 'get works while it loads');
is($consumer->query(q{select exact, depth is null from baton.queue where name = 'active'}),
	'f|t', 'the view says that it doesn\'t know all yet');
is($consumer->query(q{select count(*) from baton.message where queue = 'deep' and status = 'pending'}),
	20000, 'the log is readable');
$consumer->start(q{call baton.receive_wait('active', 1, '30 s')});
wait_until($node, 'select wait_event_type from pg_stat_activity where pid = ' . $consumer->pid, 'Extension');
release($node, 'load-cursor-moved');
like($consumer->finish, qr/waiting since before/, 'who waited is served, oldest first');
like($consumer->query(q{call baton.receive_wait('active', 1, '30 s')}), qr/sent meanwhile/,
	'then what came while it was loading');
$consumer->query('select baton.release_held()');

my $taken = 0;
while ($taken < 20000)
{
	my $got = $consumer->query(q{call baton.receive_wait('deep', 10000, '5 s')});
	my $more = () = $got =~ /"receipt"/g;

	last unless $more;
	$taken += $more;
}
is($taken, 20000, 'a deep queue comes to its end');
check_memory($node);
$node->stop;
done_testing();
