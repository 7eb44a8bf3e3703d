# What it would catch: metrics shown to who may not see them; a server that says nothing when its
# database is away, just when somebody wants to know; requests that aren't counted, or by the path
# they named, so that everybody can make as many series as he likes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonMetrics;
use BatonProgram;
use Test::More;

my $node = baton_node('http_metrics');
my ($status, $body, $headers);

baton('queue', 'create', 'mail');
my $server = serve();
my %token = (
	inspect => token('prometheus', '--scopes', 'inspect'),
	other => token('other', '--scopes', 'send,receive,manage'),
	one => token('one', '--scopes', 'inspect', '--queues', 'mail'));

# Who may read.
is_problem([ curl("$server->{url}/metrics") ], 401, qr/token is needed/, 'nobody without a token');
is_problem([ api($server, 'baton_wrong', 'GET', '/metrics') ], 401, qr/not known/, '... or with a wrong one');
is_problem([ api($server, $token{other}, 'GET', '/metrics') ], 403, qr/may not/, '... or for something else');
is_problem([ api($server, $token{one}, 'GET', '/metrics') ], 403, qr/all queues/, '... or for one queue');
is_problem([ api($server, $token{inspect}, 'POST', '/metrics') ], 405, undef, 'it is there to be read');
($status, $body, $headers) = api($server, $token{inspect}, 'GET', '/metrics');
is($status, 200, 'who may inspect');
like($headers, qr{^content-type: text/plain; version=0\.0\.4; charset=utf-8\r$}mi, '... gets the text');
my ($ok, $said) = promtool($body, 'check', 'metrics');
ok($ok, 'promtool check metrics') or diag($said);
is($said, '', '... has nothing to say');

# All there is, and what baton metrics prints is the same but for the server's own.
my %documented = documented();
my $metrics = parse_metrics($body);
is_deeply($metrics->{types}, \%documented, 'exported as documented');
my %seen = map { family($metrics, $_) => 1 } keys %{ $metrics->{values} };
is(join(' ', grep { /^baton_http/ && !$seen{$_} } sort keys %documented), '',
	'each of the server\'s own has a value');

# Requests are counted, by route.
sub now
{
	my ($name, $labels) = @_;
	my $text = (api($server, $token{inspect}, 'GET', '/metrics'))[1];

	return parse_metrics($text)->{values}{"$name\{$labels\}"} // 0;
}

my $route = 'method="POST",route="/v1/queues/{queue}/messages"';
is(now('baton_http_requests_total', "$route,code=\"201\""), 0, 'nothing sent yet');
api($server, $token{other}, 'POST', '/v1/queues/mail/messages', { payload => $_ }) foreach 1 .. 3;
api($server, $token{other}, 'POST', "/v1/queues/none$_/messages", { payload => 1 }) foreach 1 .. 2;
is(now('baton_http_requests_total', "$route,code=\"201\""), 3, 'three sent');
is(now('baton_http_requests_total', "$route,code=\"404\""), 2, '... two to no queue');
is(now('baton_http_request_seconds_count', $route), 5, '... and how long they took');
is(now('baton_http_request_seconds_bucket', "$route,le=\"+Inf\""), 5, '... by bucket');
my $before = now('baton_http_requests_total', 'method="",route="",code="404"');
curl("$server->{url}/nothing/$_") foreach 1 .. 3;
is(now('baton_http_requests_total', 'method="",route="",code="404"'), $before + 3,
	'paths that are none have one series together');
is(now('baton_messages_sent_total', 'queue="mail"'), 3, 'the queue counts too');

# One that waits is in progress.
my $waiting = start_curl('-X', 'POST', '-H', "Authorization: Bearer $token{other}",
	"$server->{url}/v1/queues/mail/receive?max=10&wait=0");
curl_answer($waiting);
$waiting = start_curl('-X', 'POST', '-H', "Authorization: Bearer $token{other}",
	"$server->{url}/v1/queues/mail/receive?wait=60");
ok( wait_until('a poll waits',
		sub {
			my $text = (api($server, $token{inspect}, 'GET', '/metrics'))[1];
			return parse_metrics($text)->{values}{baton_http_requests_in_progress} == 2;
		}),
	'a long poll is in progress');

# The database is away: that is told to who needs no token, as tokens are in the database.
my $own = serve('--local-user');

sub own_metrics
{
	($status, $body) = curl("$own->{url}/metrics");
	return $status == 200 ? parse_metrics($body) : undef;
}

is(own_metrics()->{values}{baton_up}, 1, 'this machine\'s own user needs no token there');
$node->stop('immediate');
ok(wait_until('it is told', sub { $metrics = own_metrics(); return $metrics && !$metrics->{values}{baton_up}; }),
	'without the database: baton_up 0');
is_deeply($metrics->{types}, \%documented, '... with all the types');
ok(!(grep { /^baton_(?:queue|messages|window)/ } keys %{ $metrics->{values} }), '... and no stale value');
ok(wait_until('no answer', sub { return (api($server, $token{inspect}, 'GET', '/metrics'))[0] == 503; }),
	'a token can\'t be looked up then');
$node->start;
ok(wait_until('it is back', sub { $metrics = own_metrics(); return $metrics && $metrics->{values}{baton_up}; }),
	'and when it is back');

is(stop_baton($_, 'TERM'), 0, 'a clean end') foreach $server, $own;

done_testing();
