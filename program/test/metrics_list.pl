# What it would catch: a metric that is exported and not documented, or documented and gone;
# a name, type or help that Prometheus' conventions forbid; a queue whose name breaks the
# text; an exporter that needs more rights than pg_monitor has, or shows numbers to who hasn't
# them; one that fails where there is no shared memory to read.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonMetrics;
use BatonProgram;
use Test::More;

my $node = baton_node('list', "baton.segment_size = 64\n");
my ($code, $out, $err);

# Names with all that has to be escaped.
my $odd = qq{it's "a" \\queue\n{} é};
foreach my $queue ('plain', $odd) { baton('queue', 'create', $queue); }
baton('send', $odd, '1');
$node->safe_psql('postgres', q{select count(*) from
	baton.send_batch('plain', array(select to_jsonb(i) from generate_series(1, 2000) i))});
ok(wait_sql($node, q{select keeper from baton.window_use()}, 't'), 'the keeper runs');
ok(wait_sql($node, q{select count(*) > 0 from baton.segment_status where sealed_at is not null}, 't'),
	'a segment is full');

($code, $out, $err) = baton('metrics');
is($code, 0, 'metrics') or diag($err);
my $metrics = parse_metrics($out);
my ($ok, $said) = promtool($out, 'check', 'metrics');
ok($ok, 'promtool check metrics') or diag($said);
is($said, '', '... has nothing to say');
like($out, qr/^baton_messages_sent_total\{queue="it's \\"a\\" \\\\queue\\n\{\} é"\} 1$/m,
	'a name is escaped');

# The list, both ways, and what is exported has its values.  Requests are for baton serve to tell.
my %all = documented();
my %documented = map { $_ => $all{$_} } grep { !/^baton_http_/ } keys %all;
is_deeply($metrics->{types}, \%documented, 'exported as documented');
my %seen = map { family($metrics, $_) => 1 } keys %{ $metrics->{values} };
is(join(' ', grep { !$seen{$_} } sort keys %documented), '', 'each has a value');
is(join(' ', grep { !$documented{$_} } sort keys %seen), '', 'and no value has no type');
($code, $out) = baton('metrics', '--markdown');
is(slurp("$top/docs/metrics.md"), $out, 'docs/metrics.md is up to date: make docs');

# What deploy/ names is there.
foreach my $file (glob("$top/deploy/prometheus/*.yml"), "$top/deploy/grafana/baton.json")
{
	my %named = map { $_ => 1 } slurp($file) =~ /(?<![\w:])(baton_[a-z_]+)/g;
	my @unknown =
	  grep { !$all{$_} && !$all{ s/_(?:bucket|sum|count)$//r } } sort keys %named;
	is("@unknown", '', "$file names no other metric");
}

# Rights.
$node->safe_psql('postgres', q{
	create role watcher login in role pg_monitor;
	create role worker login;
	grant usage on schema baton to watcher, worker});
($code, $out, $err) = baton('metrics', '-d', 'user=watcher dbname=postgres');
is($code, 0, 'pg_monitor and USAGE are enough') or diag($err);
is_deeply([ sort keys %{ parse_metrics($out)->{values} } ],
	[ sort keys %{ $metrics->{values} } ], '... to see all of it');
($code, $out, $err) = baton('metrics', '-d', 'user=worker dbname=postgres');
is($code, 1, 'who may send and receive alone');
like($err, qr/permission denied .*\(42501\)/, '... is not shown it');
is($out, '', '... nor half of it');
($code) = baton('metrics', '-d', 'host=/nonexistent dbname=x');
is($code, 3, 'no server');

# Without shared memory: the rest.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
($code, $out, $err) = baton('metrics');
is($code, 0, 'without preload') or diag($err);
$metrics = parse_metrics($out);
is_deeply($metrics->{types}, \%documented, 'the types are the same');
ok(!exists $metrics->{values}{'baton_messages_sent_total{queue="plain"}'}, 'no counters');
is($metrics->{values}{'baton_health_ok{item="preloaded"}'}, 0, 'it says what is wrong');
is($metrics->{values}{'baton_table_dead_rows{table="message_log_1"}'}, 0, 'tables are there');

done_testing();
