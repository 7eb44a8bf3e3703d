# What it would catch: bytes that are not what they should be and are not refused with the right
# status and a problem document, or are half done; a client that is slow, goes silent or never reads and
# holds up others; bytes that bring the server down.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Socket ();
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
is_problem([ bytes($send . "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n") ], 400, qr/well-formed/, 'a chunk without a length');
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

# On the first request of a connection, in one piece and in several; on a later one, where the library's parser refuses
# what is too large for its memory, or no request.  http_tls.pl has the same for TLS.
my $host = 'Host: localhost';
my $healthz = "GET /healthz HTTP/1.1\r\n$host\r\n";

sub pieces
{
	my (@pieces) = @_;
	my $socket = raw_open($server);

	local $SIG{PIPE} = 'IGNORE';
	$socket->setsockopt(Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
	foreach my $piece (@pieces)
	{
		print $socket $piece;
		curl("$server->{url}/healthz");	# by then it has been read
	}
	my $got = raw_read($socket);
	my ($headers, $body) = split(/\r\n\r\n/, $got, 2);
	return ($got =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0, $body, $headers);
}

# The second answer on a connection.
sub later
{
	my ($bytes) = @_;
	my $socket = raw_open($server);

	local $SIG{PIPE} = 'IGNORE';
	print $socket "$healthz\r\n";
	raw_read($socket, qr/\r\n\r\n.*\n$/s);
	print $socket $bytes;
	my $got = raw_read($socket, qr/\r\n\r\n.*\}\n/s);
	my ($headers, $body) = split(/\r\n\r\n/, $got, 2);
	return ($got =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0, $body, $headers);
}

