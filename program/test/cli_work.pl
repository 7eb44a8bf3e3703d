# What it would catch: a result or an error that is not what the command wrote; a payload
# that doesn't arrive whole; more commands at a time than asked for, or fewer.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('work');
my $dir  = PostgreSQL::Test::Utils::tempdir();
my ($code, $out, $err);

# Sends a payload, has it worked by a command until it is done, and returns a column.
my $queues = 0;

sub work_one
{
	my ($column, $payload, @options) = @_;
	my $queue = 'q' . ++$queues;

	baton('queue', 'create', $queue, '--max-attempts', '1');
	baton('send', $queue, $payload, '--key', 'the key', '--headers', '{"trace": "t1"}',
		'--priority', '3');
	my $worker = start_baton('work', $queue, @options);
	wait_sql($node, "select count(*) from baton.message where queue = '$queue'
		and status in ('completed', 'dead')", 1, $worker);
	is(stop_baton($worker, 'TERM'), 0, "$options[1]: the worker ends well") or diag($worker->{err});
	return $node->safe_psql('postgres', "select $column from baton.message where queue = '$queue'");
}

# Results.
is(work_one('status, result', '1', '-e', q(echo '{"success": true}')),
	'completed|{"success": true}', 'JSON is the result');
is(work_one('result', '1', '-e', 'echo 42'), '42', 'a number is JSON');
is(work_one('result', '1', '-e', 'echo 12345678901234567890123'), '12345678901234567890123',
	'... a large one is kept exactly');
is(work_one('result', '1', '-e', 'echo done, no trouble'), '{"output": "done, no trouble"}',
	'text is wrapped');
is(work_one('result', '1', '-e', q(printf 'two\nlines "q" \\\\\n')),
	'{"output": "two\nlines \"q\" \\\\"}', '... whatever is in it');
is(work_one('coalesce(result::text, $$nothing$$)', '1', '-e', 'true'), 'nothing',
	'nothing is no result');
is(work_one('result', '1', '-e', q(printf 'a\377b')), "{\"output\": \"a\xef\xbf\xbdb\"}",
	'what is not UTF-8 is replaced');
is(work_one('result', '1', '-e', q(printf '"\\\\u0000"')), '{"output": "\"\\\\u0000\""}',
	'JSON that jsonb can\'t hold is text');
is(work_one(q{length(result ->> 'output') || ' ' || (result ->> 'truncated')}, '1', '-e',
		'head -c 3000000 /dev/zero | tr "\0" x', '--max-output', '1000'), '1000 true',
	'a long output is cut, and says so');

# Errors.
is(work_one('status, error', '1', '-e', 'echo boom >&2; exit 3'),
	'dead|exit status 3: boom', 'exit status and standard error');
is(work_one('error', '1', '-e', 'echo out; exit 1'), 'exit status 1',
	'what went to standard output is no error');
is(work_one('error', '1', '-e', 'kill -9 $$'), 'killed by signal 9 (Killed)', 'a signal');
like(work_one('error', '1', '-e', 'seq 1 20000 >&2; exit 1'),
	qr/^exit status 1: \.\.\.[\s\S]{3000,4200}\n20000$/, 'the tail of a long standard error');
like(work_one('error', '1', '--', '/nonexistent/program'),
	qr{^exit status 127: could not run "/nonexistent/program": No such file}, 'no such program');
like(work_one('error', '1', '-e', 'exec tail -f /dev/null', '--timeout', '200ms'),
	qr/^killed: it took more than 0\.2 seconds$/, 'a command that takes too long');

# What the command gets.
is(work_one('result', '{"to": "you"}', '-e', 'cat'), '{"to": "you"}', 'the payload');
is(work_one('result', '"caf\u00e9 \"x\""', '--', 'sh', '-c', 'cat; echo', 'ignored'),
	"\"caf\xc3\xa9 \\\"x\\\"\"", '... JSON, also for a program without a shell');
is(work_one('result', '"a file"', '--text', '-e', 'IFS= read -r f; echo "<$f>"'),
	'{"output": "<a file>"}', '... as bare text');
is(work_one('result', '{"a": 1}', '--text', '-e', 'cat'), '{"a": 1}', '... if it is a string');
my $large = '"' . ('x' x 120_000) . '"';	# more than a pipe holds
baton('queue', 'create', 'large');
my $queue_file = "$dir/large";
append_to_file($queue_file, "\"" . ('x' x 500_000) . "\"\n");
baton('send', 'large', '--file', $queue_file);
my $worker = start_baton('work', 'large', '-e', 'wc -c');
ok(wait_sql($node, q{select result from baton.message where queue = 'large'}, 500_003, $worker),
	'a large payload arrives whole');
is(stop_baton($worker, 'TERM'), 0, '... the worker ends well');
is(work_one('result', $large, '-e', 'exec true'), '', 'a command may ignore the payload');
is(work_one('result', '1', '-e', q(env | grep ^BATON_ | grep -v -e _ID -e _SENT_AT | sort | tr '\n' ' ')),
	"{\"output\": \"BATON_ATTEMPT=1 BATON_HEADERS={\\\"trace\\\": \\\"t1\\\"} BATON_KEY=the key "
	  . "BATON_PRIORITY=3 BATON_QUEUE=q$queues \"}", 'variables');
is(work_one('(result = to_jsonb(id))', '1', '-e', 'echo $BATON_MESSAGE_ID'), 't', '... the id');

# What a command leaves behind ends with it, and doesn't keep the message.
is(work_one(q{result ->> 'output'}, '1', '-e', "tail -f /dev/null & echo \$! >$dir/left; echo done"),
	'done', 'a command that leaves something running');
chomp(my $left = slurp("$dir/left"));
ok(wait_until('it ends', sub { !alive($left) }), '... which ends with it');

# A failure is tried again; the next attempt knows its number.
baton('queue', 'create', 'again', '--backoff', '1 ms', '--backoff-max', '5 ms');
baton('send', 'again', '1');
$worker = start_baton('work', 'again', '-v', '-e', 'test $BATON_ATTEMPT = 3');
ok(wait_sql($node, q{select status, attempt from baton.message where queue = 'again'},
		'completed|3', $worker), 'tried until it succeeds');
is(stop_baton($worker, 'TERM'), 0, '... the worker ends well');
is(() = $worker->{err} =~ / warning event=failed .* error="exit status 1"/g, 2, '... two failures logged');
like($worker->{err}, qr/ info event=claimed_again queue=again message_id=\d+ attempt=3\n/, '... and the third attempt');
like($worker->{err}, qr/ event=stopped queue=again completed=1 failed=2 released=0 lost=0\n/, '... and the sum');

# As many commands at a time as asked for, and no more.
baton('queue', 'create', 'many');
baton_in(join('', map { "$_\n" } 1 .. 7), 'send', 'many', '-');
mkdir("$dir/gate");
system('mkfifo', map { "$dir/gate/$_" } 1 .. 7);
$worker = start_baton('work', 'many', '-c', '3', '-e',
	"read n; touch $dir/started.\$n; read x <$dir/gate/\$n");
my %open;

sub started { return grep { -e "$dir/started.$_" } 1 .. 7; }

foreach my $round (1 .. 5)
{
	wait_until('three run', sub { return started() == $round + 2; }, $worker);
	is($node->safe_psql('postgres', q{select count(*) from baton.in_flight where queue = 'many'}), 3,
		'three at a time');
	my ($n) = grep { !$open{$_} } started();
	append_to_file("$dir/gate/$n", "go\n");
	$open{$n} = 1;
	wait_sql($node, q{select count(*) from baton.message where queue = 'many' and status = 'completed'},
		$round, $worker);
}
append_to_file("$dir/gate/$_", "go\n") foreach grep { !$open{$_} } 1 .. 7;
ok(wait_sql($node, q{select count(*) from baton.message where queue = 'many' and status = 'completed'},
		7, $worker), 'all are done');
is(stop_baton($worker, 'TERM'), 0, 'the worker ends well');

# Many, fast, by several workers: each exactly once.
baton('queue', 'create', 'fast');
baton_in(join('', map { "$_\n" } 1 .. 600), 'send', 'fast', '-');
my @workers = map { start_baton('work', 'fast', '-q', '-c', '4', '-e', "cat >>$dir/ledger.$_") } 1 .. 3;
ok(wait_sql($node, q{select count(*) from baton.message where queue = 'fast' and status = 'completed'},
		600, @workers), 'all of many are done');
is(stop_baton($_, 'TERM'), 0, 'a worker ends well') foreach @workers;
my @ledger = sort { $a <=> $b } split(/\n/, join('', map { slurp("$dir/ledger.$_") } 1 .. 3));
is_deeply(\@ledger, [ 1 .. 600 ], '... each once');

# A role that may do no more than send and receive.
$node->safe_psql('postgres', 'create role plain login; grant usage on schema baton to plain');
baton('queue', 'create', 'plain');
my @plain = ('-d', 'user=plain dbname=postgres');
baton('send', 'plain', '1', @plain);
$worker = start_baton('work', 'plain', '-e', 'true', @plain);
ok(wait_sql($node, q{select status from baton.message where queue = 'plain'}, 'completed', $worker),
	'a role that may not look at queues can work');
is(stop_baton($worker, 'TERM'), 0, '... the worker ends well');
($code, $out, $err) = baton('queue', 'create', 'more', @plain);
is($code, 1, '... and no more than that');
like($err, qr/permission denied .*\(42501\)/, '... with SQLSTATE');

is($node->safe_psql('postgres', q{select ok from baton.health where item like '%other sessions%'}), 't',
	'no worker settles by another session than the one that claimed');

# What won't get better ends it.
($code, $out, $err) = baton('work', 'nope', '-e', 'true');
is($code, 1, 'no such queue');
like($err, qr/queue "nope" does not exist/, '... is named');
$worker = start_baton('work', 'fast', '-e', 'true');
wait_until('it works', sub { $worker->{err} =~ /event=started/ }, $worker);
baton('queue', 'drop', 'fast');
is(stop_baton($worker), 1, 'a queue that is dropped ends its worker');
like($worker->{err}, qr/\(42704\)/, '... with SQLSTATE');

done_testing();
