# What it would catch: a route that doesn't do what the table says, answers with another status,
# or tells another thing than the database knows; a change of a queue that is lost on the way.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Test::More;

my $node = baton_node('routes');
my $server = serve();
my $token = token('all', '--scopes', 'send,receive,inspect,manage');
my ($status, $body, $headers);

sub request { return api($server, $token, @_); }

# ---- the service ----

($status, $body) = curl("$server->{url}/healthz");
is($status, 200, 'healthz, without a token');
($status, $body) = curl("$server->{url}/readyz");
is($status, 200, 'readyz, without a token');
($status, $body, $headers) = curl('-I', "$server->{url}/healthz");
is($status, 200, 'HEAD');
like($headers, qr/^Cache-Control: no-store\r$/m, 'nothing is to be cached');

# ---- queues ----

($status, $body) = request('GET', '/v1/queues');
is($status, 200, 'list');
is_deeply($body, { queues => [] }, '... empty');
($status, $body) = request('POST', '/v1/queues', { name => 'q', max_attempts => 3, lease => '40 s' });
is($status, 201, 'create');
is_deeply($body, { name => 'q' }, '... its name');
is($node->safe_psql('postgres', q{select max_attempts, lease, max_crashes from baton.queue where name = 'q'}),
	'3|00:00:40|5', '... as asked, the rest by default');
is_problem([ request('POST', '/v1/queues', { name => 'q' }) ], 409, qr/already exists/, 'create again');
($status) = request('POST', '/v1/queues', { name => 'q', if_not_exists => JSON::PP::true });
is($status, 201, '... if it does not exist');
is_problem([ request('POST', '/v1/queues', { name => 'r', max_attempts => 0 }) ], 400, undef, 'a policy that is wrong');
is_problem([ request('POST', '/v1/queues', { name => 'r', backoff => 'soon' }) ], 400, qr/interval/, 'a time that is none');
is_problem([ request('POST', '/v1/queues', { name => 'r', max_attempts => '3' }) ], 400, qr/must be a number/, 'a string for a number');
is_problem([ request('POST', '/v1/queues', { name => 'r', colour => 'red' }) ], 400, qr/no field "colour"/, 'a field that is not known');
is_problem([ request('POST', '/v1/queues', {}) ], 400, qr/"name" is missing/, 'no name');
is_problem([ request('POST', '/v1/queues', { name => undef }) ], 400, qr/"name" must be/, 'null for a name');
is_problem([ request('POST', '/v1/queues', { name => '' }) ], 400, undef, 'an empty name');
is($node->safe_psql('postgres', q{select count(*) from baton.queue}), 1, 'none of these made a queue');

($status, $body) = request('GET', '/v1/queues/q');
is($status, 200, 'one queue');
is($body->{max_attempts}, 3, '... its policy');
is_problem([ request('GET', '/v1/queues/nope') ], 404, qr/"nope" does not exist/, 'one that is not there');
($status, $body) = request('PATCH', '/v1/queues/q', { max_attempts => 7, backoff => 2.5, retention => '3 days' });
is($status, 204, 'alter');
is($node->safe_psql('postgres', q{select max_attempts, backoff, lease, retention from baton.queue where name = 'q'}),
	'7|00:00:02.5|00:00:40|3 days', '... what was asked, and nothing else');
is_problem([ request('PATCH', '/v1/queues/nope', { max_attempts => 7 }) ], 404, qr/does not exist/, 'alter one that is not there');
is_problem([ request('PATCH', '/v1/queues/q', { name => 'x' }) ], 400, qr/no field "name"/, 'a name can not be altered');

# ---- messages ----

($status, $body) = request('POST', '/v1/queues/q/messages', { payload => { to => 'ann' }, headers => { a => 1 }, priority => 2 },
	'-H', 'traceparent: 00-abc-def-01', '-H', 'baggage: k="v"');
