# The server restarts with many closed segments: some with nothing unfinished, others with one message that was left
# behind at their head.
#
# Forbids: a start that reads segments of which it is known that nothing in them is unfinished (finding 22): here they are locked
# against reading; a survivor that is not delivered, or one that is finished and comes again.
#
# Findings 22, 35.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => small_segments());

sub query { return $node->safe_psql('postgres', shift); }

# Messages that are finished, and kept, until the segment is full.
sub fill
{
	my $before = open_segment($node);

	query(q{select count(*) from baton.send_batch('kept', array(select to_jsonb(repeat(md5(i::text), 30)) from generate_series(1, 60) i))});
	complete_all($node, 'kept');
	return wait_until($node,
		qq{select number <> $before from baton.segment, baton_test.wake() where state = 'open' and not survivors}, 't');
}

query(q{select baton.create_queue('q'), baton.create_queue('kept'), baton.create_queue('busy')});
foreach my $i (1 .. 8)
{
	query("select baton.send('q', '$i')") if $i % 2;
	query("select baton.send('q', '\"over $i\"', expires_in => '1 s')") if $i % 4 == 3;
	fill();
}
# seconds later they are counted, survivors or not
set_clock($node, '20 seconds');
ok( wait_until($node, q{select count(*) filter (where unfinished = 0) || ' ' || count(*) filter (where unfinished_ids is not null)
	from baton.segment, baton_test.wake() where state = 'closed'}, '4 8'),
	'four closed segments are known to have nothing unfinished, four which');
is(query(q{select count(*) from baton.segment where cardinality(unfinished_ids) = 1}), 4,
	'and what has expired is finished without an event');
is(query(q{select count(*) from baton.queue_log where queue = 'q'}), 0, 'there is none');

my $reader = session($node);
hold($node, 'load-snapshot-taken');
crash($node);
$reader = session($node);
wait_held($node, 'load-snapshot-taken');
$reader->query('begin');
$reader->query(query(q{select string_agg(format('lock table baton.message_log_%s, baton.event_log_%1$s in access exclusive mode', number), ';')
	from baton.segment where state = 'closed' and unfinished = 0}));
is($reader->query(q{select count(*) from pg_locks where mode = 'AccessExclusiveLock' and pid = pg_backend_pid() and granted}) >= 8 ? 't' : 'f',
	't', 'finished segments are locked');
release($node, 'load-snapshot-taken');
ok(wait_until($node, q{select ready = 4 and not spilled from baton.queue where name = 'q'}, 't'),
	'all is loaded from the others');
is(complete_all($node, 'q'), '1 3 5 7', 'and delivered in order');
is(query(q{select baton.send('q', '9') > 0}), 't', 'the queue goes on');
is(complete_all($node, 'q'), '9', 'in and out');
$reader->query('rollback');

# What is finished stays so.
crash($node);
ok(wait_until($node, q{select bool_and(exact and depth = 0 and not spilled) from baton.queue}, 't'), 'after another crash nothing is unfinished');
is(complete_all($node, 'q') . complete_all($node, 'kept'), '', 'and nothing comes again');

check_memory($node);
$node->stop;
done_testing();
