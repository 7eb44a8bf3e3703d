# What it would catch: rules or a configuration that Prometheus doesn't take; an alert that never
# fires, or fires when all is well; one without a test, or without a word on what to do.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonMetrics;
use BatonProgram;
use Test::More;

my $dir = "$top/deploy/prometheus";
my ($ok, $said);

foreach my $check ([ 'rules', "$dir/baton.rules.yml" ], [ 'config', '--syntax-only', "$dir/prometheus.yml" ])
{
	($ok, $said) = promtool('', 'check', @$check);
	ok($ok, "promtool check @$check") or diag($said);
}

my @files = glob("$dir/tests/*.yml");
($ok, $said) = promtool('', 'test', 'rules', @files);
ok($ok, 'promtool test rules') or diag($said);

# Each alert is tested both ways: at a time when it fires (a value), and for something that isn't
# reason enough (another series in its test, or a time at which there is nothing).
my $rules = slurp("$dir/baton.rules.yml");
my $tests = join('', map { slurp($_) } @files);
my $readme = slurp("$dir/README.md");
my @alerts = $rules =~ /^ *- alert: (\w+)$/mg;
cmp_ok(scalar(@alerts), '>=', 8, 'there are alerts');
foreach my $alert (@alerts)
{
	my ($rule) = $rules =~ /- alert: $alert\n(.*?)(?=\n *- (?:alert|name):|\z)/s;
	like($rule, qr/^ *$_:/m, "$alert has a $_") foreach qw(severity summary description runbook);
	my @expectations =
	  $tests =~ /expr: .*alertname="$alert".*\n +eval_time: .*\n( +exp_samples:)?/g;
	ok((grep { defined } @expectations), "$alert: a test in which it fires");
	my ($test) = $tests =~ /- name: $alert\n(.*?)(?=\n  - name:|\n\n  #|\z)/s;
	ok((grep { !defined } @expectations) || $test =~ /"good"/, "... and one in which it doesn't");
	like($readme, qr/^\| `$alert` \| \S/m, '... and README.md has it');
}
is(join(' ', sort $readme =~ /^\| `(Baton\w+)` \|/mg), join(' ', sort @alerts), 'README.md has no other');
foreach my $rule ($rules =~ /^ *- record: (\S+)$/mg)
{
	like($tests, qr/\Q$rule\E/, "$rule has a test");
}

done_testing();
