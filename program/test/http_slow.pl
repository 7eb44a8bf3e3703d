# What it would catch: a client that stops in the middle of a request, or ends there, and isn't told so by the right
# status and a problem document; one that is closed before its time, or never; half a request that is done.

use strict;
use warnings;

use FindBin;
use IO::Socket::SSL ();
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Socket ();
use Test::More;

plan skip_all => 'needs the program whose clock can be moved' unless $ENV{BATON_SANITIZED};

my $node = baton_node('slow');
my $dir = PostgreSQL::Test::Utils::tempdir();
my ($cert, $key) = ("$dir/cert.pem", "$dir/key.pem");

system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', $key, '-out', $cert);
$node->safe_psql('postgres', q{select baton.create_queue('q')});
my $token = token('all', '--scopes', 'send,inspect');

# ---- the clock ----

my $moved = 0;

open(my $clock, '+>', "$dir/clock") or die $!;
move_clock(0);
$ENV{BATON_TEST_CLOCK} = "$dir/clock";

sub move_clock
{
	my ($seconds) = @_;

	$moved += $seconds * 1_000_000;
	sysseek($clock, 0, 0);
	syswrite($clock, pack('q', $moved));
}

# The server looks at it when something happens.  What came before this has been read then.
sub others_are_served
{
	my ($server, $name) = @_;

	is((curl('-k', "$server->{url}/healthz"))[0], 200, $name);
}

# ---- clients ----

my $host = 'Host: localhost';
my $healthz = "GET /healthz HTTP/1.1\r\n$host\r\n\r\n";
my $send = "POST /v1/queues/q/messages HTTP/1.1\r\n$host\r\nAuthorization: Bearer $token\r\n";
my $json = $send . "Content-Type: application/json\r\n";
my $lines = $send . "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{\"payload\": 1}\n\r\n";
my $bare = serve();
my $safe = serve('--tls-cert', $cert, '--tls-key', $key);

# A connection on which this has been said, as the first request or as the second one.
sub client
{
	my ($server, $first, $bytes) = @_;
	my $socket = $server == $bare ? raw_open($server)
	  : IO::Socket::SSL->new(PeerAddr => "127.0.0.1:$server->{port}", SSL_ca_file => $cert, SSL_verifycn_scheme => 'none')
	  || die "no TLS: $IO::Socket::SSL::SSL_ERROR";

	# What is written has come, then.
	setsockopt($socket, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
	if (!$first)
	{
		syswrite($socket, $healthz);
		like(read_all($socket, qr/\}\n/), qr{^HTTP/1\.1 200 }, 'a request');
	}
	syswrite($socket, $bytes) if length $bytes;
	return $socket;
}

# Until the pattern, or the end.
sub read_all
{
	my ($socket, $pattern) = @_;
	my $got = '';

	local $SIG{ALRM} = sub { die 'the server neither answers nor closes' };
	alarm($patience);
	while (!($pattern && $got =~ $pattern) && sysread($socket, $got, 65536, length $got)) { }
	alarm(0);
	return $got;
}

# The one answer to the end, or none.
my %told;

sub is_last
{
	my ($socket, $status, $words, $name) = @_;
	my $got = read_all($socket);

	return is($got, '', $name) if !$status;
	$told{$status}++;
	my ($headers, $body) = split(/\r\n\r\n/, $got, 2);
	is_problem([ $got =~ m{^HTTP/1\.1 (\d+)}, $body, $headers ], $status, $words, $name);
}

# ---- slow ones ----

