# baton.queue.depth where messages expire, or a queue is counted while consumers are at it.
#
# Would catch: messages that count for as long as they are in the log, though they have expired; that count though they have
# expired in memory, as nobody receives; that are taken off twice, since they were read from the log more than once; a count of
# a restarted server that stays wrong by what was just being settled; a queue that isn't counted again for a day, as the clock was set
# while it was.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', conf => "baton.segment_size = 256kB\nbaton.window_size = 1024\nautovacuum = off\n");
my $clock = 0;

sub query { return $node->safe_psql('postgres', shift); }

# The view goes by the real time.
my $agrees = q{
	select string_agg(name || ' ' || coalesce(q.depth::text, '?') || ' ' || m.n || ' ' || q.exact, ', ' order by name) filter (where q.depth is distinct from m.n or not q.exact)
	from baton.queue q, lateral (select count(*) as n from baton.message m where m.queue = q.name and m.status in ('pending', 'scheduled', 'running')
		and (m.status = 'running' or m.expires_at is null or m.expires_at > clock_timestamp() + interval 'CLOCK')) m};

# A doubtful number is counted again after a minute; what expires by that, a minute later.
sub agrees
{
	my ($name) = @_;
	my $answer = '';

	foreach (1 .. 6)
	{
		$clock += 61;
		set_clock($node, "$clock s");
		my $end = time() + 10;
		my $sql = $agrees =~ s/CLOCK/$clock s/r;
		do { $answer = query("select coalesce(($sql), '') from baton_test.wake()") } while ($answer ne '' && time() < $end);
		last if $answer eq '';
	}
	return is($answer, '', "depth agrees: $name");
}

sub send_expiring
{
	my ($queue, $n, $in) = @_;
	return query("select count(*) from baton.send_batch('$queue', array(select to_jsonb(g) from generate_series(1, $n) g), expires_in => array[interval '$in'])");
}

query(q{select baton.create_queue('log'), baton.create_queue('memory'), baton.create_queue('twice'), baton.create_queue('far')});

# ---- nobody comes by

send_expiring('memory', 100, '1 ms');
query(q{select baton.send('memory', '1', expires_in => '1 day')});
agrees('in memory');
query(q{select baton.send('far', '1', delay => '1 day'), baton.send('far', '1', expires_in => '1 day')});
send_expiring('log', 3000, '1 s');
query(q{select count(*) from baton.send_batch('log', array(select to_jsonb(g) from generate_series(1, 1500) g))});
is(query(q{select spilled from baton.queue where name = 'log'}), 't', 'a part is in the log only');
agrees('in the log');

# ---- messages that are read again and again

query(q{select count(*) from baton.send_batch('twice', array(select to_jsonb(g) from generate_series(1, 1500) g)), baton.send('twice', '1', delay => '1 day')});
foreach (1 .. 6)
{
	send_expiring('twice', 700, '1 ms');
	query(q{select count(baton.complete(receipt)) from baton.receive('twice', 100); select count(*) from baton.send_batch('far', array(select to_jsonb(g) from generate_series(1, 400) g), priority => array[5]);
		select count(baton.complete(receipt)) from baton.receive('far', 390)});
}
agrees('expired, and read more than once');
check_memory($node);

# ---- the clock is set while a queue is counted

hold($node, 'depth-counting');
send_expiring('log', 2000, '1 s');
$clock += 61;
set_clock($node, "$clock s");
wait_held($node, 'depth-counting');
$clock += 3600;
set_clock($node, "$clock s");
release($node, 'depth-counting');
agrees('the clock was set');
send_expiring('log', 2000, '1 s');
agrees('and it is counted again soon afterwards');

# ---- counted under load, and what is random

srand($ENV{BATON_TEST_SEED} // 4711);
query("select baton.create_queue('$_', backoff => '0', backoff_max => '0', max_attempts => 3, retention => case when '$_' = 'b' then '0' else '1 day' end::interval)") foreach qw(a b c);
query('create table receipts (q text, receipt text)');
my @operation = (
	sub { query("select count(*) from baton.send_batch('$_[0]', array(select to_jsonb(g) from generate_series(1, 1 + (random() * 900)::int) g), priority => '{" . int(rand(3)) . "}')") },
	sub { send_expiring($_[0], 1 + int(rand(700)), (qw(1ms 100ms 1s 2s 1h))[rand 5]) },
	sub { query("select baton.send('$_[0]', '1', key => 'k' || (random() * 3)::int, delay => case when g % 3 = 0 then '1 h' when g % 3 = 1 then '20 s' end::interval, expires_in => case when g % 2 = 0 then '100 s' when g % 5 = 0 then '1 s' end::interval) from generate_series(1, 40) g") },
	sub { query("select count(baton.complete(receipt)) from baton.receive('$_[0]', 300)") },
	sub { query("select count(*) from (select baton.fail(receipt, 'x', retry => n % 4 <> 0, retry_in => case when n % 2 = 0 then '2 min' end::interval) from (select receipt, row_number() over () n from baton.receive('$_[0]', 60)) r) f") },
	sub { query("insert into receipts select '$_[0]', receipt from baton.receive('$_[0]', 10, detached => true)") },
	sub { $node->psql('postgres', 'delete from receipts where random() < 0.5 returning baton.release(receipt)') },
	sub { $node->psql('postgres', 'delete from receipts where random() < 0.5 returning baton.complete(receipt)') },
	sub { query('call baton.cleanup_queue()') },
	sub { rand() < 0.2 && query("select baton.purge_queue('$_[0]')") });

# Two that send and complete all the time, over restarts.
my $load = q{select count(*) from baton.send_batch('%1$s', array_fill('1'::jsonb, array[20]), expires_in => array[case when random() < 0.3 then interval '50 ms' end]);
select count(baton.complete(receipt)) from baton.receive('%1$s', 20);
};

foreach my $round (1 .. 6)
{
	my @busy = map { session($node) } 1 .. 3;
	foreach my $n (0 .. 2)
	{
		$busy[$n]->start(sprintf($load, (qw(a b c))[$n]) x 400);
	}
	$operation[rand @operation]->((qw(a b c))[rand 3]) foreach 1 .. 10;
	if ($round % 2 == 0)
	{
		$round % 4 == 0 ? crash($node) : $node->restart('-m', 'immediate');
		set_clock($node, "$clock s");
		eval { $_->quit } foreach @busy;
		# the load goes on while the queues are counted
		@busy = map { session($node) } 1 .. 3;
		$busy[$_]->start(sprintf($load, (qw(a b c))[$_]) x 200) foreach 0 .. 2;
	}
	$operation[rand @operation]->((qw(a b c))[rand 3]) foreach 1 .. 10;
	$_->finish foreach @busy;
	$_->quit foreach @busy;
	# what expires in a consumer's hands is running until it is settled, whatever a count says
	query('select count(*) from baton.release_batch(array(select receipt from receipts), strict => false); delete from receipts');
	agrees("random operations, round $round") or last;
	check_memory($node) or last;
}

check_memory($node);
$node->stop;
done_testing();
