# Messages are sent while segments rotate: to the one that was just chosen, by transactions that stay open, by
# those that open a segment themselves, and where a rotation fails.
#
# Forbids: a message in a segment that is closed or free, where neither the loader nor a restart looks for it; a segment
# that is closed, or a mark that passes, while a sender is open; an entry in memory of tables that were
# rolled back; a keeper that does nothing else because it can't rotate.
#
# Pitfall 6: the segment chosen, then rotated, emptied, opened again, then locked.  Finding 6: sealed, marked, the
# sender commits, crash.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => small_segments());

sub query { return $node->safe_psql('postgres', shift); }

# Rotates until this segment is the open one: those that are free take turns.
sub open_again
{
	my ($number) = @_;

	foreach (1 .. 20)
	{
		return 1 if open_segment($node) == $number;
		wait_for_state($node, $number, 'free');
		rotate($node);
	}
	return 0;
}

add_filler($node);
query(q{select baton.create_queue('q')});

# ---- between choosing a segment and locking it, that segment goes all the way round (pitfall 6)

my $sender = session($node);
my $chosen = open_segment($node);

hold_one($node, 'send-segment-chosen');
$sender->start(q{select baton.send('q', '"chosen"') > 0});
wait_held($node, 'send-segment-chosen');
rotate($node);
wait_for_state($node, $chosen, 'free', 'the segment chosen is emptied');
release($node, 'send-segment-chosen');
is($sender->finish, 't', 'the message is sent all the same');
is(query("select count(*) from only baton.message_log_$chosen"), 0, 'not to the free segment');
is(complete_all($node, 'q'), 'chosen', 'and delivered');

# The same, and it is the open one again.
ok(open_again(1), 'the first segment is open');
hold_one($node, 'send-segment-chosen');
$sender->start(q{select baton.send('q', '"reopened"') > 0});
wait_held($node, 'send-segment-chosen');
rotate($node);
ok(open_again(1), 'and it is again, meanwhile emptied');
release($node, 'send-segment-chosen');
is($sender->finish, 't', 'the message is sent to the segment that was opened again');
rotate($node);

# ---- a transaction that has locked its segment keeps it from being closed (finding 6)

my $open = session($node);
my $segment = open_segment($node);

hold_one($node, 'send-locked');
$open->start(q{begin; select baton.send('q', '"open"')});
wait_held($node, 'send-locked');
rotate($node);
release($node, 'send-locked');
my $id = $open->finish;
isnt($id, '', 'a sender that is late goes on to the next segment');
rotate($node);
my $second = open_segment($node);
my $other = session($node);
my $other_id = $other->query(q{begin; select baton.send('q', '"open too"')});

rotate($node) foreach 1 .. 2;
is(state_of($node, $second), 'sealed', 'an open sender keeps its segment from being closed');

# The keeper writes marks when it has not for a minute.
set_clock($node, '2 minutes');
ok(wait_until($node, q{select bool_or(d.name = 'filler') from baton.queue_mark
	join baton.queue_definition d on d.id = queue_id}, 't'), 'there are marks');
is(query(qq{select count(*) from baton.queue_mark where below > $id}), 0, 'no mark passes an open sender');
is($open->query('commit') . $other->query('commit'), '', 'both commit');
ok(wait_until($node, "select state <> 'sealed' from baton.segment, baton_test.wake() where number = $second", 't'),
	'then it is closed');
kill_postmaster($node);
$node->start;
is(complete_all_of($node, 'q'), 'reopened open open too', 'and after a crash all are there');

no_lock_waits($node);
check_memory($node);
$node->stop;
done_testing();
