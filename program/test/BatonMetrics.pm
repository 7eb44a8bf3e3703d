# BatonMetrics.pm
#	Helpers of the tests of metrics: reading what the program prints, the list in
#	docs/metrics.md, and where deploy/ is.

package BatonMetrics;

use strict;
use warnings;

use BatonProgram;
use Exporter 'import';
use FindBin;
use IPC::Run qw(run);
use Test::More;

our @EXPORT = qw(parse_metrics scrape forget family promtool documented $top);

our $top = "$FindBin::RealBin/../..";

my %last;	# the scrape before, to see that no counter falls

# The text as { types => {name => type}, values => {'name{labels}' => value} }.
sub parse_metrics
{
	my ($text) = @_;
	my (%types, %values);

	foreach my $line (split(/\n/, $text))
	{
		next if $line =~ /^# HELP [a-z_]+ \S/;
		if ($line =~ /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/)
		{
			$types{$1} = $2;
			next;
		}
		my ($series, $value) = $line =~ /^([a-z_]+(?:\{.*\})?) (\S+)$/
		  or fail("a line that is none: $line");
		fail("twice: $series") if exists $values{$series};
		$values{$series} = $value;
	}
	return { types => \%types, values => \%values };
}

# The metric a series belongs to.
sub family
{
	my ($metrics, $series) = @_;
	my ($name) = $series =~ /^([a-z_]+)/;
	my $base = $name =~ s/_(?:bucket|sum|count)$//r;

	return ($metrics->{types}{$base} || '') eq 'histogram' ? $base : $name;
}

# What `baton metrics` says now: a function of a series, '' where there is none.  That
# nothing that only rises has fallen since the call before is a test of its own.
sub scrape
{
	my ($code, $out, $err) = baton('metrics');
	my $now = parse_metrics($out);
	my @fell;

	is($code, 0, 'baton metrics') or diag($err);
	foreach my $series (keys %last)
	{
		next if $now->{types}{ family($now, $series) } eq 'gauge';
		push @fell, $series
		  if !exists $now->{values}{$series} || $now->{values}{$series} < $last{$series};
	}
	is("@fell", '', 'no counter fell');
	%last = %{ $now->{values} };
	return sub { return $now->{values}{ $_[0] } // ''; };
}

# The server was restarted: counters begin again.
sub forget { %last = (); return; }

# promtool with something on standard input: whether it is content, and what it says.
sub promtool
{
	my ($input, @arguments) = @_;
	my $said = '';
	my $ok = run([ 'promtool', @arguments ], '<', \$input, '>', \$said, '2>&1');

	return ($ok, $said);
}

# name => type, as docs/metrics.md has them.
sub documented
{
	return slurp("$top/docs/metrics.md") =~ /^\| `([a-z_]+)` \| (\w+) \|/mg;
}

1;
