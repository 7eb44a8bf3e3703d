# BatonTest.pm
#	What TAP tests of Baton share: servers with the extension, sessions that can be
#	left waiting, and test points.
#
#	use BatonTest;
#	use Test::More;
#
#	my $node = new_node('main', conf => "baton.window_size = 1024\n");
#	my $consumer = session($node);
#	$consumer->start(q{call baton.wait('q')});         # doesn't wait for the end
#	wait_until($node, q{select count(*) from pg_stat_activity where wait_event = 'Extension'}, 1);
#	$node->safe_psql('postgres', q{select baton.send('q', '1')});
#	is($consumer->finish, 't', 'the consumer was woken');
#	check_memory($node);
#
# Nothing sleeps for a fixed time: a test waits for what it wants to see.

package BatonTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(new_node new_standby add_baton session
  ask wait_until wait_for_end kill9 crash worker_pid
  hold hold_one release fail_at clear_points wait_held set_clock check_memory);

# How long to look before looking again, in microseconds.
use constant LOOK_AGAIN => 20_000;

# ----------------------------------------------------------------
#		Servers
# ----------------------------------------------------------------

# A started server with the extension, and baton_test where this is a test build, in
# the database postgres.  Options:
#	conf => text		more settings
#	streaming => 1		can have standbys
#	archiving => 1		keeps its WAL, for has_restoring of init_from_backup
#	extension => 0		preloaded, but not installed
#	start => 0			not started (and so without the extension)
sub new_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(
		allows_streaming => $opt{streaming} ? 1 : 0,
		has_archiving => $opt{archiving} ? 1 : 0,
		extra => [ '--no-locale', '--encoding=UTF8' ]);
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'baton'
restart_after_crash = on
max_connections = 60
shared_buffers = 32MB
max_worker_processes = 12
log_statement = none
@{[ $opt{conf} // '' ]}
CONF
	return $node if exists $opt{start} && !$opt{start};
	$node->start;
	add_baton($node) unless exists $opt{extension} && !$opt{extension};
	return $node;
}

# A started standby of a server that was made with streaming => 1; with
# synchronous => 1 the primary waits for it at each commit.
sub new_standby
{
	my ($primary, $name, %opt) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$primary->backup("for_$name");
	$standby->init_from_backup($primary, "for_$name", has_streaming => 1);
	$standby->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	$standby->start;
	if ($opt{synchronous})
	{
		$primary->safe_psql('postgres',
			"alter system set synchronous_standby_names = '\"$name\"'");
		$primary->reload;
		wait_until($primary,
			"select sync_state from pg_stat_replication where application_name = '$name'",
			'sync');
	}
	return $standby;
}

# Creates the extension, and the test functions where there are any, in a database.
sub add_baton
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres', <<'SQL');
create extension baton;
select format('create extension %I', name) from pg_available_extensions where name = 'baton_test' \gexec
SQL
	return;
}

