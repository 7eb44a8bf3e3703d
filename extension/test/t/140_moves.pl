# Messages are moved out of an old segment while others receive, settle, load and look.
#
# Would catch: finding 7 (a claim that begins during a move and is settled in the old segment: delivered again after a
# restart); a message delivered twice or lost because the loader found both of its rows; one of a key that
# overtakes another of the same key which is being moved without a slot; a slot that stays in state MOVING after an
# error; ids, attempts, results or history that a move changes; a crash after which both rows count, or none.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', conf => "baton.segment_age = 0\nautovacuum = off\n");

sub query { return $node->safe_psql('postgres', shift); }
sub cleanup { return query('call baton.cleanup_queue()'); }

# The keeper's own cleaner doesn't come in between: a segment is compacted by it a minute after it was sealed at the
# earliest, and nothing here takes so long.  Segments are too large here to be full: cleanup_queue() closes them.

# A segment full of finished messages of `full`, and in it what the statement sends.
query(q{select baton.create_queue('full', retention => '0')});
sub segment_with
{
	my ($send) = @_;
	query(q{select count(*) from baton.send_batch('full', array(select to_jsonb(g) from generate_series(1, 150) g))});
	query($send);
	query(q{select count(*) from baton.send_batch('full', array(select to_jsonb(g) from generate_series(1, 150) g))});
	query(q{select count(baton.complete(receipt)) from baton.receive('full', 10000)});
	return;
}

# Where the rows of a queue's messages are, those that were moved marked with m: number of the segment, and how many.
sub places
{
	my ($queue) = @_;
	return query(qq{
		select string_agg(n, ' ' order by n) from (
			select substring(m.tableoid::regclass::text from '\\d+\$') || case when e.action is null then '' else 'm' end || ':' || count(*) as n
			from baton.message_log m left join baton.event_log e on e.message_id = m.id and e.action = 'moved'
				and substring(e.tableoid::regclass::text from '\\d+\$') = substring(m.tableoid::regclass::text from '\\d+\$')
			where m.queue_id = (select id from baton.queue_definition where name = '$queue')
			group by m.tableoid, e.action) x});
}

sub depth { return query("select depth from baton.queue where name = '$_[0]'"); }

sub take_all
{
	my ($queue) = @_;
	return query("select coalesce(string_agg(payload::text, ',' order by n), '') from (select row_number() over () n, payload, baton.complete(receipt) from baton.receive('$queue', 1000)) r");
}

# ---- receive passes over what is being moved, and gets it afterwards

query(q{select baton.create_queue('claim')});
segment_with(q{select baton.send('claim', to_jsonb(g)) from generate_series(1, 3) g});
my $cleaner = session($node, app => 'cleaner');
hold($node, 'compact-marked');
$cleaner->start('call baton.cleanup_queue()');
ok(wait_held($node, 'compact-marked'), 'being moved');
is(query(q{select count(*) from baton.receive('claim', 10)}), '0', 'nobody receives what is being moved');
is(query(q{select status from baton.message where queue = 'claim' group by 1}), 'pending', 'it is pending');
is(depth('claim'), '3', 'and counts');
my $waiter = session($node);
$waiter->start(q{call baton.wait('claim', '60 s')});
ok($waiter->running, 'who waits for it sleeps');
release($node, 'compact-marked');
$cleaner->finish;
is($waiter->finish, 't', 'and is woken when it has been moved');
like(places('claim'), qr/^\d+:3$/, 'the old rows are gone with their segment');
is(take_all('claim'), '1,2,3', 'all are received, in order');
is(query(q{select count(*), count(distinct message_id) from baton.queue_log where queue = 'claim'}), '3|3', 'and settled once');
$_->quit foreach $cleaner, $waiter;
crash($node);
ok(wait_until($node, q{select depth from baton.queue where name = 'claim' and not spilled}, '0'), 'after a crash, too, none is left');
$cleaner = session($node, app => 'cleaner');

# ---- what a consumer holds is left alone, whatever then becomes of it