is($status, 201, 'send');
my $id = $body->{id};
like($id, qr/^\d+$/, '... the id');
($status, $body) = request('POST', '/v1/queues/q/messages', [ map { { payload => $_ } } 1 .. 3 ]);
is($status, 201, 'send an array');
is(scalar @{ $body->{ids} }, 3, '... ids');
my $number = '123456789012345678901234567890.123456789012345678901';
($status, $body) = request('POST', '/v1/queues/q/messages', qq({"payload": $number}));
is($node->safe_psql('postgres', "select payload from baton.message where id = $body->{id}"), $number, 'a number keeps all its digits');
is_problem([ request('POST', '/v1/queues/nope/messages', { payload => 1 }) ], 404, qr/does not exist/, 'to no queue');
is_problem([ request('POST', '/v1/queues/q/messages', { payload => 1, priority => 10 }) ], 400, undef, 'a priority that is too high');
is_problem([ request('POST', '/v1/queues/q/messages', { payload => 1, priority => 1.5 }) ], 400, undef, '... or broken');
is_problem([ request('POST', '/v1/queues/q/messages', [ { payload => 1 }, { pyload => 2 } ]) ], 400, qr/"pyload", in element 2/, 'an element that is wrong');
is_problem([ request('POST', '/v1/queues/q/messages', []) ], 400, qr/empty/, 'an empty array');
is_problem([ request('POST', '/v1/queues/q/messages', '3') ], 400, qr/neither/, 'a number');
is_problem([ request('POST', '/v1/queues/q/messages', '') ], 400, qr/JSON/, 'nothing');
is_problem([ request('POST', '/v1/queues/q/messages', { payload => 1, delay => '1 s', deliver_at => '2030-01-01' }) ], 400, undef, 'delay and deliver_at');
is($node->safe_psql('postgres', q{select count(*) from baton.message}), 5, 'none of these was sent');

($status, $body) = request('POST', '/v1/queues/q/receive?max=10&lease=30%20s');
is($status, 200, 'receive');
my @messages = @{ $body->{messages} };
is(scalar @messages, 5, '... all of them');
is($messages[0]{id}, $id, '... the highest priority first');
is_deeply($messages[0]{payload}, { to => 'ann' }, '... its payload');
is_deeply($messages[0]{headers}, { a => 1, traceparent => '00-abc-def-01', baggage => 'k="v"' }, '... its headers, with those of the request');
is($messages[0]{attempt}, 1, '... its attempt');
($status, $body) = request('POST', '/v1/queues/q/receive');
is_deeply($body, { messages => [] }, 'receive where there is nothing');
is_problem([ request('POST', '/v1/queues/nope/receive') ], 404, qr/does not exist/, 'receive from no queue');
is_problem([ request('POST', '/v1/queues/nope/receive?wait=5') ], 404, qr/does not exist/, '... and wait');
foreach my $query ('max=0', 'max=1001', 'max=x', 'max=1e3', 'wait=-1', 'wait=61', 'max=1&max=2', 'colour=red', 'max=%zz', 'max', '=1')
{
	is_problem([ request('POST', "/v1/queues/q/receive?$query") ], 400, undef, "receive?$query");
}
is_problem([ request('POST', '/v1/queues/q/receive?lease=-5') ], 400, undef, 'a lease that is wrong');

# ---- claims ----

