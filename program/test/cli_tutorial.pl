# What it would catch: a tutorial whose commands don't work as they stand, or don't print what it says they do.
#
# The commands of all ```sh blocks run in one shell, in order. A block without a language after one of them is its output: each
# of its lines has to come, in that order; `...` stands for anything, and how many blanks there are doesn't matter.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use File::Basename;
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Utils;
use Test::More;

my $tutorial = slurp("$FindBin::RealBin/../../docs/tutorial.md");
my ($postgres) = grep { -x } map { "$_/postgres" } split(/:/, $ENV{PATH});
my $home = PostgreSQL::Test::Utils::tempdir_short();

delete @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER PGSERVICE XDG_DATA_HOME NO_COLOR)};
$ENV{HOME}      = $home;
$ENV{PG_CONFIG} = dirname($postgres) . '/pg_config';
$ENV{PATH}      = dirname($program) . ":$ENV{PATH}";
mkdir("$home/here");

my @blocks;
while ($tutorial =~ /^```(\w*)\n(.*?)^```\n/msg)
{
	my ($language, $text) = ($1, $2);

	if ($language eq 'sh') { push(@blocks, { commands => $text, output => '' }); }
	elsif ($language eq '') { $blocks[-1]{output} = $text; }
	else { fail("a block of $language"); }
}
cmp_ok(scalar(@blocks), '>', 8, 'there are blocks of commands');

# One shell for all; a mark after each block tells how it went.
my ($in, $out, $err) = ('', '', '');
my $shell = start([ 'bash', '--noprofile', '--norc', '-c', "cd $home/here && exec bash -o pipefail -s" ],
	'<', \$in, '>', \$out, '2>', \$err, timeout(300));

# True if each line of what the page shows is printed, one after the other.
sub printed
{
	my ($output, $got) = @_;

	foreach my $line (split(/\n/, $output))
	{
		my $pattern = join('.*?', map { join('\s+', map { quotemeta } split(/ +/)) } split(/\.\.\./, $line, -1));

		$pattern = quotemeta($line) if $line eq '...';
		return (0, $line) unless $got =~ /^[ \t]*$pattern/gm;
	}
	return (1, '');
}

my $n = 0;
foreach my $block (@blocks)
{
	my ($first) = $block->{commands} =~ /^(.*)$/m;

	($out, $err) = ('', '');
	$n++;
	# a group stops at the first command that fails; it is this shell, so variables stay
	$in .= "set -e\n$block->{commands}\nset +e\necho \"MARK $n\"\n";
	while ($out !~ /^MARK $n$/m && $shell->pumpable) { $shell->pump; }
	my $good = ok($out =~ s/^MARK $n\n//m, "block $n: $first");
	my ($all, $missing) = printed($block->{output}, $out);
	ok($all, '... and its output') if $block->{output} ne '';
	diag("missing: $missing\nout: $out\nerr: $err") unless $good && $all;
	last unless $good;
}
$in .= "exit\n";
finish($shell) if $shell->pumpable;
system("$program down >/dev/null 2>&1");
ok(!-e "$home/.local/share/baton/conninfo", 'nothing runs any more');

done_testing();
