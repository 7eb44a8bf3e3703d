# ledger_client.pl ROLE NUMBER SEED DIRECTORY
#	One producer or consumer of a crash test: a process of its own, with psql as its
#	connection.  BatonLedger.pm starts it and reads what it wrote.
#
#	It appends to DIRECTORY/ROLE-NUMBER a line before each step and after, by one write each, which
#	outlives anything that happens to the server.  It connects by DIRECTORY/connect, again and
#	again, and ends when DIRECTORY/stop-ROLE exists.
#
#	Lines, all with times from one monotonic clock:
#	intent TOKEN...			about to send these, in one transaction
#	sent TOKEN...			committed
#	unsent TOKEN...			rolled back, or never committed: must never be delivered
#	unknown TOKEN...		the connection was lost in the commit
#	got CALLED RETURNED ID RECEIPT TOKEN ATTEMPT
#	valid CALLED RECEIPT	a statement that needs a valid claim went through
#	try ID					about to commit a completion
#	done ID RETURNED		it is committed
#	error TEXT				what must not happen

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IPC::Open3;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC usleep);

my ($role, $number, $seed, $dir) = @ARGV;

# Longer than anything may take, crash recovery and promotion included.
use constant PATIENCE => 60;

srand($seed * 100 + $number + ($role eq 'producer' ? 0 : 50));
local $SIG{PIPE} = 'IGNORE';
open(my $ledger, '>>', "$dir/$role-$number") or die "$dir/$role-$number: $!";

sub now
{
	return sprintf('%.6f', clock_gettime(CLOCK_MONOTONIC));
}

sub note
{
	my $line = join(' ', @_) . "\n";

	syswrite($ledger, $line) == length($line) or die "ledger: $!";
	return;
}

sub over
{
	return -e "$dir/stop-$role";
}

sub chance
{
	my ($percent) = @_;
	return rand(100) < $percent;
}

# ----------------------------------------------------------------
#		The connection
# ----------------------------------------------------------------

my ($pid, $to, $from);
my $statements = 0;
my $rest = '';

sub disconnect
{
	return unless $pid;
	kill('KILL', $pid) if $_[0];
	close($to);
	waitpid($pid, 0);
	close($from);
	undef $pid;
	return;
}

sub connect_once
{
	open(my $file, '<', "$dir/connect") or die "$dir/connect: $!";
	chomp(my $conninfo = <$file>);
	close($file);

	$pid = open3($to, $from, undef, 'psql', '-XAtq', '-F', '|', '-v', 'VERBOSITY=sqlstate',
		'-d', $conninfo);
	$rest = '';
	note('pid', $pid);
	my ($state) = ask('select 1');
	return $state eq 'ok';
}

sub reconnect
{
	my $end = now() + PATIENCE;

	disconnect(@_);
	until (connect_once())
	{
		disconnect();
		exit 0 if over();
		if (now() > $end)
		{
			note('error', 'no connection for', PATIENCE, 'seconds');
			exit 1;
		}
		usleep(20_000);    # allowed: between two tries
	}
	return;
}

# Returns ('ok', rows), (SQLSTATE) or ('lost').
sub ask
{
	my ($sql) = @_;
	my $mark = 'END-' . ++$statements;
	my $text = "$sql;\n\\echo $mark\n";
	my $select = IO::Select->new($from);

	return 'lost' unless $pid && defined syswrite($to, $text);
	until ($rest =~ /^$mark\n/m)
	{
		if (!$select->can_read(PATIENCE))
		{
			note('error', 'no answer for', PATIENCE, "seconds to: $sql");
			return 'lost';
		}
		sysread($from, $rest, 65536, length($rest)) or return 'lost';
	}
	$rest =~ s/\A(.*?)^$mark\n//ms;
	my @lines = split(/\n/, $1);

	# psql may go on for a statement or two before it notices
	return 'lost'
	  if grep { /^(?:psql:.*?)?(?:server closed the connection|FATAL|PANIC|WARNING:\s+57P0|.*no connection to)/ }
	  @lines;
	foreach (@lines)
	{
		return $2 if /^(psql:.*?)?ERROR:\s+([0-9A-Z]{5})/;
	}
	return ('ok', grep { !/^(?:psql:.*)?(WARNING|NOTICE|LOG|DETAIL|HINT)/ } @lines);
}

# ----------------------------------------------------------------
#		Producers
# ----------------------------------------------------------------

my $tokens = 0;

sub token
{
	return "$number-" . ++$tokens;
}

sub queue_name
{
	return chance(50) ? 'a' : 'b';
}

