# What it would catch: messages that are printed and not held, or held after they should
# be gone; a wait that is not ended by a message; receipts that can't be used.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use Test::More;

my $node = baton_node('receive');
my ($code, $out, $err);

sub field
{
	my ($line, $name) = @_;
	chomp($line);
	return $node->safe_psql('postgres', "select \$j\$$line\$j\$::jsonb ->> '$name'");
}

sub status
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "select status from baton.message where id = $id");
}

baton('queue', 'create', 'q');
($code, $out) = baton('receive', 'q');
is($code, 4, 'nothing there');
is($out, '', '... and nothing printed');
($code, $out, $err) = baton('receive', 'nope');
is($code, 1, 'no such queue');

# A receipt is good for another session.
my ($id) = (baton('send', 'q', '{"n": 1}', '--key', 'k'))[1] =~ /(\d+)/;
($code, $out) = baton('receive', 'q');
is($code, 0, 'received');
is(field($out, 'id'), $id, '... the message');
is(field($out, 'payload'), '{"n": 1}', '... its payload');
is(status($id), 'running', '... and it is held after the program has ended');
($code) = baton('receive', 'q');
is($code, 4, '... so nobody else gets it');
my $receipt = field($out, 'receipt');
($code, $out, $err) = baton('complete', $receipt, '{"success": true}');
is($code, 0, 'completed') or diag($err);
is($node->safe_psql('postgres', "select status, result from baton.message where id = $id"),
	'completed|{"success": true}', '... with its result');
($code, $out, $err) = baton('complete', $receipt);
is($code, 1, 'a receipt is good once');
like($err, qr/\(BT001\)/, '... with SQLSTATE');

# Fail and release.
($id) = (baton('send', 'q', '2'))[1] =~ /(\d+)/;
$receipt = field((baton('receive', 'q'))[1], 'receipt');
($code) = baton('release', $receipt);
is($code, 0, 'released');
$out = (baton('receive', 'q', '--wait', '10'))[1];
is(field($out, 'attempt'), 1, '... without using up an attempt');
($code) = baton('fail', field($out, 'receipt'), 'no luck', '--retry-in', '10 ms');
is($code, 0, 'failed');
$out = (baton('receive', 'q', '--wait', '10'))[1];
is(field($out, 'attempt'), 2, '... and tried again');
($code) = baton('fail', field($out, 'receipt'), 'no hope', '--no-retry');
is($code, 0, 'failed for good');
is($node->safe_psql('postgres', "select status, error from baton.message where id = $id"),
	'dead|no hope', '... is dead');

# With --complete they are done when they are printed; several, payload only.
baton_in("1\n2\n3\n", 'send', 'q', '-');
($code, $out) = baton('receive', 'q', '-n', '2', '--complete', '--payload');
is($out, "1\n2\n", 'payloads, in order');
is($node->safe_psql('postgres', q{select string_agg(payload::text, ' ' order by id)
	from baton.message where queue = 'q' and status = 'pending'}), '3', '... the rest is left');
($code, $out) = baton('receive', 'q', '-n', '10', '--complete', '--payload');
is($out, "3\n", '... until it is asked for');

# A wait ends with a message.
my $waiting = start_baton('receive', 'q', '--wait', '50', '--complete', '--payload');
ok(wait_sql($node, q{select count(*) from pg_stat_activity
	where application_name = 'baton receive' and query like 'call%'}, 1, $waiting), 'it waits');
baton('send', 'q', '"at last"');
is(stop_baton($waiting), 0, 'it got something');
is($waiting->{out}, qq{"at last"\n}, '... what was sent');
($code) = baton('receive', 'q', '--wait', '20ms');
is($code, 4, 'a wait in vain');

# What can't be printed is not completed.
SKIP:
{
	skip('no /dev/full', 2) unless -e '/dev/full';
	($id) = (baton('send', 'q', '"precious"'))[1] =~ /(\d+)/;
	isnt(system("$program receive q --complete >/dev/full 2>/dev/null"), 0, 'standard output is full');
	ok(wait_sql($node, "select status <> 'completed' from baton.message where id = $id", 't'),
		'... and the message is not lost');
}

done_testing();
