# What it would catch: a request that waits and doesn't get the message that came for it, gets it
# out of turn, or keeps it though its client has gone; a wait that covers only the queues that
# were there when it began; a stop, a lost connection or a restart of PostgreSQL that leaves
# requests hanging or loses messages.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;

my $node = baton_node('polls');
my $server = serve('--local-user');
my ($status, $body);

sub sql { return $node->safe_psql('postgres', @_); }
sub request { return api($server, undef, @_); }
sub send_to { my ($queue, $payload) = @_; return (request('POST', "/v1/queues/$queue/messages", { payload => $payload }))[1]{id}; }

# A request on a socket of its own, so that a client can go away at any moment.
sub poll
{
	my ($queue, $query) = @_;
	my $socket = raw_open($server);

	print $socket "POST /v1/queues/$queue/receive?" . ($query || 'wait=60') . " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
	return $socket;
}

sub answer { my ($socket, $seconds) = @_; return raw_read($socket, qr/"messages": \[.*\]\}|"status": \d/s, $seconds); }
sub payload_of { my ($text) = @_; return $text =~ /"payload":([^,]*),/ ? $1 : $text; }

# What was sent before has been taken up: one thread, one request after the other.
sub settle { curl("$server->{url}/healthz") foreach 1 .. 2; }

sub waits
{
	return wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton serve: wait' and state = 'active'}, 1);
}

sql("select baton.create_queue(format('q%s', i)) from generate_series(0, 99) i");

# ---- one after the other ----

my $first = poll('q1');
settle();
my $second = poll('q1');
settle();
waits();
send_to('q1', 'one');
is(payload_of(answer($first)), '"one"', 'who came first gets the first');
send_to('q1', 'two');
is(payload_of(answer($second)), '"two"', '... and the second the second');
is(sql(q{select delivered, in_flight from baton.queue where name = 'q1'}), '2|2', 'each was delivered once');

# Another lease, another number, in the same line.
$first = poll('q2', 'wait=60&max=2&lease=1%20h');
settle();
$second = poll('q2', 'wait=60&max=5');
settle();
request('POST', '/v1/queues/q2/messages', [ map { { payload => $_ } } 1 .. 3 ]);
is(scalar(() = answer($first) =~ /"receipt"/g), 2, 'as many as it wants');
is(scalar(() = answer($second) =~ /"receipt"/g), 1, '... the next one has the rest');
is(sql(q{select count(*) from baton.in_flight where lease_until > now() + interval '50 min'}), 2, '... each with its own lease');

# On one connection, one request after the other.
foreach my $n (1 .. 3)
{
	send_to('q3', $n);
	print $first "POST /v1/queues/q3/receive?wait=60 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
	is(payload_of(answer($first)), $n, "a connection is kept ($n)");
}

# ---- the end of a wait ----

($status, $body) = request('POST', '/v1/queues/q4/receive?wait=1');
is_deeply($body, { messages => [] }, 'a wait ends with nothing');

# ---- many queues ----

my %polls = map { my $q = $_; ($q => [ map { poll("q$q") } 1 .. 3 ]) } 0, 10 .. 99;
settle();
is(sql(q{select count(*) from pg_stat_activity where application_name like 'baton serve%'}), 9, 'nine connections for all of them');
request('POST', "/v1/queues/q$_/messages", [ { payload => "$_" }, { payload => "$_" } ]) foreach 0, 10 .. 99;
send_to("q$_", "$_") foreach 0, 10 .. 99;
my @wrong = grep { my $q = $_; grep { payload_of(answer($_)) ne "\"$q\"" } @{ $polls{$q} } } sort keys %polls;
is("@wrong", '', '273 requests for 91 queues get one each, of their own');
%polls = ();

# ---- clients that go away ----

$first = poll('q5');
settle();
waits();
close($first);
settle();
$second = poll('q5');
settle();
send_to('q5', 'five');
is(payload_of(answer($second)), '"five"', 'a client that has gone away takes nothing');
is(sql(q{select delivered from baton.queue where name = 'q5'}), 1, '... not even for a moment');

# Gone while its claim is made, by a reset or in good order: what can't be given to it comes back, long
# before the lease ends.  The claim is held up by a lock.
request('POST', '/v1/queues/q6/messages', [ map { { payload => $_ } } 1 .. 4 ]);
my $holder = $node->background_psql('postgres');
foreach my $reset (1, 0)
{
	$holder->query_safe('begin; lock table baton.message_log in access exclusive mode');
	my $socket = poll('q6', 'max=2');
	ok(wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton serve' and wait_event_type = 'Lock'}, 1), 'a claim is under way');
	setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('II', 1, 0)) if $reset;
	close($socket);
	settle();
	$holder->query_safe('rollback');
	ok(wait_sql($node, q{select ready, in_flight, delivered > 0 from baton.queue where name = 'q6'}, '4|0|t'), 'what nobody is there to take is given back');
}
$holder->quit;

