# What it would catch: bytes that are not what they should be and are not refused with the right
# status and a problem document, or are half done; a client that is slow, goes silent or never reads and
# holds up others; bytes that bring the server down.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Test::More;

my $node = baton_node('bad');
my $server = serve('--local-user', '--max-body', 100000, '--max-connections', 50);

sub request { return api($server, undef, @_); }
sub count { return $node->safe_psql('postgres', 'select count(*) from baton.message'); }

$node->safe_psql('postgres', q{select baton.create_queue('q')});
my $send = "POST /v1/queues/q/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

# The answer to bytes: (status, body, headers).
sub bytes
{
	my ($bytes) = @_;
	my $got = raw($server, $bytes, qr/\r\n\r\n.*\}\n|\r\n\r\n$/s);
	my ($headers, $body) = split(/\r\n\r\n/, $got, 2);
	return ($got =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0, $body, $headers);
}

# ---- JSON ----

my @bad = (
	[ '{', 'a beginning' ], [ '', 'nothing' ], [ ' ', 'a blank' ], [ '{"payload": 1', 'no end' ], [ '{"payload": 1}}', 'too many ends' ],
	[ '{"payload": 1} {"payload": 2}', 'two' ], [ "{'payload': 1}", 'single quotes' ], [ '{"payload": 01}', 'a zero before a number' ],
	[ '{"payload": 1,}', 'a comma at the end' ], [ '{"payload": NaN}', 'NaN' ], [ '{"payload": "a' . "\x01" . '"}', 'a control character' ],
	[ '{"payload": "a' . "\xff" . '"}', 'invalid UTF-8' ], [ '{"payload": "a' . "\xc0\xaf" . '"}', 'overlong UTF-8' ],
	[ '{"payload": "\ud800"}', 'half a surrogate' ], [ '{"payload": "\u0000"}', 'a zero character' ], [ '{"payload": "a' . "\x00" . '"}', 'a zero byte' ],
	[ "\xef\xbb\xbf" . '{"payload": 1}', 'a byte order mark' ], [ '{"payload": 1, "payload": 2}', 'a key twice' ],
	[ '{"payload": {"a": 1, "a": 2}}', 'a key twice, deeper' ], [ '{"payload": 1e999}', 'a number beyond all bounds' ],
	[ '[' x 5000, 'deep' ], [ '{"payload": ' . ('[' x 5000) . (']' x 5000) . '}', 'deep, and whole' ],
	[ '{"payload": 1, "delay": true}', 'a wrong type' ], [ '{"payload": 1, "headers": 3}', 'headers that are none' ],
	[ '{"payload": 1, "key": 3}', 'a key that is a number' ], [ '{"payload": 1, "delay": "soon"}', 'a time that is none' ],
	[ '{"payload": 1, "deliver_at": "32.13.2020"}', 'a date that is none' ], [ '{"payload": 1, "priority": 99999999999}', 'a number too large' ],
	[ '{"payload": 1, "__proto__": 1}', 'a field that is not known' ], [ '{"payload": 1, "x\ny": 1}', '... of odd characters' ],
	[ 'null', 'null' ], [ '"{}"', 'a string' ], [ '{}', 'an empty object' ], [ '[[]]', 'arrays' ], [ '[null]', 'null in an array' ]);
