# What it would catch: a bad line that loses or doubles its neighbours, or is named by a
# wrong number; a pipe whose lines wait for a batch to be full; text that isn't kept.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('send');
my ($code, $out, $err);

sub sent
{
	my ($queue) = @_;
	return $node->safe_psql('postgres',
		"select string_agg(payload::text, ' ' order by id) from baton.message where queue = '$queue'");
}

baton('queue', 'create', $_) foreach qw(one lines bad bad2 atomic text live options);

# One payload.
($code, $out) = baton('send', 'one', '{"to": "you"}');
is($code, 0, 'one payload');
like($out, qr/^\d+\n$/, '... prints its id');
is($node->safe_psql('postgres', "select payload from baton.message where id = $out"),
	'{"to": "you"}', '... and is there');
($code, $out, $err) = baton('send', 'one', '{"to"');
is($code, 1, 'not JSON');
like($err, qr/invalid input syntax for type json \(22P02\)/, '... the server says so');
like($err, qr/^detail: /m, '... with its detail');
($code, $out, $err) = baton('send', 'nope', '1');
is($code, 1, 'no such queue');
like($err, qr/\(42704\)\n/, '... with SQLSTATE');
like($err, qr/^hint: /m, '... and a hint');

# Lines.
($code, $out) = baton_in("1\n\n  \n\"two\"\r\n{\"n\": 3}", 'send', 'lines', '-');
is($code, 0, 'lines');
is($out, "3 sent\n", '... how many');
is(sent('lines'), '1 "two" {"n": 3}', '... in order, without blank ones');
my $file = PostgreSQL::Test::Utils::tempdir() . '/lines';
append_to_file($file, join('', map { "$_\n" } 1 .. 2500));
($code, $out) = baton('send', 'lines', '--file', $file, '--batch', '1000');
is($out, "2500 sent\n", 'a file');
is($node->safe_psql('postgres', "select count(*), sum(payload::text::int) from baton.message
	where queue = 'lines' and jsonb_typeof(payload) = 'number' and payload::text::int > 1"),
	'2499|' . (2500 * 2501 / 2 - 1), '... whole');
($code, $out, $err) = baton('send', 'lines', '--file', '/nonexistent');
is($code, 5, 'a file that is not there');

# A line that can't be sent: nothing of its batch, all of those before.
($code, $out, $err) = baton_in("1\n2\n3\n4\n{x}\n6\n7\n", 'send', 'bad', '-', '--batch', '2');
is($code, 5, 'a bad line');
like($err, qr/^baton: line 5 can't be sent\n/, '... its number');
like($err, qr/invalid input syntax for type json/, '... why');
like($err, qr/^The 4 messages of the batches before were sent\.$/m, '... what is there');
is(sent('bad'), '1 2 3 4', '... and so it is');
($code, $out, $err) = baton_in("1\n2\n\"\\u0000\"\n", 'send', 'bad2', '-');
is($code, 5, 'JSON that jsonb can\'t hold');
like($err, qr/line 3 can't/, '... its number');
is(sent('bad2'), '', '... and nothing is there');
($code, $out, $err) = baton_in("1\n\"\0\"\n", 'send', 'bad2', '-');
is($code, 5, 'a zero byte');
($code, $out, $err) = baton_in("1\n\"\xff\"\n", 'send', 'bad2', '-');
is($code, 5, 'not UTF-8');
like($err, qr/line 2 can't.*\n.*\(22021\)/, '... its number and SQLSTATE');
append_to_file("$file.large", "1\n2\n\"" . ('x' x 1_100_000) . "\"\n3\n");
($code, $out, $err) = baton('send', 'bad2', '--file', "$file.large");
is($code, 5, 'too large');
like($err, qr/line 3 can't.*\n.*\(54000\)/, '... its number and SQLSTATE');
is(sent('bad2'), '', '... and nothing of it all is there');
($code, $out, $err) = baton_in("1\n2\n", 'send', 'nope', '-');
is($code, 1, 'lines to no queue');
unlike($err, qr/^baton: line/m, '... is no line\'s fault');
($code, $out, $err) = baton_in("1\n", 'send', 'bad2', '-', '--delay', '-1 s');
is($code, 1, 'an option that is wrong');
unlike($err, qr/^baton: line/m, '... is no line\'s fault');

# All or nothing.
($code, $out, $err) =
  baton_in("1\n2\n3\n4\n{x}\n", 'send', 'atomic', '-', '--batch', '2', '--atomic');
is($code, 5, '--atomic: a bad line');
like($err, qr/line 5 can't/, '... its number');
like($err, qr/^Nothing was sent\.$/m, '... and nothing is there');
is(sent('atomic'), '', '... indeed');
($code, $out) = baton_in("1\n2\n3\n", 'send', 'atomic', '-', '--batch', '2', '--atomic');
is(sent('atomic'), '1 2 3', '--atomic: all');

# Text.
($code) = baton('send', 'text', '--text', "say \"hi\"\\\n\tthere");
my $both = "caf\xc3\xa9 \\n \"q\"\nb\xffd\n";
baton_in($both, 'send', 'text', '-', '--text');
is($node->safe_psql('postgres', q{select string_agg(payload #>> '{}', '/' order by id)
	from baton.message where queue = 'text'}),
	"say \"hi\"\\\n\tthere/caf\xc3\xa9 \\n \"q\"/b\xef\xbf\xbdd", 'text is kept as it is');

# What the options say.
($code, $out, $err) = baton('send', 'options', '1', '--headers', '{"h": 1}', '--priority', '7',
	'--delay', '1 hour', '--expires-in', '2 hours', '--key', 'k');
is($code, 0, 'options') or diag($err);
($code, $out, $err) = baton_in("2\n3\n", 'send', 'options', '-', '--headers', '{"h": 1}',
	'--priority', '7', '--deliver-at', '2100-01-01', '-k', 'k');
is($code, 0, 'options for lines') or diag($err);
is($node->safe_psql('postgres', q{select count(*) from baton.message where queue = 'options'
	and headers = '{"h": 1}' and priority = 7 and key = 'k' and deliver_at > now() + '50 min'}),
	3, 'they reach each message');

# Who writes slowly sees each line sent at once.
my $pipe = start_baton('send', 'live', '-');
foreach my $n (1 .. 3)
{
	$pipe->{in} .= "$n\n";
	ok(wait_sql($node, "select count(*) from baton.message where queue = 'live'", $n, $pipe),
		"line $n of a pipe is sent while it is open");
}
is(stop_baton($pipe), 0, 'the end of the pipe is the end');

done_testing();
