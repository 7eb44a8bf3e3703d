# What it would catch: a request without a token, or with one that is unknown, expired, revoked, of
# another scope or for other queues, that does anything; a token that can be read in the database.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Test::More;

my $node = baton_node('tokens');
my $server = serve();
my ($code, $out, $err, $status, $body, $headers);

sub count { return $node->safe_psql('postgres', 'select count(*) from baton.message'); }

$node->safe_psql('postgres', q{select baton.create_queue('mine'), baton.create_queue('yours')});

# ---- the commands ----

($code, $out, $err) = baton('token', 'create', 'all', '--scopes', 'send,receive,inspect,manage');
is($code, 0, 'token create');
like($out, qr/^baton_[A-Za-z0-9_-]{43}\n$/, '... prints it, 256 bits');
chomp(my $all = $out);
is($node->safe_psql('postgres', q{select count(*) from baton.token where hash = sha256(convert_to('} . $all . q{', 'UTF8'))}), 1,
	'the database has its SHA-256');
unlike($node->safe_psql('postgres', 'select t::text from baton.token t'), qr/\Q$all\E/, '... and not itself');
($code, $out, $err) = baton('token', 'create', 'all', '--scopes', 'send');
is($code, 1, 'a name twice');
($code, $out, $err) = baton('token', 'create', 'x', '--scopes', 'send,fly');
is($code, 2, 'a scope that is none');
($code, $out, $err) = baton('token', 'create', 'x');
is($code, 2, 'no scope');
my %token = map { $_ => token($_, '--scopes', $_) } qw(send receive inspect manage);
my $mine = token('mine', '--scopes', 'send,receive,inspect,manage', '--queues', 'mine');
my $short = token('short', '--scopes', 'inspect', '--expires-in', '1 s');
my $past = token('past', '--scopes', 'inspect', '--expires-in', '-1 s');
($code, $out) = baton('token', 'list');
like($out, qr/^mine +send,receive,inspect,manage +mine /m, 'token list');
unlike($out, qr/baton_/, '... without the tokens');
($code, $out) = baton('token', 'list', '--json');
like($out, qr/"name": "mine"/, '... as JSON');
unlike($out, qr/hash/, '... without the hashes');

# ---- none, unknown, wrong ----

is_problem([ api($server, undef, 'GET', '/v1/queues') ], 401, undef, 'no token');
($status, $body, $headers) = api($server, undef, 'GET', '/v1/queues');
like($headers, qr/^WWW-Authenticate: Bearer/mi, '... says which kind');
is_problem([ api($server, 'baton_' . ('A' x 43), 'GET', '/v1/queues') ], 401, undef, 'one that is unknown');
is_problem([ api($server, substr($all, 0, -1), 'GET', '/v1/queues') ], 401, undef, 'one that is cut off');
is_problem([ api($server, '', 'GET', '/v1/queues') ], 401, undef, 'an empty one');
is_problem([ api($server, "\xff\x01", 'GET', '/v1/queues') ], 401, undef, 'bytes');
is_problem([ api($server, undef, 'GET', '/v1/queues', undef, '-H', "Authorization: Basic $all") ], 401, undef, 'another kind');
is_problem([ api($server, undef, 'GET', '/v1/queues', undef, '-H', "Authorization: $all") ], 401, undef, 'no kind');
is_problem([ api($server, $past, 'GET', '/v1/queues') ], 401, undef, 'one that has expired');
is_problem([ api($server, undef, 'POST', '/v1/queues/mine/messages', { payload => 1 }) ], 401, undef, 'send without one');
is_problem([ api($server, 'baton_x', 'POST', '/v1/queues/mine/messages', { payload => 'x' x 100000 }) ], 401, undef, 'send much with a wrong one');
is_problem([ api($server, undef, 'GET', '/v1/nope') ], 404, undef, 'what is not there needs none');
is(count(), 0, 'nothing was sent');

# ---- scopes ----

my %routes = (
	send => [ 'POST', '/v1/queues/mine/messages', { payload => 1 } ],
	receive => [ 'POST', '/v1/queues/mine/receive' ],
	inspect => [ 'GET', '/v1/queues/mine' ],
	manage => [ 'POST', '/v1/queues/mine/resume' ]);
foreach my $scope (sort keys %routes)
{
	foreach my $other (sort keys %token)
	{
		my ($method, $path, $content) = @{ $routes{$scope} };
		my @answer = api($server, $token{$other}, $method, $path, $content);

		if ($other eq $scope) { like($answer[0], qr/^20/, "$scope with $other"); }
		else { is_problem(\@answer, 403, qr/may not do that/, "$scope with $other"); }
	}
}
is(count(), 1, 'one was sent');

