# What it would catch: a command without help, example or test; a command line that is
# wrong and goes through; an exit code or docs/cli.md that no longer says what is so.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use Test::More;

my ($code, $out, $err) = baton('help');
is($code, 0, 'help');

my ($list) = $out =~ /^Commands:\n(.*?)\n\n/ms;
my @commands = $list =~ /^  (\w+(?: \w+)?)  +\S/mg;
cmp_ok(scalar(@commands), '>', 10, 'it lists the commands');
foreach my $n (0 .. 8) { like($out, qr/^  $n  \w/m, "exit code $n has a meaning"); }

my $tests = join('', map { slurp($_) } glob("$FindBin::RealBin/*.pl"));
foreach my $command (@commands)
{
	my @words = split(/ /, $command);
	($code, $out, $err) = baton(@words, '--help');
	is($code, 0, "$command --help");
	like($out, qr/^Usage: baton \Q$command\E/m,        "$command: usage");
	like($out, qr/^Examples:\n  .*baton \Q$command\E/m, "$command: an example");
	my $quoted = join(q{',\s*'}, @words);
	ok($tests =~ /baton(?:_in)?\([^;]*'$quoted'/, "$command: a test");
	my ($by_help) = (baton('help', @words))[1];
	is($by_help, $out, "help $command says the same");
}

# The order of options and arguments doesn't matter; -d may stand before the command.
my @nowhere = ('host=/nonexistent dbname=x');
foreach my $line (
	[ '-d', @nowhere, 'queue' ],
	[ 'queue', '-d', @nowhere ],
	[ "--dbname=$nowhere[0]", 'queue', 'create', 'q' ],
	[ 'send', 'q', '1', "-d$nowhere[0]" ],
	[ 'work', 'q', '-d', @nowhere, '--exec', 'true' ],
	[ 'receive', 'q', '-d', @nowhere ])
{
	($code, $out, $err) = baton(@$line);
	is($code, 3, "no connection: @$line");
	like($err, qr/^baton: error: connection to server .*failed/, '... and says so');
}

# A command line that is wrong.
foreach my $case (
	[ qr/a command is missing/ ],
	[ qr/there is no command "sned"/, 'sned' ],
	[ qr/there is no command "queue frobnicate"/, 'help', 'queue', 'frobnicate' ],
	[ qr/unknown option "--colour"/, 'queue', '--colour' ],
	[ qr/unknown option "-x"/, 'queue', '-vx' ],
	[ qr/something is missing: QUEUE/, 'receive' ],
	[ qr/too many arguments: "c"/, 'send', 'a', 'b', 'c' ],
	[ qr/--max takes a whole number, not "many"/, 'receive', 'q', '--max', 'many' ],
	[ qr/--max must be at least 1/, 'receive', 'q', '-n0' ],
	[ qr/--concurrency must be between 1 and 1000/, 'work', 'q', '-e', 'true', '-c', '1001' ],
	[ qr/--timeout takes seconds/, 'work', 'q', '-e', 'true', '--timeout=-1' ],
	[ qr/--exec needs a value: COMMAND/, 'work', 'q', '--exec' ],
	[ qr/--text takes no value/, 'work', 'q', '--text=yes', '-e', 'true' ],
	[ qr/a command is missing: --exec/, 'work', 'q' ],
	[ qr/both --exec and a program/, 'work', 'q', '-e', 'true', '--', 'true' ],
	[ qr/both a payload and --file/, 'send', 'q', '1', '--file', 'x' ],
	[ qr/--port must be between 1 and 65535/, 'up', '--port', '70000' ])
{
	my ($pattern, @line) = @$case;
	($code, $out, $err) = baton(@line);
	is($code, 2, "usage: @line");
	like($err, $pattern, '... and says what is wrong');
	like($err, qr/^hint: Try "baton /m, '... and where help is');
}

($code, $out) = baton('--version');
like($out, qr/^baton \d+\.\d+/, 'version');

($code, $out) = baton('help', '--markdown');
is(slurp("$FindBin::RealBin/../../docs/cli.md"), $out, 'docs/cli.md is up to date: make docs');

# The manual page: what the tables say, in roff that nothing complains about.
($code, $out) = baton('help', '--man');
my $page = "$FindBin::RealBin/../../docs/baton.1";
is(slurp($page), $out, 'docs/baton.1 is up to date: make docs');
my $complaints = `groff -man -ww -z -Tutf8 '$page' 2>&1`;
is("$?$complaints", '0', 'it is good roff');
my $shown = `groff -man -Tascii -P-c '$page' 2>/dev/null`;
$shown =~ s/.\010//g;
$shown =~ s/\s+/ /g;
foreach my $command (@commands)
{
	my ($example) = (baton(split(/ /, $command), '--help'))[1] =~ /^Examples:\n  (.*)/m;
	$example =~ s/\s+/ /g;
	ok(index($shown, $example) >= 0, "$command: its example, to be copied") or diag($example);
}

done_testing();
