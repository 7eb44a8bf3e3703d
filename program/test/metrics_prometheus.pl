# A real Prometheus scrapes a loaded server, with the rules of deploy/prometheus, and every query of the dashboard
# of deploy/grafana is put to it.
#
# What it would catch: a text that Prometheus doesn't take; numbers that are others there than in the server; a rule that
# fails when it is evaluated; a panel without data.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonMetrics;
use BatonProgram;
use BatonTest qw(session);
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('prometheus', "baton.segment_size = 64\n");
my $dir = PostgreSQL::Test::Utils::tempdir();
my @children;

END
{
	local $?;
	kill('TERM', @children);
	waitpid($_, 0) foreach @children;
}

sub start_prometheus
{
	my ($target) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $child;

	PostgreSQL::Test::Utils::append_to_file("$dir/token", token('prometheus', '--scopes', 'inspect'));
	PostgreSQL::Test::Utils::append_to_file("$dir/prometheus.yml", <<"YML");
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ['$top/deploy/prometheus/baton.rules.yml']
scrape_configs:
  - job_name: baton
    authorization: {credentials_file: '$dir/token'}
    static_configs: [{targets: ['127.0.0.1:$target']}]
YML
	$child = fork();
	if ($child == 0)
	{
		open(STDOUT, '>', "$dir/prometheus.log");
		open(STDERR, '>&', \*STDOUT);
		exec('prometheus', "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data",
			"--web.listen-address=127.0.0.1:$port");
	}
	push @children, $child;
	return $port;
}

my $server = serve();
my $prometheus = start_prometheus($server->{port});
my $http = HTTP::Tiny->new(timeout => 10);

# What Prometheus' API answers, or undef.
sub api
{
	my ($path, %parameters) = @_;
	my $query = $http->www_form_urlencode(\%parameters);
	my $response = $http->get("http://127.0.0.1:$prometheus/api/v1/$path?$query");
	my $answer = eval { decode_json($response->{content}) };

	return $answer && $answer->{status} eq 'success' ? $answer->{data} : undef;
}

# The finite values a query has now.
sub values_of
{
	my ($query) = @_;
	my $data = api('query', query => $query) or return;

	return grep { /^[-+0-9.e]+$/ } map { $_->{value}[1] } @{ $data->{result} };
}

# Load: all that can happen to a message.
$node->safe_psql('postgres', q{
	select baton.create_queue('busy', max_attempts => 2, backoff => '0');
	select baton.create_queue('quiet');
	vacuum baton.queue_definition});
my $waiter = session($node);
$waiter->start(q{call baton.wait('quiet', '10 min')});

sub load
{
	$node->safe_psql('postgres', q{
		select count(*) from baton.send_batch('busy', array_fill('1'::jsonb, array[20]));
		select count(baton.complete(receipt)) from baton.receive('busy', 15);
		select count(baton.fail(receipt, 'no')) from baton.receive('busy', 2);
		select baton.fail(receipt, 'no', retry => false) from baton.receive('busy');
		select baton.release(receipt) from baton.receive('busy');
		select count(*) from baton.receive('busy')});    # whose holder then is gone
	$http->get("$server->{url}/$_") foreach qw(healthz v1/queues);
	return;
}

ok(wait_until('Prometheus scrapes', sub { load(); return (values_of('baton_up')) > 0; }),
	'Prometheus scrapes');
is((values_of('up{job="baton"}'))[0], 1, 'and takes what it gets');

# Every panel.
my $dashboard = decode_json(slurp("$top/deploy/grafana/baton.json"));
my %variables = (job => '.*', instance => '.*', queue => '.*', __rate_interval => '10s');
my @queries;
foreach my $panel (@{ $dashboard->{panels} })
{
	foreach my $target (@{ $panel->{targets} || [] })
	{
		my $query = $target->{expr} =~ s/\$(\w+)/$variables{$1} \/\/ "\$$1"/ger;
		push @queries, [ "$panel->{title}: $target->{legendFormat}", $query ];
	}
}
cmp_ok(scalar(@queries), '>', 20, 'the dashboard has panels');
foreach my $query (@queries)
{
	ok(wait_until($query->[1], sub { load(); return scalar(values_of($query->[1])); }),
		"panel $query->[0]");
}
foreach my $variable (grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} })
{
	my ($metric, $label) = $variable->{query}{query} =~ /^label_values\((\w+).*, (\w+)\)$/;
	my $data = api("label/$label/values", 'match[]' => $metric);
	ok($data && @$data, "variable $variable->{name} has values");
}

# Every rule.
ok( wait_until('all rules are evaluated',
		sub {
			my $data = api('rules') or return 0;
			return !grep { $_->{health} ne 'ok' } map { @{ $_->{rules} } } @{ $data->{groups} };
		}),
	'all rules are evaluated without an error');
ok(wait_until('recorded', sub { load(); return scalar(values_of('queue:baton_work_seconds:p99_5m')); }),
	'quantiles are recorded');
ok( wait_until('alert', sub { load(); return (values_of('ALERTS{alertname="BatonDeadMessages", queue="busy"}')) > 0; }),
	'an alert fires');

# The numbers are the server's.
foreach my $counter (qw(sent delivered completed failed vanished released dead))
{
	my $there = $node->safe_psql('postgres',
		"select $counter from baton.queue_counters() where queue = 'busy'");
	cmp_ok($there, '>', 0, "$counter has moved");
	ok( wait_until("$counter is $there",
			sub {
				return ((values_of("baton_messages_${counter}_total{queue=\"busy\"}"))[0] // -1) == $there;
			}),
		'... and Prometheus has it');
}

done_testing();
