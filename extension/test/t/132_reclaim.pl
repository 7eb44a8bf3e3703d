# Closed segments are emptied while somebody reads them, holds one of their messages, has still to record what
# happened to one, or has an old receipt; while the extension or the database is dropped.
#
# Forbids: a producer, consumer or reader that waits for maintenance (pitfall 16); a lock on a table kept while
# waiting for its TOAST table's; a segment emptied under a claim; a receipt or a TID of a message that is gone which
# settles or reads the one that has its place (pitfall 7); a cleaner that goes on for ever, or keeps DROP DATABASE waiting.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => small_segments());

sub query { return $node->safe_psql('postgres', shift); }

sub counted
{
	my ($number) = @_;
	return wait_until($node, "select counted_at is not null from baton.segment, baton_test.wake() where number = $number", 't');
}

# The number of times the cleaner, or who cleans up, has looked at what it could not empty.
sub try_to_clean
{
	query('call baton.cleanup_queue()') foreach 1 .. 2;
	return;
}

add_filler($node);
query(q{select baton.create_queue('q', retention => '0')});
my $consumer = session($node);
my $reader = session($node);

# ---- a reader, and one of the TOAST table only

foreach my $what ('baton.message_log_1', 'toast')
{
	my $number = open_segment($node);
	my $table = "baton.message_log_$number";

	$table = query("select reltoastrelid::regclass from pg_class where oid = '$table'::regclass") if $what eq 'toast';
	query(q{select baton.send('q', '1')});
	complete_all($node, 'q');
	$reader->query("begin; select count(*) from $table");
	rotate($node);
	wait_for_state($node, $number, 'closed');
	counted($number);
	try_to_clean();
	is(state_of($node, $number), 'closed', "a reader of $what keeps it from being emptied");
	is(query("set lock_timeout = '1 s'; select count(*) > 0 from baton.message"), 't', 'others can read');
	is(query(q{select count(*) from pg_locks where not granted}), 0, 'nobody waits');
	$reader->query('commit');
	wait_for_state($node, $number, 'free', 'emptied when it has gone');
}

# ---- a claim of a message that is over: its holder may still settle it

my $number = open_segment($node);
query(q{select baton.send('q', '1', expires_in => '1 second')});
my $receipt = $consumer->query(q{select receipt from baton.receive('q')});
rotate($node);
wait_for_state($node, $number, 'closed');
set_clock($node, '5 seconds');
hold($node, 'reclaim-locked');
counted($number);
ok(wait_until($node, "select unfinished = 0 from baton.segment where number = $number", 't'), 'nothing is unfinished');
is($consumer->query("select baton.complete('$receipt')"), '', 'the holder completes it');
is(query(q{select baton_test.held('reclaim-locked')}), 'f', 'and nobody had locked its segment');
release($node, 'reclaim-locked');
wait_for_state($node, $number, 'free', 'then it is emptied');

# ---- an event that is still to be recorded: `vanished` of a message that is completed meanwhile

# several pairs, so that nobody has to make one while the keeper is held
$reader->query('begin');
foreach (1 .. 3)
{
	$reader->query('select count(*) from baton.message_log');
	rotate($node);
}
$reader->query('commit');
$number = open_segment($node);
query(q{select baton.send('q', '1')});
my $victim = session($node);
$victim->query(q{select count(*) from baton.receive('q')});
rotate($node);
wait_for_state($node, $number, 'closed');
hold($node, 'record-before-commit');
query('select pg_terminate_backend(' . $victim->pid . ')');
wait_held($node, 'record-before-commit');
is(complete_all($node, 'q'), '1', 'it goes to somebody else');
query('call baton.cleanup_queue()');
is(state_of($node, $number), 'closed', 'it is not emptied before the event is written');
release($node, 'record-before-commit');
wait_for_state($node, $number, 'free', 'but then');

# ---- old receipts, and the place of a message in the same segment (pitfall 7)

sub first_is_open
{
	foreach (1 .. 20)
	{
		return 1 if open_segment($node) == 1 && state_of($node, 1) eq 'open';
		wait_for_state($node, 1, 'free');
		rotate($node);
	}
	return 0;
}
rotate($node) if open_segment($node) == 1;
ok(first_is_open(), 'the first segment is open');
query(q{select baton.send('q', '"old"')});
my $old = $consumer->query(q{select receipt from baton.receive('q')});
$consumer->query("select baton.complete('$old')");
rotate($node);
wait_for_state($node, 1, 'free');
ok(first_is_open(), 'and again');
query(q{select baton.send('q', '"new"')});
like($consumer->error("select baton.complete('$old')"), qr/^BT001/, 'the old receipt completes nothing');
like($consumer->error("select baton.fail('$old', 'x')"), qr/^BT001/, 'nor fails anything');
like($consumer->error("select baton.extend('$old', '1 h')"), qr/^BT001/, 'nor is it extended');
is($consumer->query(q{select payload from baton.receive('q')}), '"new"', 'the new message is received');
like($consumer->error("select baton.complete('$old')"), qr/^BT001/, 'and not completed by the old receipt');
is(query(q{select status from baton.message where payload = '"new"'}), 'running', 'it is running');
is($consumer->query('select baton.release_held()'), '1', 'by its own');
is(complete_all($node, 'q'), 'new', 'and completed by its own');
no_lock_waits($node);

# ---- the extension is dropped while the cleaner is at it

$number = open_segment($node);
hold($node, 'reclaim-counted');
rotate($node);
wait_held($node, 'reclaim-counted');
is($reader->query('drop extension baton cascade'), '', 'DROP EXTENSION does not wait for it');
ok(wait_until($node, q{select count(*) from pg_stat_activity where backend_type = 'baton cleaner'}, 0), 'nor does it go on');
release($node, 'reclaim-counted');
query('create extension baton');
add_filler($node);
is(query(q{select baton.send('filler', '1') > 0}), 't', 'a new one works');
complete_all($node, 'filler');

# ---- and the database

query('create database other');
add_baton($node, 'other');
$node->safe_psql('other', q{select baton.create_queue('q', retention => '0');
	select baton.send_batch('q', array_fill(to_jsonb(repeat('x', 1000)), array[100]));
	select baton.complete(receipt) from baton.receive('q', 100)});
hold($node, 'reclaim-counted');
ok(wait_until($node, q{select baton_test.held('reclaim-counted') from baton_test.wake()}, 't'), 'the other cleaner is at it');
query('drop database other');
pass('DROP DATABASE does not wait for it');
release($node, 'reclaim-counted');

check_memory($node);
$node->stop;
done_testing();
