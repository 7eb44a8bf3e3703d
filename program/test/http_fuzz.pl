# What it would catch: bytes that make the program read or write where it mustn't, hang, leave a
# request unanswered, answer a wrong one by anything but a problem document, or send what nobody
# asked for.  Inputs are made from samples by a generator with a fixed seed (BATON_TEST_SEED for
# others), so a failure can be had again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Test::More;

my $seed = $ENV{BATON_TEST_SEED} || 42;

# ---- what decodes, alone ----

SKIP:
{
	skip 'not built: make fuzz', 1 unless $ENV{BATON_FUZZ} && -x $ENV{BATON_FUZZ};
	my ($out, $err) = ('', '');
	IPC::Run::run([ $ENV{BATON_FUZZ}, $seed, 200000 ], '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	is("$? $out", "0 200000 inputs\n", 'paths, queries and bodies') or diag($err);
}

# ---- all of it ----

my $node = baton_node('fuzz');
my $server = serve('--local-user', '--max-body', 20000);

$node->safe_psql('postgres', q{select baton.create_queue('q')});
my $length = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length:";
my $body = '{"payload": {"n": 1}, "key": "k", "delay": "5 s"}';
my @samples = (
	"GET /v1/queues/q/messages/1?x=%41&y HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer baton_x\r\n\r\n",
	"POST /v1/queues/q/messages HTTP/1.1\r\n$length " . length($body) . "\r\nIdempotency-Key: k\r\ntraceparent: 00-1-2-3\r\n\r\n$body",
	"POST /v1/queues/q/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"payload\": 100}\r\n2\r\n\n\n\r\n0\r\n\r\n",
	"POST /v1/queues/q/receive?max=3&wait=0&lease=5%20min HTTP/1.1\r\n$length 0\r\n\r\n",
	"POST /v1/claims/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/fail HTTP/1.1\r\n$length 14\r\n\r\n{\"error\": \"x\"}",
	"PATCH /v1/queues/q HTTP/1.1\r\n$length 19\r\nExpect: 100-continue\r\n\r\n{\"max_attempts\": 9}");
my @bytes = ("\r\n", "\r", "\n", "\0", '%', '/', '..', '?', '&', '=', '{', '}', '[', ']', '"', '\\', ':', ' ', "\xff", "\xc0\xaf", '-1', '99999999999999999999', 'x' x 200);

# A generator of our own: rand's depends on the system.
my $state = $seed;
sub draw { my ($below) = @_; $state = ($state * 1103515245 + 12345) % 2**31; return int($state / 65536) % $below; }

sub changed
{
	my ($sample) = @_;
	foreach (0 .. draw(4))
	{
		my $at = draw(length $sample);
		my $what = draw(4);
		if ($what == 0) { substr($sample, $at, 1) = chr(draw(256)); }
		elsif ($what == 1) { substr($sample, $at, 1 + draw(8)) = ''; }
		else { substr($sample, $at, 0) = $bytes[ draw(scalar @bytes) ]; }
		$sample = 'G' if $sample eq '';
	}
	return $sample;
}

my ($tries, $odd, $strange, $answered) = (1000, 0, 0, 0);
foreach my $n (1 .. $tries)
{
	my $input = changed($samples[ draw(scalar @samples) ]);
	my $socket = raw_open($server);

	local $SIG{PIPE} = 'IGNORE';
	print $socket $input;
	# What isn't a whole request gets no answer: it isn't waited for.
	my $got = raw_read($socket, qr/\r\n\r\n/, 0.2);
	$odd++ or diag("$n: $input\n-> $got") unless $got eq '' || $got =~ m{^HTTP/1\.1 [1-5]\d\d };
	# Wrong chunks are the library's.
	$strange++ or diag("$n: $input\n-> $got")
	  if $got =~ m{^HTTP/1\.1 [45]} && $got !~ m{^Content-Type: application/problem\+json\r?$}mi && $input !~ /chunked/i;
	$answered++ if $got ne '';
}
cmp_ok($answered, '>', $tries / 3, "$answered of $tries requests are answered");
is($odd, 0, '... by HTTP');
is($strange, 0, '... errors by problem documents');
is((curl("$server->{url}/readyz"))[0], 200, 'it is well');
is($node->safe_psql('postgres', q{select count(*) from baton.queue}), 1, 'no queue was made or dropped');
is($node->safe_psql('postgres', q{select count(*) from pg_stat_activity where application_name = 'baton serve' and state <> 'idle'}), 0,
	'nothing is left open') if wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton serve' and state <> 'idle'}, 0);
is(stop_baton($server, 'TERM'), 0, 'it ends in good order') or diag($server->{err});

done_testing();