query(qq{select baton.create_queue('$_', backoff => '0', backoff_max => '0')}) foreach qw(complete release lease vanish rollback fail);
segment_with(join ';', map {"select baton.send('$_', '1')"} qw(complete release lease vanish rollback fail));
my %holder;
foreach my $queue (qw(complete release lease vanish rollback fail))
{
	$holder{$queue} = session($node);
	$holder{$queue}->query('begin') if $queue eq 'rollback';
	is($holder{$queue}->query("select payload from baton.receive('$queue')"), '1', "$queue: held");
	$holder{$queue}->query("select baton.extend(receipt, '1 h') from baton.held()") if $queue eq 'lease';
}
$holder{complete}->query(q{begin; select baton.complete(receipt, '"done"') from baton.held()});
cleanup();
foreach my $queue (sort keys %holder)
{
	unlike(places($queue), qr/m/, "$queue: not moved while it is held");
}
$holder{complete}->query('commit');
$holder{release}->query(q{select baton.release(receipt) from baton.held()});
$holder{fail}->query(q{select baton.fail(receipt, 'no') from baton.held()});
$holder{vanish}->quit;
$holder{rollback}->query('rollback');
ok(wait_until($node, q{select count(*) from baton.queue_log where action = 'vanished' and queue = 'vanish'}, '1'), 'what became of it is written');
ok(wait_until($node, q{select count(*) from baton.queue_log where queue = 'rollback'}, '1'), 'that, too');
my $before = query(q{select string_agg((to_jsonb(l) - 'xid')::text, E'\n' order by id) from baton.queue_log l where queue in ('complete', 'release', 'vanish', 'rollback', 'fail')});
cleanup();
cleanup();
is(query(q{select count(*) from baton.message where queue in ('complete', 'release', 'lease', 'vanish', 'rollback', 'fail')}), '6', 'each is there once');
is(query(q{select string_agg((to_jsonb(l) - 'xid')::text, E'\n' order by id) from baton.queue_log l where queue in ('complete', 'release', 'vanish', 'rollback', 'fail')}),
	$before, 'with its history, id by id');
is(query(q{select result from baton.get('complete', (select id from baton.message where queue = 'complete'))}), '"done"', 'and its result');
is(query("select attempt, failures, crashes from baton.message where queue = '$_->[0]'"), $_->[1], "$_->[0]: counts")
	foreach ['fail', '1|1|0'], ['vanish', '1|0|1'], ['release', '1|0|0'], ['lease', '1|0|0'];
is(query("select attempt from baton.receive('$_->[0]', detached => true)"), $_->[1], "$_->[0]: received again")
	foreach ['fail', 2], ['vanish', 2], ['release', 1], ['rollback', 1];
set_clock($node, '2 hours');
ok(wait_until($node, q{select count(*) from baton.queue_log where queue = 'lease' and action = 'lease_expired'}, '1'), 'the lease runs out');
set_clock($node, '0 s');
$holder{$_}->quit foreach qw(complete release lease rollback fail);
cleanup();
is(query(q{select attempt from baton.receive('lease', detached => true)}), '2', 'and it is received again');

# ---- delayed ones, near and parked, and one that becomes due while it is being moved

query(q{select baton.create_queue('later')});
segment_with(q{
	select baton.send('later', '"soon"', delay => '30 s'), baton.send('later', '"in an hour"', delay => '1 h'),
		baton.send('later', '"tomorrow"', delay => '1 day', priority => 9)});
hold($node, 'compact-copied');
$cleaner->start('call baton.cleanup_queue()');
ok(wait_held($node, 'compact-copied'), 'being moved');
set_clock($node, '31 s');
query('call baton.check_hung_messages()');
is(take_all('later'), '', 'due while it is being moved: not yet');
release($node, 'compact-copied');
$cleaner->finish;
ok(wait_until($node, q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('later')) r}, '"soon"'), 'but then');
is(depth('later'), '2', 'two are left');
is(query(q{select string_agg(status, ',') from baton.message where queue = 'later' and payload <> '"soon"'}), 'scheduled,scheduled', 'for later');
set_clock($node, '2 h');
ok(wait_until($node, q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('later')) r}, '"in an hour"'), 'the parked one comes');
set_clock($node, '25 h');
ok(wait_until($node, q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('later')) r}, '"tomorrow"'), 'and the other');
set_clock($node, '0 s');
is(depth('later'), '0', 'none is left');