# The answer and, in list context, psql's complaints; undef where there is none, as from a server that is just restarting:
# psql may be gone before it has been told the question.
#	database => name
sub ask
{
	my ($node, $sql, %opt) = @_;
	my ($out, $err) = ('', '');
	my $code = eval { $node->psql($opt{database} // 'postgres', $sql, stdout => \$out, stderr => \$err, on_error_die => 0) };
	my $answer = defined $code && $code == 0 ? $out : undef;

	return wantarray ? ($answer, $err) : $answer;
}

# Asks until the answer is the one expected; how often is nobody's business.  No answer is not the one expected.
#	database => name, timeout => seconds
sub wait_until
{
	my ($node, $sql, $expected, %opt) = @_;
	my $end = time() + ($opt{timeout} // $PostgreSQL::Test::Utils::timeout_default);
	my ($out, $err);

	$expected //= 't';
	while (1)
	{
		($out, $err) = ask($node, $sql, %opt);
		return 1 if defined $out && $out eq $expected;
		last if time() > $end;
		usleep(LOOK_AGAIN);    # allowed: between two looks
	}
	diag("waited in vain for \"$expected\" from: $sql\nlast answer: " . ($out // 'none') . "\n$err");
	return 0;
}

# Waits until the process with this id is no more.
sub wait_for_end
{
	my ($pid) = @_;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (kill(0, $pid))
	{
		if (time() > $end)
		{
			diag("process $pid is still there");
			return 0;
		}
		usleep(LOOK_AGAIN);    # allowed: between two looks
	}
	return 1;
}

# SIGKILL to a process of the server, and returns when it is gone.
sub kill9
{
	my ($pid) = @_;

	CORE::kill('KILL', $pid);
	return wait_for_end($pid);
}

# Takes the server's processes down by killing one, and returns when they are up again.
sub crash
{
	my ($node) = @_;
	my $victim = session($node);
	my $before = $node->safe_psql('postgres', q{
		select pid from pg_stat_activity where backend_type = 'checkpointer'});

	kill9($victim->pid);
	$victim->kill;
	return wait_until($node,
		"select count(*) from pg_stat_activity where backend_type = 'checkpointer' and pid <> $before",
		1);
}

# The id of a background worker, waiting until there is one: its type as
# pg_stat_activity has it, and its database where it has one.
sub worker_pid
{
	my ($node, $type, $database) = @_;
	my $where = "from pg_stat_activity where backend_type = '$type'"
	  . (defined $database ? " and datname = '$database'" : '');

	wait_until($node, "select count(*) $where", 1) or return;
	return $node->safe_psql('postgres', "select pid $where");
}

# ----------------------------------------------------------------
#		Test points (test builds only)
# ----------------------------------------------------------------

# From now on, who comes to the point waits there.
sub hold
{
	my ($node, $point, %opt) = @_;
	return call($node, 'hold', $point, %opt);
}

# The next who comes to the point waits there; others pass.
sub hold_one
{
	my ($node, $point, %opt) = @_;
	return call($node, 'hold_one', $point, %opt);
}

# Lets go who waits there, and those who come later.
sub release
{
	my ($node, $point, %opt) = @_;
	return call($node, 'release', $point, %opt);
}

# The next who comes to the point gets an error.
sub fail_at
{
	my ($node, $point, %opt) = @_;
	return call($node, 'fail', $point, %opt);
}

# Back to a server without held points and with the real time.
sub clear_points
{
	my ($node, %opt) = @_;
	return $node->safe_psql($opt{database} // 'postgres', 'select baton_test.clear()');
}

# Waits until somebody waits at the point.
sub wait_held
{
	my ($node, $point, %opt) = @_;
	return wait_until($node, "select baton_test.held('$point')", 't', %opt);
}

# Moves the server's clock away from the real time, by an interval.
sub set_clock
{
	my ($node, $interval, %opt) = @_;
	return call($node, 'set_clock', $interval, %opt);
}

# All invariants of shared memory hold: a test of its own, for the end of every script.
sub check_memory
{
	my ($node, %opt) = @_;
	my ($code, $out, $err) =
	  $node->psql($opt{database} // 'postgres', 'select baton_test.check_memory()');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($code == 0, 'shared memory is sound') || diag($err);
}

sub call
{
	my ($node, $function, $argument, %opt) = @_;
	return $node->safe_psql($opt{database} // 'postgres',
		"select baton_test.$function('$argument')");
}

# ----------------------------------------------------------------
#		Sessions
# ----------------------------------------------------------------

# A psql that stays.  Options: database => name, app => application_name.
#	$session->query($sql)	the answer; dies where there is an error
#	$session->error($sql)	the error, as `SQLSTATE: message`; '' where there is none
#	$session->start($sql)	sends it and returns at once
#	$session->finish		waits for the end of what was started; as query
#	$session->finish_error	the same, as error
#	$session->running		whether what was started still runs
#	$session->pid			of the server's process
#	$session->kill			SIGKILL to psql: the server sees a lost connection
#	$session->quit			a clean end
sub session
{
	my ($node, %opt) = @_;
	return BatonTest::Session->new($node, %opt);
}

package BatonTest::Session;

use strict;
use warnings FATAL => 'all';

use Carp;

sub new
{
	my ($class, $node, %opt) = @_;
	my $psql =
	  $node->background_psql($opt{database} // 'postgres', on_error_stop => 0);
	my $self = bless { psql => $psql, count => 0 }, $class;

	$self->query("set application_name = '$opt{app}'") if $opt{app};
	$self->query('\set VERBOSITY verbose');
	$self->{pid} = $self->query('select pg_backend_pid()');
	return $self;
}

sub pid
{
	my ($self) = @_;
	return $self->{pid};
}

sub start
{
	my ($self, $sql) = @_;
	my $psql = $self->{psql};

	croak 'something was started and not finished' if defined $self->{mark};
	$self->{mark} = 'BATON-END-' . ++$self->{count};
	$sql .= ';' unless $sql =~ /;\s*\z/ || $sql =~ /\A\s*\\/;
	$psql->{timeout}->start;
	$psql->{stdin} .= "$sql\n\\echo '$self->{mark}'\n\\warn '$self->{mark}'\n";
	$psql->{run}->pump_nb;
	return $self;
}

sub ended
{
	my ($self) = @_;
	my $mark = qr/^$self->{mark}$/m;
	return $self->{psql}{stdout} =~ $mark && $self->{psql}{stderr} =~ $mark;
}

sub running
{
	my ($self) = @_;

	return 0 unless defined $self->{mark};
	$self->{psql}{run}->pump_nb;
	return !$self->ended;
}

# Returns (answer, error), both without the marks.
sub both
{
	my ($self) = @_;
	my $psql = $self->{psql};
	my ($out, $err);

	croak 'nothing was started' unless defined $self->{mark};
	$psql->{run}->pump until $self->ended;
	($out, $err) = ($psql->{stdout}, $psql->{stderr});
	s/^$self->{mark}\n//m foreach ($out, $err);
	chomp($out);
	($psql->{stdout}, $psql->{stderr}) = ('', '');
	delete $self->{mark};
	return ($out, $err);
}

sub finish
{
	my ($self) = @_;
	my ($out, $err) = $self->both;

	croak $err if $err =~ /(ERROR|FATAL|PANIC):/;
	return $out;
}

sub finish_error
{
	my ($self) = @_;
	my ($out, $err) = $self->both;

	return $err =~ /(?:ERROR|FATAL|PANIC): +([0-9A-Z]{5}: .*)/ ? $1 : '';
}

sub query
{
	my ($self, $sql) = @_;
	return $self->start($sql)->finish;
}

sub error
{
	my ($self, $sql) = @_;
	return $self->start($sql)->finish_error;
}

sub kill
{
	my ($self) = @_;
	my $run = $self->{psql}{run};

	$run->signal('KILL');
	eval { $run->finish };
	return;
}

sub quit
{
	my ($self) = @_;
	return $self->{psql}->quit;
}

1;