sub send_sql
{
	my ($token) = @_;
	my $sql = sprintf(q{select baton.send('%s', '{"token": "%s"}', priority => %d},
		queue_name(), $token, chance(20) ? int(rand(3)) : 0);

	$sql .= sprintf(q{, key => 'k%d'}, rand(20)) if chance(15);
	$sql .= sprintf(q{, delay => '%d ms'}, rand(300)) if chance(15);
	return "$sql)";
}

sub batch_sql
{
	my (@tokens) = @_;
	return sprintf('select baton.send_batch(\'%s\', array[%s])',
		queue_name(), join(', ', map { qq['{"token": "$_"}'::jsonb] } @tokens));
}

# One statement that commits by itself.
sub produce_alone
{
	my ($sql, @sent) = @_;
	my $state;

	note('intent', @sent);
	($state) = ask($sql);
	note($state eq 'ok' ? 'sent' : $state eq 'lost' ? 'unknown' : 'unsent', @sent);
	return $state;
}

# A transaction, with a savepoint that may be rolled back; or all of it is.
sub produce_transaction
{
	my (@kept, @dropped, @sql);
	my $rollback = chance(25);
	my $state = 'ok';

	push @sql, 'begin';
	for (0 .. rand(3))
	{
		my $token = token();

		if (chance(30))
		{
			push @dropped, $token;
			push @sql, 'savepoint s', send_sql($token),
			  chance(50) ? 'rollback to s' : ('rollback to s', 'release s');
		}
		else
		{
			push @kept, $token;
			push @sql, send_sql($token);
		}
	}
	note('intent', @kept, @dropped);
	foreach (@sql)
	{
		($state) = ask($_);
		last if $state ne 'ok';
	}
	note('unsent', @dropped) if @dropped;
	if ($state ne 'ok' || $rollback)
	{
		note('unsent', @kept) if @kept;
		ask('rollback') if $state ne 'lost';
		return $state;
	}
	($state) = ask('commit');
	note($state eq 'ok' ? 'sent' : 'unknown', @kept) if @kept;
	return $state;
}

sub produce
{
	my $kind = rand(100);
	my $state;

	if ($kind < 50)
	{
		my $token = token();
		$state = produce_alone(send_sql($token), $token);
	}
	elsif ($kind < 65)
	{
		my @batch = map { token() } 0 .. rand(15);
		$state = produce_alone(batch_sql(@batch), @batch);
	}
	else
	{
		$state = produce_transaction();
	}
	reconnect() if $state eq 'lost';
	return;
}

# ----------------------------------------------------------------
#		Consumers
# ----------------------------------------------------------------

# Receipts that this client once had, most of them void by now.
my @old;

# Notes what a statement that receives returned; returns messages as [receipt, id].
sub received
{
	my ($called, @rows) = @_;
	my $returned = now();
	my @got;

	foreach (@rows)
	{
		my ($receipt, $id, $token, $attempt) = split(/\|/, $_);

		next unless defined $attempt;
		note('got', $called, $returned, $id, $receipt, $token, $attempt);
		push @got, [ $receipt, $id ];
	}
	push @old, @got;
	splice(@old, 0, @old - 20) if @old > 20;
	return @got;
}

my $columns = q{receipt, id, payload ->> 'token', attempt};

sub receive
{
	my ($options) = @_;
	my $max = chance(60) ? 1 : 1 + int(rand(8));
	my $called = now();
	my ($state, @rows) =
	  ask(sprintf(q{select %s from baton.receive('%s', %d%s)}, $columns, queue_name(), $max,
		$options // ''));

	return ($state, received($called, @rows));
}

# As receive; waits a little for something to come.
sub receive_wait
{
	my $called = now();
	my ($state, @rows) = ask(
		sprintf(q{call baton.receive_wait('%s', 2, '200 ms')}, queue_name()));
	my @messages;

	return $state if $state ne 'ok';
	push @messages, "$4|$1|$3|$2"    # jsonb puts its keys in this order
	  while $rows[0] =~
	  /"id": (\d+),.*?"attempt": (\d+).*?"token": "([^"]+)".*?"receipt": "([^"]+)"/g;
	return ('ok', received($called, @messages));
}

# A statement that needs the claims of these receipts.
sub settle
{
	my ($sql, @messages) = @_;
	my $called = now();
	my ($state, @rows) = ask($sql);

	if ($state eq 'ok')
	{
		note('valid', $called, $_->[0]) foreach @messages;
	}
	return ($state, @rows);
}

sub commit_completed
{
	my (@messages) = @_;
	my ($state, $returned);

	note('try', $_->[1]) foreach @messages;
	($state) = ask('commit');
	$returned = now();
	if ($state eq 'ok')
	{
		note('done', $_->[1], $returned) foreach @messages;
	}
	return $state;
}

sub effects_sql
{
	return 'insert into effects values ' . join(', ', map { "($_->[1], '$number')" } @_);
}

sub receipts_sql
{
	return 'array[' . join(', ', map { "'$_->[0]'" } @_) . ']::text[]';
}

# In an open transaction: work for the messages, and complete them.
sub work_and_complete
{
	my (@messages) = @_;
	my ($state) = ask(effects_sql(@messages));

	return $state if $state ne 'ok';
	if (@messages > 1)
	{
		($state) =
		  settle('select count(*) from baton.complete_batch(' . receipts_sql(@messages) . ')',
			@messages);
	}
	else
	{
		($state) = settle("select baton.complete('$messages[0][0]', '{}')", @messages);
	}
	return $state;
}

# Claims that were committed: settles them in a transaction of its own.
sub finish_claims
{
	my (@messages) = @_;
	my $kind = rand(100);
	my $state;

	return 'ok' unless @messages;
	if ($kind < 12)
	{
		($state) = settle(
			"select * from baton.fail('$messages[0][0]', 'x', retry_in => '20 ms')",
			$messages[0]);
		shift @messages;
		return ($state eq 'ok' && @messages) ? finish_claims(@messages) : $state;
	}
	if ($kind < 22)
	{
		($state) = settle(
			'select count(*) from baton.release_batch(' . receipts_sql(@messages) . ')',
			@messages);
		return $state;
	}
	if ($kind < 32)
	{
		($state) =
		  settle("select baton.extend('$messages[0][0]', '3 s')", $messages[0]);
		return $state if $state ne 'ok';
	}
	($state) = ask('begin');
	$state = work_and_complete(@messages) if $state eq 'ok';
	if ($state eq 'ok' && chance(10))
	{
		($state) = ask('rollback');
		return $state eq 'ok' ? finish_claims(@messages) : $state;
	}
	return commit_completed(@messages) if $state eq 'ok';
	ask('rollback') if $state ne 'lost';
	return $state;
}

# receive, work and complete in one transaction.
sub consume_in_transaction
{
	my ($state, @messages) = ask('begin');

	($state, @messages) = receive() if $state eq 'ok';
	if ($state eq 'ok' && @messages)
	{
		$state = work_and_complete(@messages);
		($state) = ask('select 1/0') if $state eq 'ok' && chance(8);
		return commit_completed(@messages) if $state eq 'ok' && !chance(10);
	}
	ask('rollback') if $state ne 'lost';
	return $state;
}

sub consume_detached
{
	my ($state, @messages) = receive(q{, lease => '2 s', detached => true});

	return $state if $state ne 'ok' || !@messages;
	reconnect(chance(50)) if chance(25);
	return finish_claims(@messages);
}

# The loop of a worker: each step completes what the last one took.
sub consume_loop
{
	my ($state, @messages) = receive();

	for (1 .. 5)
	{
		my (@rows, $called, @next);

		return $state if $state ne 'ok' || !@messages;
		($state) = ask('begin');
		($state) = ask(effects_sql(@messages)) if $state eq 'ok';
		$called = now();
		($state, @rows) = settle(
			sprintf(
				q{select %s from baton.complete_and_receive(%s, null, '%s', %d)},
				$columns, receipts_sql(@messages), queue_name(), 1 + rand(4)),
			@messages) if $state eq 'ok';
		@next = received($called, @rows) if $state eq 'ok';
		$state = commit_completed(@messages) if $state eq 'ok';
		if ($state ne 'ok')
		{
			ask('rollback') if $state ne 'lost';
			return $state;
		}
		@messages = @next;
	}
	return finish_claims(@messages);
}

# One that has long lost its claim, or not, comes back.
sub consume_by_old_receipt
{
	my $message = $old[ rand(@old) ] // return 'ok';
	my ($state) = ask('begin');

	$state = work_and_complete($message) if $state eq 'ok';
	return commit_completed($message) if $state eq 'ok';
	ask('rollback') if $state ne 'lost';
	return $state eq 'BT001' ? 'ok' : $state;
}

sub consume
{
	my $kind = rand(100);
	my ($state, @messages);

	if ($kind < 5)
	{
		$state = consume_by_old_receipt();
	}
	elsif ($kind < 35)
	{
		$state = consume_in_transaction();
	}
	elsif ($kind < 55)
	{
		($state, @messages) = receive();
		$state = finish_claims(@messages) if $state eq 'ok';
	}
	elsif ($kind < 65)
	{
		($state, @messages) = receive_wait();
		$state = finish_claims(@messages) if $state eq 'ok';
	}
	elsif ($kind < 75)
	{
		$state = consume_detached();
	}
	elsif ($kind < 97)
	{
		$state = consume_loop();
	}
	else
	{
		($state, @messages) = receive();    # and goes away with them
		$state = 'lost';
	}
	note('error', "SQLSTATE $state")
	  if $state !~ /^(ok|lost|BT001|55006|22012|25006|57P0[123]|57014|08...)$/;
	if ($state eq 'lost')
	{
		reconnect(1);
	}
	elsif ($state ne 'ok')
	{
		# what this session still holds is for others
		($state) = ask('select baton.release_held()');
		reconnect(1) if $state eq 'lost';
	}
	return;
}

# ----------------------------------------------------------------

reconnect();
while (!over())
{
	$role eq 'producer' ? produce() : consume();
}
disconnect();