# ---- an error in the middle: as it was

query(q{select baton.create_queue('error')});
segment_with(q{select baton.send('error', to_jsonb(g)) from generate_series(1, 3) g; select baton.send('error', '4', delay => '1 h')});
foreach my $point ('compact-marked', 'compact-copied')
{
	fail_at($node, $point);
	like($cleaner->error('call baton.cleanup_queue()'), qr/^XX000: test point/, "error at $point");
	check_memory($node);
	unlike(places('error'), qr/m/, 'nothing was moved');
	is(depth('error'), '4', 'nothing is lost');
}
hold($node, 'compact-copied');
$cleaner->start('call baton.cleanup_queue()');
ok(wait_held($node, 'compact-copied'), 'being moved');
query('select pg_cancel_backend(' . $cleaner->pid . ')');
like($cleaner->finish_error, qr/^57014/, 'cancelled');
release($node, 'compact-copied');
is(depth('error'), '4', 'nothing is lost');
cleanup();
like(places('error'), qr/^\d+:4$/, 'the next one moves them');
is(take_all('error'), '1,2,3', 'and they come once');

# ---- a crash in the middle, and right after the commit

query(q{select baton.create_queue('crash', retention => '1 year')});
my %rows;
foreach my $point ('compact-marked', 'compact-copied', 'compact-committed')
{
	segment_with(q{
		select baton.send('crash', '1'), baton.send('crash', '2', delay => '1 day'), baton.send('crash', '3');
		select baton.complete(receipt, '"r"') from baton.receive('crash')});
	my $all = q{select string_agg(id || status || coalesce(result::text, '') || attempt, ',' order by id) from baton.message where queue = 'crash'};
	my $log = q{select string_agg((to_jsonb(l) - 'xid')::text, ',' order by id) from baton.queue_log l where queue = 'crash'};
	my ($messages, $events) = (query($all), query($log));

	hold($node, $point);
	$cleaner->start('call baton.cleanup_queue()');
	ok(wait_held($node, $point), "at $point");
	is(query($all), $messages, "$point: messages, while it is held there");
	is(query($log), $events, "$point: history");
	kill9($cleaner->pid);
	$cleaner->kill;
	ok(wait_until($node, q{select count(*) > 0 from pg_stat_activity where backend_type = 'baton keeper'}), 'the server is back');
	clear_points($node);
	$cleaner = session($node);
	is(query($all), $messages, "crash at $point: each message is there once, as it was");
	is(query($log), $events, 'with its history');
	ok(wait_until($node, q{select depth from baton.queue where name = 'crash'}, query(q{select count(*) from baton.message where queue = 'crash' and status in ('pending', 'scheduled')})), 'the depth is right');
	is(query(q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('crash', 10)) r}), '3', 'what is pending is delivered, once');
	cleanup();
}

# ---- the queue is dropped, or purged, meanwhile

foreach my $what ('drop_queue', 'purge_queue')
{
	query("select baton.create_queue('$what')");
	segment_with("select baton.send('$what', to_jsonb(g), key => case when g = 2 then 'k' end, delay => case when g = 3 then '1 day' end::interval) from generate_series(1, 3) g");
	hold($node, 'compact-copied');
	$cleaner->start('call baton.cleanup_queue()');
	ok(wait_held($node, 'compact-copied'), 'being moved');
	query("select baton.$what('$what')");
	is(depth($what), $what eq 'drop_queue' ? '' : '0', "$what during a move");
	query("select baton.create_queue('$what')") if $what eq 'drop_queue';
	my $new = query("select baton.send('$what', '99', key => 'k')");
	release($node, 'compact-copied');
	$cleaner->finish;
	is(depth($what), '1', "$what during a move: only the new one counts");
	is(query("select id, payload from baton.receive('$what', 10, detached => true)"), "$new|99", 'and is received');
	is(query("select status, count(*) from baton.message where id < $new and queue = '$what' group by 1"),
		$what eq 'drop_queue' ? '' : 'cancelled|3', 'the old ones are cancelled');
	check_memory($node);
}

check_memory($node);
$node->stop;
done_testing();