# What came, after how many seconds it is over with it as a first request and as a later one, status, words.
foreach my $case (
	[ 'nothing', '', 30, 75, 0 ], [ 'a part of a line', 'GET /hea', 30, 75, 408, qr/headers did not come/ ],
	[ 'a part of the headers', "GET /healthz HTTP/1.1\r\nHos", 30, 75, 408, qr/headers did not come/ ],
	[ 'a part of a body', "${json}Content-Length: 100\r\n\r\n{\"payload\"", 60, 60, 408, qr/body did not come/ ],
	[ 'nothing of it', "${json}Content-Length: 100\r\n\r\n", 60, 60, 408, qr/body did not come/ ],
	[ 'a part of a chunk', "${json}Transfer-Encoding: chunked\r\n\r\n9\r\n{\"pay", 60, 60, 408, qr/body did not come/ ],
	[ 'some lines', $lines, 600, 600, 408, qr/body did not come/ ],
	[ 'lines of which one is wrong', "${lines}4\r\n{x}\n\r\n", 60, 60, 400, qr/line 2 is wrong/ ])
{
	my ($what, $bytes, $first, $later, $status, $words) = @$case;

	foreach my $server ($bare, $safe)
	{
		foreach my $seconds ($first, -$later)
		{
			my $name = ($server == $safe ? 'with' : 'without') . ' TLS, ' . ($seconds > 0 ? 'first' : 'later') . " request: $what";
			my $socket = client($server, $seconds > 0, $bytes);
			my $readable = '';

			others_are_served($server, "$name: others are served");
			move_clock(abs($seconds) - 10);
			others_are_served($server, '... also long after');
			vec($readable, fileno($socket), 1) = 1;
			ok(!select($readable, undef, undef, 0) || $server == $safe, '... it may be slow');
			move_clock(20);
			others_are_served($server, '... and after its time');
			is_last($socket, $status, $words, $status ? '... it is told' : '... it is closed');
		}
	}
}

# ---- half-open ones ----

foreach my $case (
	[ 'a part of a line', 'GET /hea', qr/ends before|well-formed/ ], [ 'a line without a blank', "nonsense\r\n\r\n", qr/not HTTP|well-formed/ ],
	[ 'a part of the headers', "GET /healthz HTTP/1.1\r\nHos", qr/ends before|well-formed/ ],
	[ 'a part of a body', "${json}Content-Length: 100\r\n\r\n{\"payload\"", qr/ends before its body/ ],
	[ 'a part of a chunk', "${json}Transfer-Encoding: chunked\r\n\r\n9\r\n{\"pay", qr/ends before its body/ ],
	[ 'some lines', $lines, qr/ends before its body/ ])
{
	my ($what, $bytes, $words) = @$case;

	# The end comes with the bytes, or after them.
	foreach my $how ([ 1, 0 ], [ 0, 0 ], [ 1, 1 ], [ 0, 1 ])
	{
		my ($first, $after) = @$how;
		my $socket = client($bare, $first, $bytes);

		others_are_served($bare, 'it has been read') if $after;
		shutdown($socket, 1);
		is_last($socket, 400, $words, "after $what there is no more, " . ($first ? 'first' : 'later') . ' request: it is told');
	}
}
# A whole request has its answer, whether more would come or not.
foreach my $first (1, 0)
{
	foreach my $case ([ $healthz, 200 ], [ $json =~ s{queues/q/}{queues/none/}r . "Content-Length: 14\r\n\r\n{\"payload\": 1}", 404 ])
	{
		my $socket = client($bare, $first, $case->[0]);

		shutdown($socket, 1);
		like(read_all($socket), qr{^HTTP/1\.1 $case->[1] (?!.*HTTP)}s, 'a whole request, and no more');
		$told{404}++ if $case->[1] == 404;
	}
}
foreach my $first (1, 0)
{
	is_last(client($safe, $first, "nonsense\r\n\r\n"), 400, qr/well-formed/, 'a line without a blank, with TLS');
	foreach my $case ([ 'GET /hea', qr/well-formed/ ], [ "${json}Content-Length: 100\r\n\r\n{\"payload\"", qr/ends before its body/ ])
	{
		my $socket = client($safe, $first, $case->[0]);

		Net::SSLeay::shutdown($socket->_get_ssl_object);	# its half
		is_last($socket, 400, $case->[1], '... and an end in the middle');
	}
}
foreach my $first (1, 0)
{
	my $socket = client($bare, $first, '');

	shutdown($socket, 1);
	is_last($socket, 0, undef, 'who ends between requests is told nothing');
	close(client($safe, $first, ''));
}

# ---- afterwards ----

my %counted;
foreach my $server ($bare, $safe)
{
	my $metrics = (curl('-k', '-H', "Authorization: Bearer $token", "$server->{url}/metrics"))[1];

	$counted{$1} += $2 while $metrics =~ /^baton_http_requests_total\{.*"(4\d\d)".*\} (\d+)$/mg;
}
is_deeply(\%counted, \%told, 'each is counted once');
is($node->safe_psql('postgres', 'select count(*) from baton.message'), 0, 'nothing of it was sent');
is($node->safe_psql('postgres', q{select count(*) from pg_stat_activity where application_name = 'baton serve' and state like 'idle in%'}), 0,
	'... and no stream is open');
is(stop_baton($_, 'TERM'), 0, 'it ends in good order') foreach $bare, $safe;

done_testing();
