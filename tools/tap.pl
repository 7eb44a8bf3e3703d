#!/usr/bin/perl
# tools/tap.pl --jobs=N --log=DIR --counts=FILE TEST...
#	Runs tests that speak TAP, Perl scripts and programs, as prove does, and
#	writes how many assertions passed and failed.  A test that dies, is stopped
#	after its time, or runs less than it planned counts as one failure more.
#	Each has a directory of its own under DIR, with its logs.

use strict;
use warnings;

use File::Basename;
use File::Path qw(make_path);
use Getopt::Long;
use TAP::Harness;

my %opt = (jobs => 1, time => 600);
GetOptions(\%opt, 'jobs=i', 'log=s', 'counts=s', 'time=i') or exit 2;

# What runs one test: it gets TESTDIR, where PostgreSQL::Test puts servers and logs,
# and its standard error goes to a file there.
sub command
{
	my ($harness, $file) = @_;
	my $name = basename($file);
	my $dir  = "$opt{log}/$name";

	make_path($dir);
	return [
		'sh', '-c', 'export TESTDIR=$1; exec timeout --kill-after=20 $2 $3 $4 2>"$1/stderr"',
		'tap', $dir, $opt{time}, $file =~ /\.pl$/ ? 'perl' : 'env', $file
	];
}

my $harness =
  TAP::Harness->new({ jobs => $opt{jobs}, timer => 1, exec => \&command, errors => 1 });
my $result = $harness->runtests(map { [ $_, basename($_) ] } @ARGV);
my ($passed, $failed) = (scalar $result->passed, scalar $result->failed);

foreach my $parser ($result->parsers)
{
	$failed++ if $parser->has_problems && !$parser->failed;
}

# The last words of those that failed: of the test itself, which PostgreSQL::Test keeps in
# a log of its own, and of whatever else wrote to standard error.
foreach my $name ($result->descriptions)
{
	my ($parser) = $result->parsers($name);
	next unless $parser->has_problems;
	print "---- $name: last words, more in $opt{log}/$name\n";
	system('tail', '-q', '-n', '20', "$opt{log}/$name/stderr",
		glob("$opt{log}/$name/tmp_check/log/regress_log_*"));
}

open(my $counts, '>', $opt{counts}) or die "$opt{counts}: $!";
print $counts "$passed $failed\n";
close($counts) or die "$opt{counts}: $!";
exit($failed ? 1 : 0);
