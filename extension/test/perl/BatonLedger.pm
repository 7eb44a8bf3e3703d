# BatonLedger.pm
#	A crash test's clients, and what they have seen.  Producers and consumers
#	(ledger_client.pl) are processes that know nothing of the server but its address, and each writes what
#	it is about to do and what came of it to a file that no crash of the server touches.
#
#	my $run = BatonLedger->new($node);			# queues a and b, table effects
#	BatonLedger->new($node, forgets => 1)		# the log keeps what is finished for 3 seconds (b), or not at all (a)
#	$run->start(2, 4);							# producers, consumers
#	$run->wait_for_steps(100);					# that many lines more in the ledgers
#	$run->move_to($other);						# clients reconnect there from now on
#	$run->stop_producers; $run->drain; $run->check;
#
#	The seed is printed; BATON_TEST_SEED=n repeats the same choices.

package BatonLedger;

use strict;
use warnings FATAL => 'all';

use File::Basename;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use constant LOOK_AGAIN => 10_000;

sub new
{
	my ($class, $node, %opt) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $seed = $ENV{BATON_TEST_SEED} // int(rand(1_000_000));
	my $self = bless { node => $node, dir => $dir, seed => $seed, clients => {}, forgets => $opt{forgets} }, $class;

	note("BATON_TEST_SEED=$seed");
	diag("BATON_TEST_SEED=$seed");
	srand($seed);
	$node->safe_psql('postgres', <<'SQL');
select baton.create_queue(q, max_attempts => 10000, max_crashes => 10000, backoff => '10 ms', backoff_max => '100 ms')
from unnest(array['a', 'b']) q;
create table effects (id bigint, consumer text);
SQL
	$node->safe_psql('postgres', q{select baton.alter_queue('a', retention => '0'), baton.alter_queue('b', retention => '3 s')}) if $opt{forgets};
	$self->move_to($node);
	return $self;
}

sub move_to
{
	my ($self, $node) = @_;

	$self->{node} = $node;
	open(my $file, '>', "$self->{dir}/connect.new") or die $!;
	print $file $node->connstr('postgres') . " connect_timeout=10\n";
	close($file) or die $!;
	rename("$self->{dir}/connect.new", "$self->{dir}/connect") or die $!;
	return;
}

sub start
{
	my ($self, $producers, $consumers) = @_;
	my $script = dirname(__FILE__) . '/ledger_client.pl';

	foreach my $role ((('producer') x $producers), (('consumer') x $consumers))
	{
		my $number = ++$self->{count}{$role};
		my $pid = fork() // die "fork: $!";

		if ($pid == 0)
		{
			exec($^X, $script, $role, $number, $self->{seed}, $self->{dir})
			  or POSIX::_exit(127);
		}
		$self->{clients}{$pid} = $role;
	}
	return;
}

sub steps
{
	my ($self) = @_;
	my $steps = 0;

	foreach my $file (glob("$self->{dir}/*er-*"))
	{
		open(my $in, '<', $file) or die "$file: $!";
		$steps++ while <$in>;
		close($in);
	}
	return $steps;
}

# Waits until the clients have got on by so many lines.
sub wait_for_steps
{
	my ($self, $more) = @_;
	my $wanted = $self->steps + $more;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;

	while ($self->steps < $wanted)
	{
		my @gone = grep { waitpid($_, POSIX::WNOHANG()) != 0 } keys %{ $self->{clients} };

		if (@gone || time() > $end)
		{
			fail(@gone ? 'no client ends early' : 'the clients get on');
			delete @{ $self->{clients} }{@gone};
			return 0;
		}
		usleep(LOOK_AGAIN);    # allowed: between two looks
	}
	return 1;
}

# The psql of a client that runs now.
sub client_psql
{
	my ($self) = @_;
	my @files = glob("$self->{dir}/*er-*");
	my $pid;

	open(my $in, '<', $files[ rand(@files) ]) or die $!;
	while (<$in>)
	{
		$pid = $1 if /^pid (\d+)$/;
	}
	close($in);
	return $pid;
}

sub stop_role
{
	my ($self, $role) = @_;

	open(my $file, '>', "$self->{dir}/stop-$role") or die $!;
	close($file);
	foreach my $pid (grep { $self->{clients}{$_} eq $role } keys %{ $self->{clients} })
	{
		my $end = time() + $PostgreSQL::Test::Utils::timeout_default;

		while (waitpid($pid, POSIX::WNOHANG()) == 0)
		{
			if (time() > $end)
			{
				fail("a $role ends");
				kill('KILL', $pid);
			}
			usleep(LOOK_AGAIN);    # allowed: between two looks
		}
		delete $self->{clients}{$pid};
	}
	return;
}

sub stop_producers
{
	my ($self) = @_;
	return $self->stop_role('producer');
}

# Waits until nothing is left unfinished, and stops the consumers.
sub drain
{
	my ($self) = @_;
	my $unfinished = q{select count(*) from baton.message where queue in ('a', 'b') and status not in ('completed', 'dead')};
	my $ok = BatonTest::wait_until($self->{node}, $unfinished, 0);

	ok($ok, 'everything that was sent is finished');
	diag(
		$self->{node}->safe_psql(
			'postgres',
			q{select * from baton.message where queue in ('a', 'b') and status not in ('completed', 'dead') limit 20;
			select * from baton.in_flight; select * from baton.queue; select * from baton.health}))
	  unless $ok;
	$self->stop_role('consumer');
	return;
}

