# BatonProgram.pm
#	Helpers of the program's tests: a server, the program run to its end or in the
#	background, and waiting for what is to come.  Every wait has a bound.

package BatonProgram;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(baton_node baton baton_in start_baton stop_baton wait_until wait_sql
  alive slurp signal_baton $program $patience);

# The program says who it is by itself.
delete $ENV{PGAPPNAME};

our $program  = $ENV{BATON} || 'baton';
our $patience = 60;

my %running;	# what start_baton started, by process id

# A server with the extension; the program finds it by the environment.
sub baton_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'baton'\n" . ($conf || ''));
	$node->start;
	$node->safe_psql('postgres', 'create extension baton');
	$ENV{PGHOST}     = $node->host;
	$ENV{PGPORT}     = $node->port;
	$ENV{PGDATABASE} = 'postgres';
	return $node;
}

# Runs the program to its end: (exit code, standard output, standard error).
sub baton { return baton_in('', @_); }

# The same, with something on standard input.
sub baton_in
{
	my ($input, @arguments) = @_;
	my ($out, $err) = ('', '');
	my $run = start([ $program, @arguments ], '<', \$input, '>', \$out, '2>', \$err,
		timeout($patience));

	finish($run);
	return (($? & 127) ? 128 + ($? & 127) : $? >> 8, $out, $err);
}

# Starts the program; the handle has what it writes in {out} and {err}.
sub start_baton
{
	my @arguments = @_;
	my $self = { in => '', out => '', err => '' };

	$self->{run} = start([ $program, @arguments ], '<', \$self->{in}, '>', \$self->{out},
		'2>', \$self->{err}, timeout(3 * $patience));
	$self->{pid} = $self->{run}{KIDS}[0]{PID};
	$running{ $self->{pid} } = 1;
	return $self;
}

# A test that dies leaves nothing behind.
END { kill('KILL', keys %running); }

sub signal_baton
{
	my ($self, $signal) = @_;
	kill($signal, $self->{pid});
}

# Sends a signal (none: only waits) and waits for the end; the exit code.
sub stop_baton
{
	my ($self, $signal) = @_;

	signal_baton($self, $signal) if $signal;
	finish($self->{run});
	delete $running{ $self->{pid} };
	return ($? & 127) ? 128 + ($? & 127) : $? >> 8;
}

# Waits until the function says true, which is tried again and again.
sub wait_until
{
	my ($what, $condition, @handles) = @_;
	my $end = time + $patience;

	while (time < $end)
	{
		# One that has ended can't be pumped any more.
		eval { $_->{run}->pump_nb } foreach @handles;
		return 1 if $condition->();
		select(undef, undef, undef, 0.02);
	}
	diag("waited in vain: $what");
	diag("said: $_->{err}") foreach @handles;
	return 0;
}

# Waits until a query gives the answer.
sub wait_sql
{
	my ($node, $query, $answer, @handles) = @_;
	return wait_until("$query = $answer",
		sub { return $node->safe_psql('postgres', $query) eq $answer; }, @handles);
}

sub alive { return kill(0, $_[0]) && slurp("/proc/$_[0]/stat") !~ /\) Z /; }

sub slurp
{
	my ($file) = @_;
	open(my $in, '<', $file) or return '';
	local $/;
	my $content = <$in>;
	return defined $content ? $content : '';
}

1;
