# A consumer that holds ten messages ends, in every way there is, while another one waits.
#
# Forbids: messages that stay with a holder that is gone, for as long as their lease, or until
# somebody asks, or until a keeper that hangs, or for which there was no worker slot, gets round to it;
# a message that comes twice, or without an event that says what befell it.
# Order of events: receive by one session, wait by another, the end of the first.
#
# G4, G6; findings 12, 13, 25, 26; pitfalls 5, 17.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use constant HELD => 10;
use constant ROUNDS => 20;

my $node = new_node('main');
my $keeper = worker_pid($node, 'baton keeper', 'postgres');

$node->safe_psql('postgres', q{select baton.create_queue('q', max_crashes => 1000)});

sub wait_for_waiter
{
	my ($server, $waiter, $database) = @_;
	return wait_until($server,
		"select wait_event_type = 'Extension' from pg_stat_activity where pid = " . $waiter->pid,
		't', database => $database);
}

# One round: who holds, how it ends, which event that is.  Returns how long the waiter waited.
sub round
{
	my ($server, $database, $end, $action, %opt) = @_;
	my $waiter = $opt{waiter};
	my $holder = session($server, database => $database);
	my $options = $opt{detached} ? ', detached => true' : '';
	my (@got, $started, $took);

	$holder->query(sprintf(q{select count(*) from baton.send_batch('q',
		array(select to_jsonb(n) from generate_series(1, %d) n))}, HELD));
	$holder->query('begin') if $opt{transaction};
	my @ids = split(/\n/,
		$holder->query(sprintf(q{select id from baton.receive('q', %d%s)}, HELD, $options)));
	is(scalar(@ids), HELD, 'the holder has its messages') or return;

	$waiter->start(sprintf(q{call baton.receive_wait('q', %d, '30 s')}, HELD));
	wait_for_waiter($server, $waiter, $database) or return;
	$started = time();
	$end->($holder);
	my $receipts = '';
	while (1)
	{
		my $messages = decode_json($waiter->finish);

		$took //= time() - $started;
		push @got, @$messages;
		last if @got >= HELD || !@$messages;
		$waiter->start(sprintf(q{call baton.receive_wait('q', %d, '30 s')}, HELD));
	}
	is_deeply([ sort { $a <=> $b } map { $_->{id} } @got ],
		\@ids, 'the other one has them, each once')
	  or diag($server->safe_psql($database, 'select * from baton.in_flight'));
	is(join(',', map { $_->{attempt} } @got),
		join(',', ($opt{attempt} // 2) x HELD), 'with the next attempt');
	$waiter->query(q{select count(*) from baton.complete_batch(array['}
		  . join(q{','}, map { $_->{receipt} } @got) . q{'])});
	push @{ $opt{check} },
	  [ $action, $opt{transaction} && !defined $opt{attempt} ? undef : $holder->pid, @ids ]
	  if defined $action;
	$holder->kill unless $opt{gone};
	return $took;
}

# The log tells of each what happened to it, once.
sub check_events
{
	my ($server, $database, @rounds) = @_;
	my $wrong = 0;

	foreach my $round (@rounds)
	{
		my ($action, $pid, @ids) = @$round;
		my $list = join(',', @ids);

		wait_until($server,
			"select count(*) from baton.queue_log where message_id in ($list) and action = '$action'",
			HELD, database => $database)
		  or $wrong++;
		$wrong++
		  if $server->safe_psql($database, qq{
			select count(*) from baton.queue_log where message_id in ($list)
			and (action not in ('$action', 'completed')
				or action = '$action' and (attempt <> 1 or claimed_at is null
					or process_id <> @{[ $pid // 'process_id' ]}))
			}) != 0;
		$wrong++
		  if $server->safe_psql($database,
			"select count(*) from baton.queue_log where message_id in ($list)") != 2 * HELD;
	}
	is($wrong, 0, 'each has its event, once, of its holder');
	return;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return $sorted[ @sorted / 2 ];
}

my %ends = (
	'client killed' => sub { $_[0]->kill },
	'connection closed' => sub { $_[0]->quit },
	'pg_terminate_backend' => sub {
		$node->safe_psql('postgres', 'select pg_terminate_backend(' . $_[0]->pid . ')');
	},
	'DISCARD ALL' => sub { $_[0]->query('discard all') },
	'lease over' => sub { set_clock($node, '6 min') },
);

my $waiter = session($node);
my @check;
foreach my $stopped (0, 1)
{
	kill('STOP', $keeper) if $stopped;
	foreach my $way (sort keys %ends)
	{
		my $rounds = $way eq 'client killed' && !$stopped ? ROUNDS : 3;
		my @took;

		for (1 .. $rounds)
		{
			my $took = round($node, 'postgres', $ends{$way},
				$way eq 'lease over' ? 'lease_expired' : 'vanished',
				waiter => $waiter,
				check => \@check,
				gone => scalar($way =~ /client killed|closed/));
			set_clock($node, '0') if $way eq 'lease over';
			push @took, $took // 60;
		}
		my $what = $way . ($stopped ? ', keeper stopped' : '');
		note(sprintf('%s: median %.1f ms, worst %.1f ms',
			$what, 1000 * median(@took), 1000 * (sort { $a <=> $b } @took)[-1]));
		cmp_ok(median(@took), '<', 0.1, "$what: taken over within 100 ms");
	}
	# an open transaction is its own lease; its session's end is a vanished holder, not a failure
	round($node, 'postgres', $ends{'client killed'}, 'vanished',
		waiter => $waiter, check => \@check, gone => 1, transaction => 1, attempt => 2);
	# a detached claim outlives its session: only its lease ends it
	round(
		$node,
		'postgres',
		sub {
			$_[0]->kill;
			wait_until($node, 'select count(*) from pg_stat_activity where pid = ' . $_[0]->pid, 0);
			is($node->safe_psql('postgres', 'select count(*) from baton.in_flight'),
				HELD, 'a detached claim outlives its session');
			set_clock($node, '6 min');
		},
		'lease_expired',
		waiter => $waiter,
		check => \@check,
		gone => 1,
		detached => 1);
	set_clock($node, '0');

	# what is due comes on time, keeper or not (G6)
	$node->safe_psql('postgres', q{select baton.send('q', '"later"', delay => '300 ms')});
	my $late = $waiter->query(q{call baton.receive_wait('q', 1, '10 s')});
	my ($receipt) = $late =~ /"receipt": "([^"]+)"/;
	my $behind = $waiter->query(q{select extract(epoch from clock_timestamp() - deliver_at)
		from baton.message where status = 'running'});
	cmp_ok($behind, '<', 0.5, 'a delayed message comes on time') or diag($late);
	cmp_ok($behind, '>=', 0, 'and not before it');
	$waiter->query("select baton.complete('$receipt')");
}
kill('CONT', $keeper);
check_events($node, 'postgres', @check);
is(worker_pid($node, 'baton keeper', 'postgres'), $keeper, 'the keeper is the same');
check_memory($node);

# Settled by another session, whose transaction is undone after the holder is gone (finding 13)
{
	my $holder = session($node);
	my $settler = session($node);

	$node->safe_psql('postgres', q{select baton.send('q', '"13"')});
	my ($receipt, $id) =
	  split(/\|/, $holder->query(q{select receipt, id from baton.receive('q')}));
	$settler->query('begin');
	$settler->query("select baton.complete('$receipt')");
	$holder->kill;
	wait_until($node, 'select count(*) from pg_stat_activity where pid = ' . $holder->pid, 0);
	is($node->safe_psql('postgres', q{select count(*) from baton.receive('q')}),
		0, 'a message that is being settled is nobody else\'s');
	$settler->query('rollback');
	is($node->safe_psql('postgres', q{select id, attempt from baton.receive('q')}),
		"$id|2", 'undone: its holder is gone, so it is ready');
	wait_until($node, q{select ready from baton.queue where name = 'q'}, 1);
	$node->safe_psql('postgres', q{select baton.complete(receipt) from baton.receive('q')});
}

# The claim's own transaction is still open, and another session settles (finding 13)
foreach my $options ('', ', detached => true')
{
	my $holder = session($node);
	my $settler = session($node);

	$node->safe_psql('postgres', q{select baton.send('q', '"open"')});
	$holder->query('begin');
	my ($receipt, $id) =
	  split(/\|/, $holder->query("select receipt, id from baton.receive('q'$options)"));
	$settler->query('begin');
	$settler->query("select baton.complete('$receipt')");
	$holder->query('commit');
	$settler->query('rollback');
	isnt($node->safe_psql('postgres', "select lease_until from baton.in_flight where message_id = $id"),
		'', "a claim settled by another one before it was committed has a lease$options");
	set_clock($node, '6 min');
	is( $node->safe_psql('postgres',
			q{select id from (select id, baton.complete(receipt) from baton.receive('q')) t}),
		$id, 'which ends');
	set_clock($node, '0');
}
check_memory($node);
$waiter->quit;
$node->stop;

# ----------------------------------------------------------------
#		No worker slot for a keeper: the launcher serves the databases in turn
# ----------------------------------------------------------------

# one for the server's own logical replication launcher, one for baton's
my $poor = new_node('poor', conf => "max_worker_processes = 2\n");
$poor->safe_psql('postgres', 'create database other');
add_baton($poor, 'other');
foreach my $database ('postgres', 'other')
{
	$poor->safe_psql($database, q{select baton.create_queue('q', max_crashes => 1000);
		select baton.send('q', '"before"')});
}
$poor->restart;
foreach my $database ('postgres', 'other')
{
	ok( wait_until($poor, q{select ready from baton.queue where name = 'q'}, 1,
			database => $database),
		"$database: loaded by the launcher");
}
like(
	PostgreSQL::Test::Utils::slurp_file($poor->logfile),
	qr/no free worker slot for a baton keeper.*Raise max_worker_processes/s,
	'the log says which setting to raise');
foreach my $database ('postgres', 'other')
{
	my $other = session($poor, database => $database);
	my @took;
	my @poor_check;

	$other->query(q{select baton.complete(receipt) from baton.receive('q')});
	for (1 .. 5)
	{
		push @took,
		  round($poor, $database, $ends{'client killed'}, 'vanished',
			waiter => $other, check => \@poor_check, gone => 1) // 60;
	}
	cmp_ok(median(@took), '<', 0.1, "$database: taken over within 100 ms without a keeper");
	check_events($poor, $database, @poor_check);
	$other->quit;
	check_memory($poor, database => $database);
}
$poor->stop;
done_testing();
