# What it would catch: traceparent and baggage that don't come out as they went in, or not at each attempt; a
# message that is given the trace of another one, or of the worker.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use JSON::PP;
use Test::More;

my $node   = baton_node('trace');
my $parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
my $bag    = 'userId=alice,server%20node=a;p=1;q="\\x"';
my @trace  = ('--header', "traceparent=$parent", '-H', "baggage=$bag", '-H', 'tracestate=v=1');
my ($code, $out, $err);

baton('queue', 'create', 'q', '--backoff', '1 ms', '--backoff-max', '5 ms');

# From sender to receiver.
($code, $out, $err) = baton('send', 'q', '1', @trace, '--headers', '{"other": [1]}');
is($code, 0, 'headers by name, beside those in JSON') or diag($err);
($code, $out) = baton('receive', 'q', '--json', '--complete');
is_deeply(decode_json($out)->{headers},
	{ traceparent => $parent, baggage => $bag, tracestate => 'v=1', other => [1] },
	'come out as they went in');
baton_in("1\n2\n", 'send', 'q', '-', @trace);
($code, $out) = baton('receive', 'q', '-n', '2', '--complete');
is_deeply([ map { decode_json($_)->{headers}{traceparent} } split(/\n/, $out) ], [ $parent, $parent ],
	'of each line, too');
baton('send', 'q', '1', '-H', 'a=1', '-H', "a=b=\xe9\n\"");
($code, $out) = baton('receive', 'q', '--complete');
is_deeply(decode_json($out)->{headers}, { a => "b=\x{fffd}\n\"" }, 'any value; the last one of a name counts');
foreach my $bad ('novalue', '=x')
{
	($code, $out, $err) = baton('send', 'q', '1', '--header', $bad);
	is($code, 2, "--header $bad");
	like($err, qr/--header takes NAME=VALUE, not "\Q$bad\E"/, '... is said');
}

# To the command of a worker, at each attempt.
my $show = q(printf '%s\n' "$TRACEPARENT|$BAGGAGE|$TRACESTATE|$BATON_HEADERS" >&2; test $BATON_ATTEMPT = 2);
my $id = (baton('send', 'q', '1', @trace))[1];
my $worker = start_baton('work', 'q', '-e', $show);
ok(wait_sql($node, "select status from baton.message where id = $id", 'completed', $worker), 'tried twice');
stop_baton($worker, 'TERM');
like($node->safe_psql('postgres', "select detail ->> 'error' from baton.queue_log where message_id = $id and action = 'failed'"),
	qr/\Q: $parent|$bag|v=1|\E\{.*"traceparent": "\Q$parent\E".*\}$/, 'the command has them in its environment');
my $second = q(printf '%s\n' "$TRACEPARENT|$BAGGAGE|$TRACESTATE");
$id = (baton('send', 'q', '1', @trace))[1];
$worker = start_baton('work', 'q', '-e', "test \$BATON_ATTEMPT = 2 && $second");
ok(wait_sql($node, "select status from baton.message where id = $id", 'completed', $worker), 'after a failure');
stop_baton($worker, 'TERM');
is($node->safe_psql('postgres', "select result ->> 'output' from baton.message where id = $id"), "$parent|$bag|v=1",
	'... it has them again');

# One that has none gets none.
$id = (baton('send', 'q', '1'))[1];
{
	local $ENV{TRACEPARENT} = 'of the worker';
	local $ENV{BAGGAGE} = 'of the worker';
	$worker = start_baton('work', 'q', '-e', $second);
	ok(wait_sql($node, "select status from baton.message where id = $id", 'completed', $worker), 'a message without');
	stop_baton($worker, 'TERM');
}
is($node->safe_psql('postgres', "select result ->> 'output' from baton.message where id = $id"), '||',
	'... has not the worker\'s');

done_testing();
