# What it would catch: a line of the log that a value breaks, so that what collects it chokes or is deceived; a
# command whose --json is not JSON.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use JSON::PP;
use Test::More;

my $node = baton_node('json');
my $odd  = qq{a "q" \\ '\n\t,{}\x7f caf\xc3\xa9};
my ($code, $out, $err);

# Each line, decoded strictly; dies where one is not JSON.
sub lines { return map { JSON::PP->new->utf8->decode($_) } split(/\n/, $_[0]); }

sub events
{
	my ($event, $text) = @_;
	return grep { $_->{event} eq $event } lines($text);
}

# The log of a worker.
baton('queue', 'create', $odd, '--backoff', '1 ms', '--backoff-max', '5 ms');
my $id = (baton('send', $odd, '1'))[1];
chomp($id);
my $worker = start_baton('work', $odd, '--log-format', 'json', '-v', '--json', '-e',
	q(printf 'bad \377\302 "x" \\\\ \001\033[31m\n two\t' >&2; test $BATON_ATTEMPT = 3));
ok(wait_sql($node, "select status from baton.message where id = $id", 'completed', $worker), 'worked');
is(stop_baton($worker, 'TERM'), 0, 'the worker ends well');
my ($failed) = events('failed', $worker->{err});
is($failed->{queue}, "a \"q\" \\ '\n\t,{}\x7f caf\x{e9}", 'any name of a queue');
is($failed->{message_id}, $id, '... the message');
is($failed->{attempt}, 1, '... the attempt');
is($failed->{level}, 'warning', '... the level');
like($failed->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, '... the time');
is($failed->{error}, "exit status 1: bad \x{fffd}\x{fffd} \"x\" \\ \001\033[31m\n two", '... and any error');
is(scalar(events('claimed', $worker->{err})) + scalar(events('claimed_again', $worker->{err})), 3,
	'an event a line');
is_deeply([ lines($worker->{out}) ], [ { completed => 1, failed => 2, released => 0, lost => 0 } ],
	'what became of the messages');

# Errors of the program.
($code, $out, $err) = baton('queue', '-d', "host=/nonexistent\xff dbname=x", '--log-format=json');
is($code, 3, 'no connection');
my ($error) = events('error', $err);
like($error->{message}, qr/^connection to server .*nonexistent\x{fffd}/, '... as JSON');
($code, $out, $err) = baton('send', 'nope', '1', '--log-format=json');
($error) = events('error', $err);
is("$error->{sqlstate} $error->{message}", '42704 queue "nope" does not exist', 'an error of the server');
ok($error->{hint}, '... with its hint');
($code, $out, $err) = baton_in("1\n{x}\n", 'send', $odd, '-', '--log-format=json');
is($code, 5, 'a line that can\'t be sent');
is(join(' ', map { $_->{event} } lines($err)), 'said error said', '... as JSON');
($code, $out, $err) = baton('queue', '--log-format', 'xml');
is($code, 2, 'no such format');

# As text a line is a line, too.
my $text = start_baton('work', $odd, '-v', '-e', q(printf 'a\377\nb' >&2; exit 1));
$id = (baton('send', $odd, '1'))[1];
ok(wait_sql($node, "select failures > 0 from baton.message where id = $id", 't', $text), 'failed');
stop_baton($text, 'TERM');
my ($line) = $text->{err} =~ /^(.* event=failed .*)$/m;
like($line, qr/ queue="a \\"q\\" \\\\ '\\n\\t,\{\}\x7f caf\xc3\xa9" message_id=\d+ attempt=\d+ ms=\d+ error="exit status 1: a\xef\xbf\xbd\\nb"$/,
	'text: no value breaks a line');

# Every command that prints data.
baton('queue', 'create', 'q');
foreach my $case (
	[ 'queue', '--json' ],
	[ 'send', 'q', '1', '--json' ],
	[ 'receive', 'q', '--json', '--complete' ],
	[ 'log', '--json' ])
{
	($code, $out, $err) = baton(@$case);
	my @got = eval { lines($out) };
	ok($code == 0 && @got > 0, "baton @$case") or diag("$code $out $err");
}
($code, $out) = baton_in("1\n2\n", 'send', 'q', '-', '--json');
is_deeply([ lines($out) ], [ { sent => 2 } ], 'lines that were sent');

done_testing();