# Reads all ledgers into $self->{...}.
sub read_ledgers
{
	my ($self) = @_;
	my (%fate, %delivered, %valid, %done, @errors);

	foreach my $file (glob("$self->{dir}/*er-*"))
	{
		my $producer = $file =~ m{/producer-};

		open(my $in, '<', $file) or die "$file: $!";
		while (<$in>)
		{
			chomp;
			my ($what, @rest) = split(/ /);

			if ($what =~ /^(intent|sent|unsent|unknown)$/)
			{
				$fate{$_} = $what foreach @rest;
			}
			elsif ($what eq 'got')
			{
				my ($called, $returned, $id, $receipt, $token) = @rest;

				push @{ $delivered{$id} },
				  {
					called => $called,
					returned => $returned,
					receipt => $receipt,
					token => $token,
					file => $file
				  };
			}
			elsif ($what eq 'valid')
			{
				$valid{ $rest[1] } = $rest[0]
				  if !defined $valid{ $rest[1] } || $valid{ $rest[1] } < $rest[0];
			}
			elsif ($what eq 'done')
			{
				push @{ $done{ $rest[0] } }, $rest[1];
			}
			elsif ($what eq 'error')
			{
				push @errors, basename($file) . ": @rest";
			}
		}
		close($in);
	}
	# one that never got to know: as good as unknown
	s/^intent$/unknown/ foreach values %fate;
	@$self{qw(fate delivered valid done errors)} =
	  (\%fate, \%delivered, \%valid, \%done, \@errors);
	return;
}

# No two receipts of one message were valid at one time: none was handed out (at some moment between
# call and return) while another one was held that later proved to be valid.
sub overlaps
{
	my ($self) = @_;
	my @bad;

	foreach my $id (keys %{ $self->{delivered} })
	{
		my @claims = @{ $self->{delivered}{$id} };
		my %seen;

		foreach my $a (@claims)
		{
			my $until = $self->{valid}{ $a->{receipt} };

			push @bad, "message $id: receipt $a->{receipt} was handed out twice"
			  if $seen{ $a->{receipt} }++;
			next unless defined $until;
			foreach my $b (@claims)
			{
				push @bad,
				  "message $id: $a->{receipt} ($a->{returned} to $until, $a->{file}) and "
				  . "$b->{receipt} ($b->{called} to $b->{returned}, $b->{file})"
				  if $a != $b && $b->{called} > $a->{returned} && $b->{returned} < $until;
			}
		}
	}
	return @bad;
}

sub none
{
	my ($what, @bad) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@bad, $what) or diag(join("\n", scalar(@bad) . ' in all', @bad[ 0 .. ($#bad > 9 ? 9 : $#bad) ]));
	return;
}

# What the ledgers and the database say, compared.
sub check
{
	my ($self) = @_;
	my $node = $self->{node};
	my (%logged, %effects, @lost, @ghosts, @again, @unfinished, @effects, %tokens);

	$self->read_ledgers;
	foreach (split(/\n/, $node->safe_psql('postgres',
		q{select id, payload ->> 'token', status from baton.message where queue in ('a', 'b')})))
	{
		my ($id, $token, $status) = split(/\|/);

		push @ghosts, "$token is in the log twice" if $logged{$token};
		push @unfinished, "$id ($token): $status" if $status ne 'completed';
		$logged{$token} = $id;
	}
	%effects = map { split(/\|/) } split(/\n/,
		$node->safe_psql('postgres', 'select id, count(*) from effects group by id'));

	# what the log has forgotten was delivered, and took effect
	foreach my $id ($self->{forgets} ? keys %{ $self->{delivered} } : ())
	{
		$logged{ $self->{delivered}{$id}[0]{token} } //= $id if $effects{$id};
	}
	foreach my $token (keys %{ $self->{fate} })
	{
		push @lost, $token if $self->{fate}{$token} eq 'sent' && !$logged{$token};
		push @ghosts, "$token is in the log"
		  if $self->{fate}{$token} eq 'unsent' && $logged{$token};
	}
	foreach my $id (keys %{ $self->{delivered} })
	{
		my ($done) = sort { $a <=> $b } @{ $self->{done}{$id} // [] };

		foreach my $claim (@{ $self->{delivered}{$id} })
		{
			push @ghosts, "$id ($claim->{token}) was delivered, and isn't in the log"
			  if ($logged{ $claim->{token} } // 0) != $id;
			push @again, "$id ($claim->{token}): done $done, received $claim->{called}"
			  if defined $done && $claim->{called} > $done;
		}
		push @again, "$id was done twice" if @{ $self->{done}{$id} // [] } > 1;
	}
	foreach my $id (values %logged)
	{
		push @effects, "$id: " . ($effects{$id} // 0) if ($effects{$id} // 0) != 1;
	}

	none('nothing committed is lost', @lost);
	none('all of it is completed', @unfinished);
	none('nothing rolled back was delivered', @ghosts);
	none('nothing came again after it was completed', @again);
	none('no receipt was valid while another one was', $self->overlaps);
	none('effects happened exactly once', @effects);
	none('no client met anything unexpected', @{ $self->{errors} });
	is( $node->safe_psql(
			'postgres', q{select count(*) from (select message_id from baton.event_log
			where action in ('completed', 'dead') group by 1 having count(*) > 1) t}),
		0,
		'one terminal event a message');
	my %kinds;
	$kinds{$_}++ foreach values %{ $self->{fate} };
	my $deliveries = 0;
	$deliveries += @$_ foreach values %{ $self->{delivered} };
	note(join(', ', map { "$kinds{$_} $_" } sort keys %kinds), ", $deliveries deliveries");
	cmp_ok($kinds{sent} // 0, '>', 50, 'enough was sent to mean anything');
	return;
}

sub DESTROY
{
	my ($self) = @_;

	kill('KILL', $_) foreach keys %{ $self->{clients} };
	return;
}

1;