# ---- connections to PostgreSQL that are lost ----

sub end_connections
{
	my ($which) = @_;
	sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = '$which'");
}

$first = poll('q7');
settle();
waits();
end_connections('baton serve: wait');
send_to('q7', 'seven');
is(payload_of(answer($first)), '"seven"', 'the connection that waits is lost: a request gets its message all the same');
end_connections('baton serve');
ok(wait_until('it is back', sub { return (request('POST', '/v1/queues/q8/messages', { payload => 8 }))[0] == 201; }, $server),
	'the others are lost: they come back');

my @asleep = map { poll("q$_") } 20 .. 29;
settle();
waits();
$node->stop('immediate');
ok(wait_until('it says so', sub { return (curl("$server->{url}/readyz"))[0] == 503; }, $server), 'PostgreSQL is away: not ready');
my @answer = request('POST', '/v1/queues/q9/messages', { payload => 9 });
is_problem(\@answer, 503, undef, 'a request');
like($answer[2], qr/^Retry-After: \d+\r?$/m, '... is told to come again');
is_problem([ request('POST', '/v1/queues/q9/receive?wait=60') ], 503, undef, 'one that would wait too');
is((curl("$server->{url}/healthz"))[0], 200, 'the program itself is well');
$node->start;
ok(wait_until('it is back', sub { return (curl("$server->{url}/readyz"))[0] == 200; }, $server), 'PostgreSQL is back: ready');
is((request('POST', '/v1/queues/q9/messages', { payload => 9 }))[0], 201, '... and it goes on');
$first = poll('q9');
is(payload_of(answer($first)), 9, '... with receiving too');
my @unanswered = grep { answer($_, 5) !~ /503|"messages"/ } @asleep[0 .. 2];
foreach my $n (20 .. 29) { send_to("q$n", "$n"); }
@unanswered = grep { answer($_) !~ /"status": 503|"payload":"\d+"/ } @asleep[3 .. 9];
is(scalar @unanswered, 0, 'who waited meanwhile was told, or goes on waiting');

# ---- a graceful stop ----

$first = poll('q4');
settle();
my $blocker = $node->background_psql('postgres');
$blocker->query_safe(q{begin; select baton.create_queue('slow')});
my $slow = start_curl('--json', '{"name": "slow"}', "$server->{url}/v1/queues");
ok(wait_sql($node, q{select count(*) from pg_stat_activity where wait_event = 'transactionid'}, 1), 'a request is under way');
signal_baton($server, 'TERM');
like(answer($first), qr/200 OK.*"messages": \[\]/s, 'SIGTERM: who waits gets an empty answer');
ok(wait_until('it is closed', sub { return !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->{port}); }, $server),
	'... nothing new is taken');
$blocker->query_safe('rollback');
is((curl_answer($slow))[0], 201, '... what is under way is finished');
is(stop_baton($server), 0, '... and it ends');
$blocker->quit;
is(sql(q{select count(*) from baton.queue where name = 'slow'}), 1, '... the queue was made');

# ---- more for one queue than one claim is for ----

# Forbids: claims without end, as those at the end of the line are never counted in.  No wait begins then.
$server = serve('--local-user');
sql(q{select baton.create_queue('crowd')});
my @crowd = map { poll('crowd', $_ > 300 ? 'wait=60&lease=1%20h' : 'wait=60') } 1 .. 450;
settle();
ok(waits(), '450 requests for a queue: it is waited for');
my $last = poll('crowd', 'wait=0');
is(answer($last) =~ /"messages": \[\]/ ? 1 : 0, 1, '... one that does not wait, behind them, is answered');
ok(waits(), '... and it is waited for again');
send_to('crowd', 'one');
is(payload_of(answer($crowd[0])), '"one"', '... the first gets a message');
ok(waits(), '... and for the others it is waited');
request('POST', '/v1/queues/crowd/messages', [ map { { payload => $_ } } 1 .. 449 ]);
is(join(' ', map { payload_of(answer($_)) } @crowd[1 .. 449]), join(' ', 1 .. 449), '... all get theirs, in the order of the line');
stop_baton($server, 'TERM');

done_testing();
