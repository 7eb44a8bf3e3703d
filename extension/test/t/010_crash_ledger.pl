# Producers and consumers go on while processes of the server are killed with SIGKILL at random
# moments: backends, the keeper, the postmaster; and sessions and clients are ended besides.
#
# Forbids: a committed message that is lost, a rolled back one that is delivered, two receipts of
# one message that are valid at a time, work that took effect twice or not at all in a transaction
# that completed its message, a message that comes again after its completion committed.
# The clients' own files are the witness (BatonLedger.pm).  The order of events is random; the seed is printed.
#
# Pitfalls 10, 17, 18; findings 12, 16, 17, 18.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use BatonLedger;
use Test::More;

# How often; more for a long run by hand.
use constant SERVER_KILLS => $ENV{BATON_TEST_KILLS} // 25;

my $node = new_node('main', conf => "fsync = off\ncheckpoint_timeout = 1h\n");
my $run = BatonLedger->new($node);

# The ids of processes of a kind, none while the server doesn't answer.
sub pids
{
	my ($where) = @_;
	my $pids = ask($node, "select pid from pg_stat_activity where pid <> pg_backend_pid() and $where");

	return split(/\n/, $pids // '');
}

sub one_of
{
	return $_[ rand(@_) ];
}

# What can befall a server, each returning whether it did.
sub kill_backend
{
	my $pid = one_of(pids(q{backend_type = 'client backend'}));

	return $pid && kill('KILL', $pid);
}

sub kill_worker
{
	my $pid = one_of(pids(q{backend_type like 'baton%'}));

	return $pid && kill('KILL', $pid);
}

sub kill_postmaster
{
	my @pids = pids('true') or return 0;

	$node->kill9;
	wait_for_end($_) foreach @pids;
	$node->start;
	return 1;
}

sub terminate_something
{
	my $pid = one_of(pids(q{backend_type = 'client backend' or backend_type like 'baton%'}));

	return $pid && kill('TERM', $pid);
}

sub kill_client
{
	my $pid = $run->client_psql;

	return $pid && kill('KILL', $pid);
}

$run->start(2, 4);
my %done = (backend => 0, worker => 0, postmaster => 0);
my $kills = 0;
while ($kills < SERVER_KILLS)
{
	$run->wait_for_steps(50 + int(rand(250))) or last;
	terminate_something() if rand() < 0.3;
	kill_client() if rand() < 0.3;

	my $kind = $kills % 7 == 6 ? 'postmaster' : rand() < 0.35 ? 'worker' : 'backend';
	my $did =
	    $kind eq 'postmaster' ? kill_postmaster()
	  : $kind eq 'worker' ? kill_worker()
	  :                     kill_backend();

	next unless $did;
	$kills++;
	$done{$kind}++;
}
note(join(', ', map { "$_ killed $done{$_} times" } sort keys %done));
is($kills, SERVER_KILLS, 'the server was killed often enough');

$run->stop_producers;
$run->drain;
$run->check;

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/PANIC:/, 'no PANIC');
unlike($log, qr/TRAP:|terminated by signal (6|11)/, 'nothing crashed but what was killed');
unlike($log, qr/ leak: /, 'no leaks');
check_memory($node);
$node->stop;
done_testing();