foreach my $case (@bad)
{
	is_problem([ bytes($send . 'Content-Length: ' . length($case->[0]) . "\r\n\r\n$case->[0]") ], 400, undef, "JSON: $case->[1]");
}
# The same as a line of a stream, after one that is right.
foreach my $case (grep { $_->[0] =~ /\S/ && $_->[0] !~ /^\[/ } @bad)
{
	my $lines = "{\"payload\": 1}\n$case->[0]\n{\"payload\": 3}\n";
	is_problem([ request('POST', '/v1/queues/q/messages', undef, '-H', 'Content-Type: application/x-ndjson', '--data-binary', '@' . file($lines)) ],
		400, qr/^line 2 is wrong|surrogate|\\u0000|null|invalid|range|out of/, "line: $case->[1]");
}
is(count(), 0, 'nothing was sent');

sub file
{
	my ($content) = @_;
	my $name = PostgreSQL::Test::Utils::tempdir() . '/body';
	open(my $out, '>', $name) or die $!;
	print $out $content;
	close($out);
	return $name;
}

# ---- bodies ----

my $large = '{"payload": "' . ('x' x 100000) . '"}';
is_problem([ bytes($send . 'Content-Length: ' . length($large) . "\r\n\r\n$large") ], 413, undef, 'a body that is too large');
is_problem([ bytes($send . "Content-Length: 99999999999\r\n\r\n") ], 413, undef, 'one that says so, and does not come');
is_problem([ bytes($send . "Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $large, $large)) ], 413, undef, 'one in chunks');
is_problem([ request('POST', '/v1/queues/q/messages', undef, '-H', 'Content-Type: application/x-ndjson', '--data-binary', '@' . file("{\"payload\": 1}\n$large\n")) ],
	400, qr/line 2 is wrong: it is too long/, 'a line that is too long');
is_problem([ request('POST', '/v1/queues/q/messages', undef, '-d', 'payload=1') ], 415, qr{application/json}, 'a form');
is_problem([ bytes("POST /v1/queues/q/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}") ], 415, undef, 'no type');
is_problem([ bytes($send . "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}") ], 415, undef, 'a compressed one');
is_problem([ request('POST', '/v1/queues/q/pause', {}) ], 400, qr/no body/, 'where none is wanted');
is((bytes($send . "Content-Length: -1\r\n\r\n{}"))[0], 400, 'a length that is negative');
is((bytes($send . "Content-Length: 2x\r\n\r\n{}"))[0], 400, 'a length that is none');
is((bytes($send . "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"))[0], 400, 'a chunk without a length');
is(count(), 0, 'nothing was sent');

# ---- paths ----

foreach my $case (
	[ '/v1/../etc/passwd', 400 ], [ '/v1/queues/..', 400 ], [ '/v1/queues/%2e%2e/messages/1', 400 ], [ '/v1/queues/.', 400 ],
	[ '/v1/queues/%00', 400 ], [ '/v1/queues/q%00x', 400 ], [ '/v1/queues/%', 400 ], [ '/v1/queues/%4', 400 ], [ '/v1/queues/%zz', 400 ],
	[ '/v1/queues/%ff', 400 ], [ '/v1/queues/%c0%ae', 400 ], [ '/v1//queues', 404 ], [ '//v1/queues', 404 ], [ '/v1/queues/', 404 ],
	[ '/v1/queues/q/', 404 ], [ '/v1/queues/q%2fmessages%2f1', 404 ], [ '/V1/queues', 404 ], [ '/v1/queues;x=1', 404 ],
	[ '/' . ('a/' x 100), 404 ], [ '/v1/queues/' . ('x' x 64), 400 ], [ '/v1/queues/q\'; drop table x; --', 400 ])
{
	my ($path, $status) = @$case;
	my @answer = bytes('GET ' . ($path =~ s/ /%20/gr) . " HTTP/1.1\r\nHost: localhost\r\n\r\n");

	# A name that is right but of no queue is not found.
	is_problem(\@answer, $status == 400 && $answer[0] == 404 && $path =~ /x{64}|drop/ ? 404 : $status, undef, "path: " . substr($path, 0, 40));
}
is($node->safe_psql('postgres', q{select count(*) from baton.queue}), 1, 'names are names');

# ---- headers ----

is((bytes("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " . ('x' x 30000) . "\r\n\r\n"))[0], 431, 'a header that is too large');
is((bytes("GET /healthz HTTP/1.1\r\nHost: localhost\r\n" . join('', map { "X$_: y\r\n" } 1 .. 3000) . "\r\n"))[0], 431, 'too many headers');
like((bytes('GET /' . ('x' x 30000) . " HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0], qr/^4(14|31)$/, 'a path that is too long');
is((bytes("GET /healthz HTTP/1.1\r\n\r\n"))[0], 400, 'no Host');
like((bytes("nonsense\r\n\r\n"))[0], qr/^(400|0)$/, 'what is not HTTP');
like((bytes("GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n"))[0], qr/^(505|400)$/, 'another HTTP');
is((bytes("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . ("\x00" x 50) . "\r\n\r\n"))[0] =~ /^(0|400)$/ ? 1 : 0, 1, 'TLS');
is((bytes($send . "Idempotency-Key: \r\nContent-Length: 14\r\n\r\n{\"payload\": 1}"))[0], 400, 'an empty Idempotency-Key');
is_problem([ bytes($send . 'Idempotency-Key: ' . ('k' x 256) . "\r\nContent-Length: 14\r\n\r\n{\"payload\": 1}") ], 400, qr/255/, 'one too long');
is(count(), 0, 'nothing was sent');

# ---- clients ----

# Silent, slow and half-open ones: others are served meanwhile.
my @slow;
foreach my $part ('', 'GET', "GET /healthz HTTP/1.1\r\nHost", $send, $send . "Content-Length: 100\r\n\r\n", $send . "Content-Length: 100\r\n\r\n{\"payload\"",
	$send . "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", $send =~ s{application/json}{application/x-ndjson}r . "Transfer-Encoding: chunked\r\n\r\nf\r\n{\"payload\": 1}\n\r\n")
{
	foreach my $n (1 .. 5)
	{
		my $socket = raw_open($server);
		print $socket $part;
		push @slow, $socket;
	}
}
is((curl("$server->{url}/readyz"))[0], 200, 'forty slow clients: others are served');
is((request('POST', '/v1/queues/q/messages', { payload => 'quick' }))[0], 201, '... also with what needs the database');
# Half of the connections at most are for streams, and two more than there are must not block it.
my @more = map { raw_open($server) } 1 .. 20;
close($_) foreach @slow;
is((curl("$server->{url}/healthz"))[0], 200, 'more than may come: when others leave there is room');
close($_) foreach @more;
ok(wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton serve' and state like 'idle in%'}, 0),
	'streams that were broken off are rolled back');
is($node->safe_psql('postgres', q{select string_agg(payload::text, ',') from baton.message}), '"quick"', '... nothing of them was sent');

# One that asks much and never reads.
my $deaf = raw_open($server);
{
	local $SIG{PIPE} = 'IGNORE';
	$deaf->blocking(0);
	for my $n (1 .. 2000) { last unless defined syswrite($deaf, "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n" x 20); }
}
is((curl("$server->{url}/readyz"))[0], 200, 'one that never reads: others are served');
close($deaf);

# Requests one after the other without waiting for the answers.
my $got = raw($server, join('', map { "GET /v1/queues/q HTTP/1.1\r\nHost: localhost\r\n\r\n" } 1 .. 20)
	. "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
is(scalar(() = $got =~ m{^HTTP/1\.1 200}mg), 21, 'pipelined requests are all answered');

is((curl("$server->{url}/healthz"))[0], 200, 'it is well after all that');
unlike($server->{err}, qr/event=\S*(panic|crash)/, '... and says so');
is(stop_baton($server, 'TERM'), 0, '... and ends in good order');

done_testing();
