# What it would catch: a server that is told to encrypt and doesn't, takes old versions of TLS, or shows
# another certificate than it was given; one that starts without what it needs.

use strict;
use warnings;

use FindBin;
use IPC::Run;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('tls');
my $dir = PostgreSQL::Test::Utils::tempdir();
my ($cert, $key) = ("$dir/cert.pem", "$dir/key.pem");

system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
	'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', $key, '-out', $cert);
my $server = serve('--tls-cert', $cert, '--tls-key', $key);
like($server->{url}, qr/^https:/, 'it says that it is HTTPS');
my $token = token('all', '--scopes', 'send,receive,inspect,manage');
my @tls = ('--cacert', $cert);

is((curl(@tls, "$server->{url}/healthz"))[0], 200, 'with the certificate it was given');
is((curl("$server->{url}/healthz"))[0], 0, '... which nobody trusts otherwise');
is((curl("http://127.0.0.1:$server->{port}/healthz"))[0], 0, 'not without TLS');
is((curl(@tls, '--tls-max', '1.1', '--ciphers', 'DEFAULT@SECLEVEL=0', "$server->{url}/healthz"))[0], 0, 'not by TLS 1.1');
is((curl(@tls, '--tlsv1.2', '--tls-max', '1.2', "$server->{url}/healthz"))[0], 200, 'by TLS 1.2');
is((curl(@tls, '--tlsv1.3', "$server->{url}/healthz"))[0], 200, 'by TLS 1.3');

sub request { return api($server, $token, @_, @tls); }
is((api($server, $token, 'POST', '/v1/queues', { name => 'q' }, @tls))[0], 201, 'a queue');
my $large = 'x' x 100000;
is((api($server, $token, 'POST', '/v1/queues/q/messages', { payload => $large }, @tls))[0], 201, 'a large message');
my $answer = (api($server, $token, 'POST', '/v1/queues/q/receive', undef, @tls))[1];
is($answer->{messages}[0]{payload}, $large, '... comes back whole');
my $poll = start_curl(@tls, '-X', 'POST', '-H', "Authorization: Bearer $token", "$server->{url}/v1/queues/q/receive?wait=60");
wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton serve: wait' and state = 'active'}, 1);
api($server, $token, 'POST', '/v1/queues/q/messages', { payload => 'woken' }, @tls);
like((curl_answer($poll))[1], qr/"woken"/, 'a request that waits');
# Bytes that are no TLS.
raw($server, "GET / HTTP/1.1\r\n\r\n");
is((curl(@tls, "$server->{url}/readyz"))[0], 200, 'it is well after what is no TLS');

# What isn't as it should be has a problem document, here too.
sub bytes
{
	my ($bytes) = @_;
	my $got = '';

	PostgreSQL::Test::Utils::append_to_file("$dir/bytes", $bytes);
	IPC::Run::run([ 'sh', '-c', "exec openssl s_client -quiet -CAfile '$cert' -connect 127.0.0.1:$server->{port} < '$dir/bytes'" ],
		'>', \$got, '2>', \my $noise, IPC::Run::timeout(180));
	unlink("$dir/bytes");
	my ($headers, $body) = split(/\r\n\r\n/, $got, 2);
	return ($got =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0, $body, $headers);
}
my $start = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
my $send = "POST /v1/queues/q/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $token\r\nContent-Type: application/json\r\n";
foreach my $case (
	[ 'a line', "hello there world\r\n\r\n", 400 ], [ 'a header without a colon', "${start}X y\r\n\r\n", 400 ],
	[ 'a length that is none', "${send}Content-Length: 2x\r\n\r\n{}", 400 ], [ 'a length beyond all bounds', "${send}Content-Length: " . ('9' x 30) . "\r\n\r\n", 413 ],
	[ 'another HTTP', "GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", 505 ],
	[ 'a large header', "${start}X: " . ('x' x 30000) . "\r\n\r\n", 431 ],
	[ 'too many', $start . join('', map { "X$_: y\r\n" } 1 .. 3000) . "\r\n", 431 ],
	[ 'a path that is too long', 'GET /' . ('x' x 30000) . " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414 ],
	[ 'no Host', "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400 ],
	[ 'a chunk without a length', "${send}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400 ],
	[ 'a body that is too large', "${send}Content-Length: 99999999999\r\n\r\n", 413 ])
{
	my ($name, $bytes, $status) = @$case;

	is_problem([ bytes($bytes) ], $status, undef, "over TLS: $name");
}
is($node->safe_psql('postgres', 'select count(*) from baton.message'), 2, 'nothing of it was sent');
is((curl(@tls, "$server->{url}/readyz"))[0], 200, 'it is well after all that');
is(stop_baton($server, 'TERM'), 0, 'it ends in good order');

foreach my $case ([ "$dir/none", $key, qr/could not read/ ], [ $key, $key, qr/certificate and key/ ])
{
	my ($code, $out, $err) = baton('serve', '--listen', '127.0.0.1:0', '--tls-cert', $case->[0], '--tls-key', $case->[1]);
	isnt($code, 0, 'a certificate that is none');
	like($err, $case->[2], '... is named');
}

done_testing();