($status, $body) = request('POST', "/v1/claims/$messages[0]{receipt}/extend", { lease => '10 min' });
is($status, 200, 'extend');
like($body->{lease_until}, qr/^20/, '... until when');
($status, $body) = request('POST', "/v1/claims/$messages[0]{receipt}/complete", { result => { ok => JSON::PP::true } });
is($status, 204, 'complete');
is_problem([ request('POST', "/v1/claims/$messages[0]{receipt}/complete") ], 409, qr/no longer claimed/, 'complete again');
($status, $body) = request('POST', "/v1/claims/$messages[1]{receipt}/complete");
is($status, 204, 'complete without a result');
($status, $body) = request('POST', "/v1/claims/$messages[2]{receipt}/fail", { error => 'no', retry_in => '1 h' });
is($status, 200, 'fail');
like($body->{retry_at}, qr/^20/, '... when it is tried again');
($status, $body) = request('POST', "/v1/claims/$messages[3]{receipt}/fail", { error => 'never', retry => JSON::PP::false });
is_deeply($body, { retry_at => undef }, 'fail for good');
($status, $body) = request('POST', "/v1/claims/$messages[4]{receipt}/release", { delay => '1 h' });
is($status, 204, 'release');
is_problem([ request('POST', '/v1/claims/nonsense/complete') ], 400, qr/malformed receipt/, 'what is no receipt');
is_problem([ request('POST', "/v1/claims/$messages[0]{receipt}/fail") ], 400, qr/body is missing/, 'fail without an error');
is_problem([ request('POST', "/v1/claims/$messages[0]{receipt}/extend", {}) ], 400, qr/"lease" is missing/, 'extend without a lease');

($status, $body) = request('GET', "/v1/queues/q/messages/$id");
is($status, 200, 'a message');
is($body->{status}, 'completed', '... its status');
is_deeply($body->{result}, { ok => JSON::PP::true }, '... its result');
is_deeply([ map { $_->{action} } @{ $body->{history} } ], ['completed'], '... its history');
is_problem([ request('GET', '/v1/queues/q/messages/999999999') ], 404, qr/no message/, 'one that is not there');
is_problem([ request('GET', '/v1/queues/nope/messages/1') ], 404, qr/does not exist/, '... in no queue');
is_problem([ request('GET', '/v1/queues/q/messages/x') ], 400, undef, '... what is no number');
is_problem([ request('GET', '/v1/queues/q/messages/99999999999999999999') ], 400, undef, '... a number too long');

# ---- pause, stats, drop ----

is((request('POST', '/v1/queues/q/pause'))[0], 204, 'pause');
request('POST', '/v1/queues/q/messages', { payload => 'later' });
($status, $body) = request('POST', '/v1/queues/q/receive');
is_deeply($body, { messages => [] }, '... nothing is received');
is((request('POST', '/v1/queues/q/resume'))[0], 204, 'resume');
($status, $body) = request('POST', '/v1/queues/q/receive');
is($body->{messages}[0]{payload}, 'later', '... and it goes on');
($status, $body) = request('GET', '/v1/stats');
is($status, 200, 'stats');
is($body->{queues}{count}, 1, '... of queues');
is($body->{queues}{sent}, 6, '... of messages');
ok((grep { $_->{item} eq 'keeper' } @{ $body->{health} }), '... of health');
request('POST', '/v1/queues/q/messages', { payload => 'gone' });
is((request('POST', '/v1/queues/q/purge'))[0], 204, 'purge');
($status, $body) = request('POST', '/v1/queues/q/receive');
is_deeply($body, { messages => [] }, '... nothing is left');
is((request('DELETE', '/v1/queues/q'))[0], 204, 'drop');
is_problem([ request('DELETE', '/v1/queues/q') ], 404, qr/does not exist/, 'drop again');

# ---- what is not there ----

is_problem([ request('GET', '/') ], 404, undef, 'the root');
is_problem([ request('GET', '/v1/nope') ], 404, undef, 'no such path');
foreach my $case ([ 'PUT', '/v1/queues', 'GET, HEAD, POST' ], [ 'POST', '/v1/queues/q', 'GET, HEAD, PATCH, DELETE' ],
	[ 'GET', '/v1/queues/q/receive', 'POST' ], [ 'FROBNICATE', '/healthz', 'GET, HEAD' ])
{
	my ($method, $path, $allow) = @$case;
	($status, $body, $headers) = request($method, $path);
	is_problem([ $status, $body, $headers ], 405, undef, "$method $path");
	like($headers, qr/^Allow: \Q$allow\E\r?$/m, '... says what is allowed');
}

is(stop_baton($server, 'TERM'), 0, 'it ends in good order');
done_testing();
