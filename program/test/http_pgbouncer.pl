# What it would catch: something that relies on a session between the program and PostgreSQL where PgBouncer
# hands out another one for each transaction: prepared statements, settings, claims bound to a session,
# a transaction that is spread over several.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Test::More;

my $pgbouncer = (grep { -x $_ } '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer')[0];
plan skip_all => 'there is no pgbouncer' unless $pgbouncer;

my $node = baton_node('pooled');
my $direct = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid($<);

# Fewer sessions than the program has connections, and they are changed often.
open(my $ini, '>', "$dir/pgbouncer.ini") or die $!;
print $ini <<EOT;
[databases]
postgres = host=@{[$node->host]} port=@{[$node->port]} dbname=postgres user=$user
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
default_pool_size = 3
server_round_robin = 1
logfile = $dir/log
EOT
close($ini);
my $bouncer = IPC::Run::start([ $pgbouncer, "$dir/pgbouncer.ini" ], '<', \'', '>', "$dir/out", '2>', "$dir/err");
END { local $?; $bouncer->kill_kill if $bouncer; }

my $pooled = "host=127.0.0.1 port=$port dbname=postgres user=$user";
ok(wait_until('PgBouncer runs', sub { return (baton('queue', '-d', $pooled))[0] == 0; }), 'PgBouncer runs') or diag(slurp("$dir/log"));
$node->safe_psql('postgres', q{select baton.create_queue(format('q%s', i)) from generate_series(0, 9) i});

my ($server, $status, $body);
sub request { return api($server, undef, @_); }

foreach my $case ([ 'the connection that waits goes by', '--wait-dbname', $direct ], ['all goes through PgBouncer'])
{
	my ($name, @options) = @$case;
	$server = serve('--local-user', '-d', $pooled, '--pool', 8, @options);

	# Many at once, of several kinds, so that sessions are mixed.
	my @curls;
	foreach my $n (1 .. 60)
	{
		my $queue = 'q' . $n % 10;
		push @curls, start_curl('--json', "{\"payload\": $n}", '-H', "Idempotency-Key: $name/$n", "$server->{url}/v1/queues/$queue/messages") if $n % 3 == 0;
		push @curls, start_curl('--json', "{\"payload\": $n}", "$server->{url}/v1/queues/$queue/messages") if $n % 3 == 1;
		push @curls, start_curl("$server->{url}/v1/queues/$queue") if $n % 3 == 2;
	}
	is(scalar(grep { (curl_answer($_))[0] =~ /^20[01]$/ } @curls), 60, "$name: sixty at once");
	my $lines = join('', map { "{\"payload\": $_}\n" } 1 .. 1500);
	($status, $body) = curl('-H', 'Content-Type: application/x-ndjson', '--data-binary', $lines, "$server->{url}/v1/queues/q0/messages");
	is($status, 201, '... a stream is one transaction');
	is($node->safe_psql('postgres', q{select count(distinct xmin::text) from baton.message_log where payload > '1000' and payload <= '1500' and queue_id = (select id from baton.queue_definition where name = 'q0')}),
		1, '... indeed') if @options;

	my $taken = 0;
	foreach my $queue (map { "q$_" } 0 .. 9)
	{
		($status, $body) = request('POST', "/v1/queues/$queue/receive?max=1000");
		foreach my $message (grep { defined } @{ $body->{messages} }[0 .. 4])
		{
			$taken++ if (request('POST', "/v1/claims/$message->{receipt}/complete"))[0] == 204;
		}
	}
	is($taken, 41, '... claims outlive their transaction');

	# Waits for more and more queues.
	$node->safe_psql('postgres', q{select baton.drop_queue(format('q%s', i)), baton.create_queue(format('q%s', i)) from generate_series(0, 9) i});
	my @polls = map { my $q = $_; start_curl('-X', 'POST', "$server->{url}/v1/queues/q$q/receive?wait=60") } 0 .. 9;
	ok(wait_until('they wait', sub {
		request('POST', "/v1/queues/q$_/messages", { payload => "for q$_" }) foreach 0 .. 9;
		return 1; }), 'ten wait');
	my @answers = map { (curl_answer($_))[1] } @polls;
	is(scalar(grep { $answers[$_] =~ /"for q$_"/ } 0 .. 9), 10, '... and get what is sent');
	is(stop_baton($server, 'TERM'), 0, '... and it ends');
	unlike($server->{err}, qr/ error /, '... without errors') or diag($server->{err});
	like($server->{err}, qr/event=pooler/, '... it has noticed');
}

# PgBouncer itself goes away and comes back.
$server = serve('--local-user', '-d', $pooled, '--wait-dbname', $direct);
$bouncer->kill_kill;
ok(wait_until('it says so', sub { return (curl("$server->{url}/readyz"))[0] == 503; }, $server), 'PgBouncer is away: 503');
$bouncer = IPC::Run::start([ $pgbouncer, "$dir/pgbouncer.ini" ], '<', \'', '>', "$dir/out", '2>', "$dir/err");
ok(wait_until('it is back', sub { return (curl("$server->{url}/readyz"))[0] == 200; }, $server), '... it is back');
is((request('POST', '/v1/queues/q1/messages', { payload => 1 }))[0], 201, '... and all goes on');
is(stop_baton($server, 'TERM'), 0, '... to its end');

done_testing();