my $form = qr/not HTTP|not that of an HTTP request/;
foreach my $case (
	[ 'a word', "nonsense\r\n\r\n", 400, $form ], [ 'a word without an end', 'nonsense' . ('x' x 100), 400, $form ],
	[ 'a line', "hello there world\r\n\r\n", 400, $form ], [ 'a method that is none', "G\@T / HTTP/1.1\r\n$host\r\n\r\n", 400, $form ],
	[ 'TLS', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . ("\x00" x 500), 400, $form ], [ 'zero bytes', "\0" x 100, 400, $form ],
	[ 'SSH', "SSH-2.0-OpenSSH_9.2p1\r\n", 400, $form ], [ 'HTTP/0.9', "GET /healthz\r\n", 400, $form ],
	[ 'a space in the path', "GET /health z HTTP/1.1\r\n$host\r\n\r\n", 400, $form ],
	[ 'HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, qr{HTTP/1\.1} ], [ 'another HTTP', "GET /healthz HTTP/9.9\r\n$host\r\n\r\n", 505, qr{HTTP/1\.1} ],
	[ 'a large header', "${healthz}X: " . ('x' x 30000) . "\r\n\r\n", 431, qr/header is too large/ ],
	[ 'a huge one', "${healthz}X: " . ('x' x 3_000_000) . "\r\n\r\n", 431, qr/header is too large/ ],
	[ 'several large ones', $healthz . join('', map { "X$_: " . ('x' x 7000) . "\r\n" } 1 .. 4) . "\r\n", 431, qr/headers are too large/ ],
	[ 'too many', $healthz . join('', map { "X$_: y\r\n" } 1 .. 3000) . "\r\n", 431, qr/too many/ ],
	[ 'too many cookies', "${healthz}Cookie: " . ('a=b;' x 1500) . "\r\n\r\n", 431, qr/too many/ ],
	[ 'too many parameters', 'GET /healthz?' . ('a&' x 3000) . " HTTP/1.1\r\n$host\r\n\r\n", 431, qr/too many/ ],
	[ 'a path that is too long', 'GET /' . ('x' x 30000) . " HTTP/1.1\r\n$host\r\n\r\n", 414, qr/too long/ ],
	[ 'a header without a colon', "${healthz}X y\r\n\r\n", 400, qr/not well formed/ ], [ 'one without a name', "$healthz: y\r\n\r\n", 400, qr/not well formed/ ],
	[ 'a blank before the colon', "${healthz}X : y\r\n\r\n", 400, qr/not well formed/ ], [ 'a header in two lines', "${healthz}X: y\r\n z\r\n\r\n", 400, qr/not well formed/ ],
	[ 'a zero byte in a header', "${healthz}X: \0\r\n\r\n", 400, qr/not well formed/ ], [ 'a carriage return', "${healthz}X: y\rz\r\n\r\n", 400, qr/carriage/ ],
	[ 'a negative length', "${send}Content-Length: -1\r\n\r\n{}", 400, qr/Content-Length/ ], [ 'a length that is none', "${send}Content-Length: 2x\r\n\r\n{}", 400, qr/Content-Length/ ],
	[ 'an empty length', "${send}Content-Length:\r\n\r\n", 400, qr/Content-Length/ ],
	[ 'a length beyond all bounds', "${send}Content-Length: " . ('9' x 30) . "\r\n\r\n", 413, qr/too large/ ])
{
	my ($name, $bytes, $status, $detail) = @$case;
	my $half = int(length($bytes) / 2);

	is_problem([ bytes($bytes) ], $status, $detail, "head: $name");
	is_problem([ pieces(substr($bytes, 0, 3), substr($bytes, 3, 20), substr($bytes, 23)) ], $status, $detail, '... in pieces') if $half < 10000 && $half > 12;
}
# These by every request.
foreach my $case (
	[ 'no Host', "GET /healthz HTTP/1.1\r\n\r\n", 400, qr/Host/ ], [ 'Host twice', "${healthz}$host\r\n\r\n", 400, qr/Host/ ],
	[ 'two lengths', "${send}Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}", 400, qr/twice/ ],
	[ 'the first of them 0', "${healthz}Content-Length: 0\r\nContent-Length: 20\r\n\r\n", 400, qr/twice/ ],
	[ 'a length and chunks', "${send}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, qr/twice/ ],
	[ 'an encoding that is not known', "${send}Transfer-Encoding: gzip, chunked\r\n\r\n{}", 501, qr/chunked/ ],
	[ 'too many headers', $healthz . join('', map { "X$_: y\r\n" } 1 .. 110) . "\r\n", 431, qr/too many/ ],
	[ 'headers that are too large', $healthz . join('', map { "X$_: " . ('x' x 7000) . "\r\n" } 1 .. 3) . "\r\n", 431, qr/headers are too large/ ],
	[ 'a path that is too long', 'GET /' . ('x' x 9000) . " HTTP/1.1\r\n$host\r\n\r\n", 414, qr/too long/ ])
{
	my ($name, $bytes, $status, $detail) = @$case;

	is_problem([ bytes($bytes) ], $status, $detail, "head: $name");
	is_problem([ later($bytes) ], $status, $detail, '... of a later request');
}
foreach my $case ([ "${healthz}X: " . ('x' x 100000) . "\r\n\r\n", 431, qr/too large/ ],
	[ 'GET /' . ('x' x 100000) . " HTTP/1.1\r\n$host\r\n\r\n", 414, qr/too long/ ],
	[ "${healthz}X y\r\n\r\n", 400, qr/well-formed/ ], [ "${send}Content-Length: 2x\r\n\r\n{}", 400, qr/well-formed/ ],
	[ "${send}Content-Length: " . ('9' x 30) . "\r\n\r\n", 413, qr/too large/ ],
	[ "GET /healthz HTTP/9.9\r\n$host\r\n\r\n", 505, qr{HTTP/1\.1} ], [ "${send}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400, qr/well-formed/ ])
{
	my ($bytes, $status, $detail) = @$case;

	is_problem([ later($bytes) ], $status, $detail, "a later request that the library refuses: $status " . substr($bytes, 0, 10));
}
is((bytes("${healthz}X: " . ('x' x 7900) . "\r\nY: " . ('x' x 7900) . "\r\n\r\n"))[0], 200, 'as large as it may be');
is((later($healthz . join('', map { "X$_: y\r\n" } 1 .. 98) . "\r\n"))[0], 200, 'as many as there may be');
is((pieces(map { $_ } split(//, "\r\nGET /healthz HTTP/1.0\r\n\r\n")))[0], 200, 'a byte at a time');
{
	my $socket = raw_open($server);

	print $socket 'GET /hea';
	shutdown($socket, 1);
	my ($headers, $body) = split(/\r\n\r\n/, raw_read($socket), 2);
	is_problem([ $headers =~ /^HTTP\/1\.1 (\d+)/, $body, $headers ], 400, qr/ends before/, 'a request that ends before its headers');
	like($headers, qr/^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r?$/m, '... has a date');
}
like((curl("$server->{url}/metrics"))[1], qr/^baton_http_requests_total\{[^}]*(?:431[^}]*)\} [1-9]/m, 'they are counted');
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
