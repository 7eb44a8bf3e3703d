# What it would catch: a scrape that looks through the log, so that it costs more with each
# message, and takes its pages out of memory; one that leaves queues out.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonMetrics;
use BatonProgram;
use BatonTest qw(hold wait_held release);
use Test::More;

use constant QUEUES => 1000;

my $node = baton_node('scale', "autovacuum = off\n");

$node->safe_psql('postgres', 'select count(baton.create_queue(i::text)) from generate_series(1, '
	  . QUEUES . ') i');
$node->safe_psql('postgres',
	'select count(*) from (select baton.send(i::text, to_jsonb(i)) from generate_series(1, '
	  . QUEUES . ') i) s');
$node->safe_psql('postgres', 'select count(baton.complete(r.receipt))
	from generate_series(1, 1000, 2) i, baton.receive(i::text) r');
ok(wait_sql($node, "select count(*) from pg_stat_activity where backend_type = 'client backend'", 1),
	'all have left, and told what they read');

# What the keeper reads is its own affair.  Stopped by a signal it might have a queue's lock.
$node->safe_psql('postgres', 'create extension baton_test');
hold($node, 'keeper-duty');
wait_held($node, 'keeper-duty');

# How often something of the log was read, and how much.
sub reads
{
	return $node->safe_psql('postgres', q{
		select sum(seq_scan), sum(seq_tup_read), sum(idx_scan), sum(idx_tup_fetch),
			sum(heap_blks_read + heap_blks_hit) + sum(idx_blks_read + idx_blks_hit)
		from pg_stat_user_tables join pg_statio_user_tables using (relid)
		where pg_stat_user_tables.schemaname = 'baton'
			and pg_stat_user_tables.relname ~ '^(message|event)_log'});
}

my $before = reads();
my ($code, $out, $err);
foreach my $n (1 .. 3)
{
	($code, $out, $err) = baton('metrics');
	is($code, 0, 'a scrape') or diag($err);
}
wait_sql($node, "select count(*) from pg_stat_activity where backend_type = 'client backend'", 1);
is(reads(), $before, 'nothing of the log was read');
release($node, 'keeper-duty');

my $values = parse_metrics($out)->{values};
my %seen;
$seen{ $values->{"baton_messages_completed_total{queue=\"$_\"}"} // 'none' }++ foreach 1 .. QUEUES;
is_deeply(\%seen, { 0 => 500, 1 => 500 }, 'each queue has its counters');
my ($ok, $said) = promtool($out, 'check', 'metrics');
ok($ok, 'promtool check metrics') or diag($said);

done_testing();
