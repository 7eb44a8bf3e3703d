# What it would catch: options that don't reach the extension or set what wasn't asked
# for; errors without PostgreSQL's words; a list that a script can't read.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('queue');
my ($code, $out, $err);

($code, $out, $err) = baton('queue');
is($code, 0, 'an empty list is no error');
is($out, '', '... and nothing on standard output');

($code, $out, $err) = baton('queue', 'create', 'mail');
is($code, 0, 'create');
($code, $out, $err) = baton('queue', 'create', 'mail');
is($code, 1, 'twice is an error');
like($err, qr/^baton: error: queue "mail" already exists \(42710\)$/m, '... with SQLSTATE');
($code) = baton('queue', 'create', 'mail', '--if-not-exists');
is($code, 0, '... unless --if-not-exists');

($code, $out, $err) = baton('queue', 'create', 'pay', '--max-attempts', '3', '--lease', '30 s',
	'--backoff=5 s', '--backoff-max', '1 min', '--max-crashes', '4', '--key-in-flight', '2');
is($code, 0, 'create with a policy') or diag($err);
my $policy = q{select max_attempts, max_crashes, lease, backoff, backoff_max, key_in_flight
	from baton.queue where name = 'pay'};
is($node->safe_psql('postgres', $policy), '3|4|00:00:30|00:00:05|00:01:00|2',
	'... which the queue has');
($code) = baton('queue', 'alter', 'pay', '--lease', '1 min');
is($code, 0, 'alter');
is($node->safe_psql('postgres', $policy), '3|4|00:01:00|00:00:05|00:01:00|2',
	'... changes what was named alone');
($code) = baton('queue', 'alter', 'pay', '--retention', '2 days');
is($node->safe_psql('postgres', q{select retention from baton.queue_definition where name = 'pay'}), '2 days', '... retention, too');
($code, $out, $err) = baton('queue', 'alter', 'pay', '--max-attempts', 'few');
is($code, 1, 'a bad value');
like($err, qr/invalid input syntax for type integer: "few" \(22P02\)/, '... is the server\'s error');
($code, $out, $err) = baton('queue', 'alter', 'nope', '--lease', '1 min');
is($code, 1, 'no such queue');
like($err, qr/\(42704\)/, '... with SQLSTATE');

($code) = baton('queue', 'pause', 'pay');
is($code, 0, 'pause');
($code, $out) = baton('queue');
like($out, qr/^queue +state +depth +ready .*\nmail .*\npay +paused /, 'the list shows it');
($code) = baton('queue', 'resume', 'pay');
is($code, 0, 'resume');
($code, $out) = baton('queue', 'pay');
unlike($out, qr/paused|mail/, 'one queue, no more paused');

baton('send', 'mail', '1');
($code, $out) = baton('queue', '--json');
my @lines = split(/\n/, $out);
is(scalar(@lines), 2, 'a JSON object a line');
is($node->safe_psql('postgres', "select '$lines[0]'::jsonb ->> 'ready'"), '1',
	'... that PostgreSQL can read');

($code, $out, $err) = baton('queue', 'purge', 'mail');
is($code, 0, 'purge') or diag($err);
ok(wait_sql($node, q{select depth from baton.queue where name = 'mail'}, 0), '... leaves nothing');

($code, $out, $err) = baton('queue', 'nope');
is($code, 1, 'one that is not there');
like($err, qr/queue "nope" does not exist/, '... is named');

($code) = baton('queue', 'drop', 'mail');
is($code, 0, 'drop');
($code) = baton('queue', 'drop', 'mail');
is($code, 1, 'twice is an error');
($code) = baton('queue', 'drop', 'mail', '--if-exists');
is($code, 0, '... unless --if-exists');

# A name with everything in it goes through as it is.
my $name = q{it's "a" \\queue; drop};
($code, $out, $err) = baton('queue', 'create', $name);
is($code, 0, 'any name') or diag($err);
($code, $out) = baton('queue', $name);
like($out, qr/\Q$name\E/, '... is found again');

baton('queue', 'create', "a\033[31m\nb");
($code, $out) = baton('queue');
like($out, qr/^a \[31m b  /m, '... but nothing in it moves the cursor or breaks a line');

# libpq's ways to say where.
{
	my $services = PostgreSQL::Test::Utils::tempdir() . '/services';
	append_to_file($services, "[mine]\nhost=$ENV{PGHOST}\nport=$ENV{PGPORT}\ndbname=postgres\n");
	local %ENV = %ENV;
	my ($host, $port) = delete @ENV{qw(PGHOST PGPORT PGDATABASE)};
	$ENV{PGSERVICEFILE} = $services;
	foreach my $where ('service=mine', "postgresql:///postgres?host=$host&port=$port",
		"host=$host port=$port dbname=postgres")
	{
		($code, $out, $err) = baton('queue', '-d', $where);
		like($out, qr/^pay /m, "-d $where") or diag($err);
	}
	$ENV{PGSERVICE} = 'mine';
	($code, $out, $err) = baton('queue');
	like($out, qr/^pay /m, 'PGSERVICE') or diag($err);
}

$node->safe_psql('postgres', 'create database bare');
($code, $out, $err) = baton('queue', '-d', 'bare');
is($code, 1, 'a database without the extension');
like($err, qr/^hint: .*CREATE EXTENSION/m, '... with a hint');

done_testing();