# ---- queues ----

api($server, $all, 'POST', '/v1/queues/yours/messages', [ { payload => 'secret' }, { payload => 'secret' } ]);
my ($receipt, $second) = map { $_->{receipt} } @{ (api($server, $all, 'POST', '/v1/queues/yours/receive?max=2'))[1]{messages} };
foreach my $case ([ 'POST', '/v1/queues/yours/messages', { payload => 1 } ], [ 'POST', '/v1/queues/yours/receive' ],
	[ 'GET', '/v1/queues/yours' ], [ 'DELETE', '/v1/queues/yours' ], [ 'PATCH', '/v1/queues/yours', { max_attempts => 1 } ],
	[ 'POST', '/v1/queues/yours/pause' ], [ 'POST', '/v1/queues', { name => 'yours2' } ], [ 'GET', '/v1/queues/yours/messages/1' ],
	[ 'POST', "/v1/claims/$receipt/complete" ], [ 'POST', "/v1/claims/$receipt/fail", { error => 'x' } ],
	[ 'POST', "/v1/claims/$receipt/release" ], [ 'POST', "/v1/claims/$receipt/extend", { lease => 1 } ],
	[ 'GET', '/v1/queues/%79ours' ])
{
	my ($method, $path, $content) = @$case;
	is_problem([ api($server, $mine, $method, $path, $content) ], 403, qr/not for this queue/, "of another queue: $method $path");
}
is((api($server, $all, 'POST', "/v1/claims/$receipt/complete"))[0], 204, 'the claim is still there');
is_problem([ api($server, $mine, 'POST', "/v1/claims/$receipt/complete") ], 409, undef, 'one that is lost is lost for all');
($status, $body) = api($server, $mine, 'GET', '/v1/queues');
is_deeply([ map { $_->{name} } @{ $body->{queues} } ], ['mine'], 'the list has only its own');
($status, $body) = api($server, $mine, 'GET', '/v1/stats');
is($body->{queues}{sent}, 1, 'the sums too');
($status, $body) = api($server, $mine, 'POST', '/v1/queues/mine/messages', { payload => 1 });
is($status, 201, 'its own queue');
($status, $body) = api($server, $mine, 'POST', '/v1/queues/mine/receive');
is((api($server, $mine, 'POST', "/v1/claims/$body->{messages}[0]{receipt}/complete"))[0], 204, '... and its own claim');

# ---- the end of a token ----

ok(wait_until('it expires', sub { return (api($server, $short, 'GET', '/v1/queues'))[0] == 401; }), 'one expires while it is used');
is((api($server, $all, 'GET', '/v1/queues'))[0], 200, 'a token');
($code) = baton('token', 'revoke', 'all');
is($code, 0, 'token revoke');
ok(wait_until('it is revoked', sub { return (api($server, $all, 'GET', '/v1/queues'))[0] == 401; }), '... and it is refused');
($code) = baton('token', 'revoke', 'all');
is($code, 1, 'revoke again');
stop_baton($server, 'TERM');

# ---- this machine's own user ----

$server = serve('--local-user');
is((api($server, undef, 'GET', '/v1/queues'))[0], 200, 'the own user needs none');
is_problem([ api($server, 'baton_x', 'GET', '/v1/queues') ], 401, undef, '... but a wrong one is wrong');
is_problem([ api($server, undef, 'GET', '/v1/queues', undef, '-H', 'Host: evil.example') ], 401, undef, 'by a name that leads here');
is_problem([ api($server, undef, 'GET', '/v1/queues', undef, '-H', 'Host: localhost.evil.example') ], 401, undef, '... a longer one');
is_problem([ api($server, undef, 'POST', '/v1/queues/mine/receive', undef, '-H', 'Origin: http://evil.example') ], 401, undef, 'a page in a browser');
is_problem([ api($server, undef, 'POST', '/v1/queues/mine/receive', undef, '-H', 'Origin: null') ], 401, undef, '... of no origin');
stop_baton($server, 'TERM');
foreach my $case ([ [ '--listen', '0.0.0.0:0' ], qr/unencrypted/ ], [ [ '--listen', '[::]:0' ], qr/unencrypted/ ],
	[ [ '--listen', '0.0.0.0:0', '--insecure-listen', '--local-user' ], qr/loopback only/ ],
	[ [ '--tls-cert', 'x' ], qr/go together/ ], [ [ '--listen', 'nohost.invalid:1' ], qr/nohost/ ])
{
	my ($options, $pattern) = @$case;
	($code, $out, $err) = baton('serve', @$options);
	is($code, 2, "serve @$options");
	like($err, $pattern, '... and says why');
}

done_testing();
