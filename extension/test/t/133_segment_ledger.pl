# Producers and consumers go on over many tiny segments that are rotated, compacted and emptied, beside
# cleanup_queue() in a loop, while backends, keepers, cleaners and the postmaster are killed at random moments.
#
# Forbids: a committed message that is lost with its segment, or skipped by a restart because of a mark, a range of ids or
# a list of what is unfinished; one that comes again from where it was moved away.  010_crash_ledger.pl has the
# rest.  One queue forgets at once what is finished, the other one after three seconds.
#
# Pitfalls 6, 7, 10; findings 6, 7, 22.

use strict;
use warnings FATAL => 'all';

use BatonLedger;
use BatonSegments;
use BatonTest;
use POSIX ();
use Test::More;

# How often; more for a long run by hand.
use constant SERVER_KILLS => $ENV{BATON_TEST_KILLS} // 12;

my $node = new_node('main', conf => small_segments() . "fsync = off\ncheckpoint_timeout = 1h\n");
my $run = BatonLedger->new($node, forgets => 1);

sub pids
{
	my ($where) = @_;
	my $pids = ask($node, "select pid from pg_stat_activity where pid <> pg_backend_pid() and $where");

	return split(/\n/, $pids // '');
}

# SIGKILL to one of these; whether there was one.
sub kill_one
{
	my @pids = pids(shift);

	return @pids && kill('KILL', $pids[ rand(@pids) ]);
}

sub kill_all
{
	my @pids = pids('true') or return 0;

	$node->kill9;
	wait_for_end($_) foreach @pids;
	$node->start;
	return 1;
}

# A process that cleans up without a pause, whatever comes of it.
sub start_cleaning
{
	my ($parent, $connection) = ($$, $node->connstr('postgres'));
	my $pid = fork() // die "fork: $!";

	return $pid if $pid;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>', '/dev/null');
	open(STDERR, '>', '/dev/null');
	exec('sh', '-c', "while kill -0 $parent; do psql -Xqc 'call baton.cleanup_queue()' \"$connection\"; done")
	  or POSIX::_exit(127);
}

my $cleaning = start_cleaning();
$run->start(2, 4);
my %done;
my $kills = 0;
while ($kills < SERVER_KILLS)
{
	$run->wait_for_steps(100 + int(rand(300))) or last;
	my $kind = (qw(keeper backend cleaner backend postmaster cleaner))[ $kills % 6 ];
	my $did =
	    $kind eq 'postmaster' ? kill_all()
	  : $kind eq 'backend' ? kill_one(q{backend_type = 'client backend'})
	  : kill_one("backend_type = 'baton $kind'")
	  || kill_one(q{query like '%cleanup_queue%'});

	next unless $did;
	$kills++;
	$done{$kind}++;
}
note(join(', ', map { "$_ killed $done{$_} times" } sort keys %done));
is($kills, SERVER_KILLS, 'the server was killed often enough');

$run->stop_producers;
$run->drain;
kill('TERM', $cleaning);
waitpid($cleaning, 0);
$run->check;

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/PANIC:/, 'no PANIC');
unlike($log, qr/TRAP:|terminated by signal (6|11)/, 'nothing crashed but what was killed');
unlike($log, qr/ leak: /, 'no leaks');
$node->safe_psql('postgres', 'call baton.cleanup_queue()');
ok(wait_until($node, q{select count(*) > 0 from baton.segment where state = 'free'}, 't'), 'segments are emptied');
note($node->safe_psql('postgres', q{select string_agg(number || ' ' || state, ', ' order by number) from baton.segment}));
check_memory($node);
$node->stop;
done_testing();
