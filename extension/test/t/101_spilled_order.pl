# Order while part of a queue is only in the log, and messages whose senders commit late.
#
# Would catch: a message that overtakes one that is still in the log (finding 1), also at the
# end of a spill; a late committer whose message is behind the loader and is never
# read (finding 2); one that is delivered twice, by its committer and the loader
# (pitfall 14); messages of one key out of order through spilling and retries (G5).

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => "baton.window_size = 1024\n");
add_ledger($node);
my $receive = q{select payload from baton.receive('%s')};

sub query { return $node->safe_psql('postgres', shift); }

sub spill
{
	my ($queue, $n) = @_;

	query("select baton.create_queue('$queue')");
	send_many($node, $queue, $n);
	return;
}

# Finding 1: B is sent after A's commit, and commits when the loader has chosen what to
# read and hasn't read it yet.  more: so many messages are behind them.
foreach my $more (0, 3000)
{
	my $queue = "overtake_$more";
	my $sender = session($node);

	# a few of them don't fit, so that the loader's first step reaches A and B
	spill($queue, 1060);
	my $a = query("select baton.send('$queue', '1061', key => 'k')");
	$sender->query('begin');
	my $b = $sender->query("select baton.send('$queue', '1062', key => 'k')");
	send_many($node, $queue, $more, first => 1063) if $more;
	hold($node, 'load-cursor-moved');
	my $taker = consumer($node, "call drain('$queue', 50, 1062)");
	wait_held($node, 'load-cursor-moved');
	$sender->query('commit');
	release($node, 'load-cursor-moved');
	$taker->finish;
	drain($node, $queue, 1062 + $more);
	is_exactly_once($node, $queue, 1062 + $more, "sent before and committed behind the cursor, $more more");
	is( query("select string_agg(payload::text, ',' order by seq) from ledger where queue = '$queue' and id in ($a, $b)"),
		'1061,1062', 'A, which was there when B was sent, comes before B');
	is_in_order($node, $queue) unless $more;
	$sender->quit;
	$taker->quit;
}

# A commit between the loader's snapshot and its reading, and one before it places.
foreach my $point ('load-snapshot-taken', 'load-before-place', 'load-range-read')
{
	my $queue = "at_$point";
	my $sender = session($node);

	spill($queue, 1500);
	$sender->query('begin');
	$sender->query("select baton.send('$queue', to_jsonb(g)) from generate_series(1501, 1510) g");
	hold($node, $point);
	my $taker = consumer($node, "call drain('$queue', 50, 1510)");
	wait_held($node, $point);
	$sender->query('commit');
	release($node, $point);
	$taker->finish;
	is_exactly_once($node, $queue, 1510, "committed while the loader was at $point");
	$sender->quit;
	$taker->quit;
}
check_memory($node);

# Finding 2: a transaction with 40 ids between those of others stays open, is overtaken by
# all of them, and commits when no slot is to be had.
query(q{select baton.create_queue('late'); select baton.create_queue('hog')});
my $late = session($node);
$late->query('begin');
foreach my $i (1 .. 40)
{
	$late->query("select baton.send('late', '$i')");
	query(qq{select baton.send('late', '${\($i + 40)}')});
}
send_many($node, 'late', 4000, first => 81);
my $taker = consumer($node, q{call drain('late', 20, 4040)});
wait_until($node, q{select count(*) from ledger where queue = 'late'}, '4040');
$taker->finish;
$taker->quit;
send_many($node, 'hog', 2000);
my $hog = session($node);
# a claim for every slot there is
wait_until($node, q{select value like '0 of %' from baton.health where item = 'window'}, 't');
my $held = 0;
for (1 .. 50)
{
	$held += $hog->query(q{select count(*) from baton.receive('hog', 1000)});
	last if $held >= 900;
	query('select 1');
}
note("$held slots are claimed");
$late->query('commit');
$taker = session($node);
is($hog->query('select baton.release_held()'), $held, 'claims given back');
drain($node, 'late', 4080);
is_exactly_once($node, 'late', 4080, 'late committers');
drain($node, 'hog', 2000, batch => 100);
is_exactly_once($node, 'hog', 2000);
check_memory($node);

# G5: one key at a time and in order, though consumers fail, and the queue is spilled.
query(q{select baton.create_queue('keys', backoff => '1 ms', backoff_max => '5 ms', max_attempts => 100)});
send_many($node, 'keys', 4000, keys => 40);
my @drains = map { consumer($node, q{call drain('keys', 5, 4000, 0.1)}) } 1 .. 3;
is($_->finish_error, '', 'a consumer has ended') foreach @drains;
is_exactly_once($node, 'keys', 4000);
is( query(q{
		select count(*) from (select id, lag(id) over (partition by key order by seq) as before
			from ledger where queue = 'keys') s where before > id}),
	'0', 'messages of one key are done in the order of their ids, failed ones too');
ok(query(q{select sum(attempt) > count(*) from ledger where queue = 'keys'}) eq 't', 'some had failed');

check_memory($node);
$node->stop;
done_testing();
