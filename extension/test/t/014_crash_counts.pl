# Which messages were in flight when the server crashed, and what that costs them.
#
# Forbids: a message that crashes the server again and again, because nobody counts; innocent
# long jobs that are declared dead because another message crashes it; counts that get lost when
# the next crash comes before the keeper has written them, or when the server goes down instead of
# restarting; a receipt that outlives a crash, an id that comes twice.
# Order of events: receive, SIGKILL to a backend, receive again; with the keeper held before it writes.
#
# Findings 16, 17, 18, 19; pitfalls 11, 18.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main');
my $file = $node->data_dir . '/pg_stat_tmp/baton.inflight';

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Receives from a queue, waiting for what is being loaded: "id attempt receipt" each.
sub take
{
	my ($session, $queue, $max) = @_;
	my $got = $session->query("call baton.receive_wait('$queue', @{[ $max // 1 ]}, '10 s')");

	return $got =~ /"receipt": "([^"]+)"/g;
}

sub facts
{
	my ($queue) = @_;
	return sql("select string_agg(format('%s:%s:%s', payload #>> '{}', attempt, crashes), ' ' order by id)
		from baton.message where queue = '$queue'");
}

sub vanished
{
	my ($queue) = @_;
	return "select count(*) from baton.queue_log where queue = '$queue' and action = 'vanished'";
}

# ---- alone in flight: it is counted; two: they are suspects; none: nothing happens ----

sql(q{select baton.create_queue(q, max_crashes => 3) from unnest(array['one', 'two', 'bad', 'off']) q;
	select baton.send('one', '"alone"'); select baton.send('one', '"ready"')});
my $holder = session($node);
my ($stale) = take($holder, 'one');
crash($node);
ok(wait_until($node, vanished('one'), 1), 'what was in flight has its event');
is(facts('one'), 'alone:1:1 ready:0:0', 'alone in flight at a crash: it is counted');
is(sql(q{select attempt, crashes, detail ->> 'error' from baton.queue_log where queue = 'one'}),
	'1|1|the server crashed', 'with the reason');

# a receipt of before the crash, with all generations back where they were (finding 16)
$holder = session($node);
my ($fresh) = take($holder, 'one');
like($holder->error("select baton.complete('$stale')"), qr/^BT001: /, 'a receipt from before the crash is void');
like($holder->error("select baton.extend('$stale', '1 h')"), qr/^BT001: /, 'and can\'t be extended');
like($holder->error("select * from baton.complete_batch(array['$stale', '$fresh'])"),
	qr/^BT001: /, 'nor settle in a batch');
is($holder->query("select string_agg(settled::text, ',' order by position) from baton.complete_batch(array['$stale', '$fresh'], strict => false)"),
	'false,true', 'while a fresh one does');
is(sql(q{select string_agg(payload::text || ' ' || status, ',' order by id) from baton.message where queue = 'one'}),
	'"alone" completed,"ready" pending', 'the right one');
$holder->quit;
sql(q{select baton.complete(receipt) from baton.receive('one')});

# Committed, but in memory still in flight: nothing is counted, and it is no suspect for ever
set_clock($node, '12 min');
sql(q{select baton.create_queue('late'); select baton.send('late', '"x"')});
$holder = session($node);
hold($node, 'commit-before-publish');
$holder->query('begin');
$holder->query(q{select baton.complete(receipt) from baton.receive('late')});
$holder->query(q{select baton.send('late', '"next"')});
$holder->start('commit');
wait_held($node, 'commit-before-publish');
crash($node);
$holder->kill;
release($node, 'commit-before-publish');
ok(wait_until($node, q{select ready from baton.queue where name = 'late'}, 1), 'loaded');
is( sql(q{select string_agg(status || ' ' || crashes, ',' order by id) from baton.message where queue = 'late'}),
	'completed 0,pending 0',
	'what was committed counts');
crash($node);
is(sql(q{select value from baton.health where item = 'quarantine'}),
	'off', 'no quarantine, as nothing unfinished is suspect');
sql(q{select baton.complete(receipt) from baton.receive('late')});
set_clock($node, '24 min');

# Messages that get the same slots each time, and there the same generations
sql(q{select baton.create_queue('same', max_crashes => 1000);
	select count(*) from baton.send_batch('same', array(select to_jsonb(n) from generate_series(1, 50) n))});
my (@receipts, %seen);
for (1 .. 3)
{
	crash($node);
	wait_until($node, q{select ready from baton.queue where name = 'same'}, 50);
	$holder = session($node);
	like(
		$holder->error(q{select * from baton.complete_batch(array['} . join(q{','}, @receipts) . q{'])}),
		qr/^BT001: 50 of 50 receipts/,
		'receipts are void after a crash') if @receipts;
	my @again = split(/\n/, $holder->query(q{select receipt from baton.receive('same', 50)}));
	is(scalar(grep { $seen{$_}++ } @again), 0, 'no receipt comes twice');
	is( $holder->query(q{select count(*) from baton.complete_batch(array['} . join(q{','}, @receipts)
			  . q{'], strict => false) where settled}),
		0,
		'nor does one settle another claim of the message') if @receipts;
	@receipts = @again;
	$holder->query('select baton.release_held()');
	$holder->quit;
	set_clock($node, 24 + $_ * 12 . ' min');
}

set_clock($node, '80 min');
sql(q{select baton.send('two', '"first"'); select baton.send('two', '"second"')});
$holder = session($node);
is(scalar(my @two = take($holder, 'two', 2)), 2, 'two in flight');
crash($node);
ok(wait_until($node, vanished('two'), 2), 'both have their event');
is(facts('two'), 'first:1:0 second:1:0', 'together in flight at a crash: only suspects');
is(sql(q{select value from baton.health where item = 'quarantine'}),
	'off', 'no quarantine after two crashes that are far apart');

# ---- quarantine: the second crash within ten minutes ----

sql(q{select baton.send('two', '"third"')});
$holder = session($node);
is(scalar(@two = take($holder, 'two', 2)), 2, 'suspects are still handed out together');
crash($node);
ok(wait_until($node, vanished('two'), 4), 'both have a second event');
is(sql(q{select value from baton.health where item = 'quarantine'}), 'on', 'quarantine');
$holder = session($node);
my $other = session($node);
my @got;
wait_until($node, q{select ready + delayed from baton.queue where name = 'two'}, 3);
@got = split(/\n/, $holder->query(q{select payload #>> '{}' from baton.receive('two', 10)}));
is("@got", 'first third', 'one suspect at a time, and who is none');
is($other->query(q{select count(*) from baton.receive('two', 10)}), 0, 'no second one');
$holder->query('select count(*) from (select baton.complete(receipt) from baton.held()) t');
$other->start(q{call baton.receive_wait('two', 10, '10 s')});
like($other->finish, qr/second/, 'the next one when the first is completed');
$other->query('select count(*) from (select baton.complete(receipt) from baton.held()) t');
is(facts('two'), 'first:1:0 second:1:0 third:1:0', 'nothing was counted against them');
$_->quit foreach ($holder, $other);

# ---- a message that crashes the server whenever it is handed out, among innocent ones ----

sql(q{select baton.send('bad', to_jsonb('good ' || n)) from generate_series(1, 3) n;
	select baton.send('bad', '"poison"');
	select baton.send('bad', to_jsonb('good ' || n)) from generate_series(4, 12) n});
my $crashes = 0;
while ($crashes < 20)
{
	my $long = session($node);
	my $short = session($node);
	my $crashed = 0;

	# one long job is always in flight, unless it is the poison itself
	my $job = $long->query(q{select payload from baton.receive('bad') where payload <> '"poison"'});
	$long->query('select baton.release_held()') if $job eq '';
	for (1 .. 30)
	{
		my $what = $short->query(q{select payload from baton.receive('bad')});

		if ($what eq '"poison"')
		{
			kill9($short->pid);
			$crashes++;
			$crashed = 1;
			last;
		}
		$short->query('select count(*) from (select baton.complete(receipt) from baton.held()) t');
		if ($what eq '')
		{
			$long->query('select count(*) from (select baton.complete(receipt) from baton.held()) t');
			last
			  if sql(q{select count(*) from baton.message where queue = 'bad' and status in ('pending', 'running')}) == 0;
			# what is left is being loaded, or waits for a suspect
			$short->query(q{call baton.wait('bad', '200 ms')});
		}
	}
	wait_until($node, 'select 1', 1) if $crashed;
	$_->kill foreach ($long, $short);
	last
	  if sql(q{select count(*) from baton.message where queue = 'bad' and status in ('pending', 'running')}) == 0;
}
note("$crashes crashes");
cmp_ok($crashes, '<=', 6, 'the poison is found out after a few crashes');
is(sql(q{select status, crashes from baton.message where payload = '"poison"'}),
	'dead|3', 'the poison is dead');
is( sql(q{select count(*), sum(crashes) from baton.message where queue = 'bad' and status = 'completed'}),
	'12|0',
	'the innocent ones are done, and nothing was counted against them');

# ---- crashes that come faster than the keeper writes ----

sql(q{select baton.create_queue('fast', max_crashes => 4); select baton.send('fast', '"poison"')});
hold($node, 'record-before-commit');
for (1 .. 3)
{
	my $victim = session($node);

	take($victim, 'fast');
	crash($node);
	$victim->kill;
}
release($node, 'record-before-commit');
ok( wait_until($node,
		q{select max(crashes) from baton.queue_log where queue = 'fast'}, 3),
	'crashes are counted that no keeper had the time to write');
$holder = session($node);
like($holder->query(q{call baton.receive_wait('fast', 1, '10 s')}), qr/"attempt": 4/, 'and lead to the next attempt');
crash($node);
ok(wait_until($node, q{select status from baton.message where queue = 'fast'}, 'dead'), 'and to its death');

# ---- ids, and what was not durable (synchronous_commit = off) ----

my $fast = session($node);
$fast->query('set synchronous_commit = off');
my $highest = $fast->query(
	q{select max(id) from (select baton.send('off', to_jsonb(n)) id from generate_series(1, 200) n) t});
my @seen = split(/\n/, $fast->query(q{select id from baton.receive('off', 200)}));
crash($node);
my $next = sql(q{select baton.send('off', '"after"')});
cmp_ok($next, '>', $highest, 'no id comes twice after a crash, whether its message survived or not');
cmp_ok(scalar(@seen), '>', 0, 'what is not durable yet may be delivered (as documented)');
my $left = sql(q{select count(*) from baton.message where queue = 'off'});
note("$left of 201 messages survived");
$fast = session($node);
my $n = 0;
wait_until($node, q{select ready + delayed > 0 from baton.queue where name = 'off'});
while (my @more = take($fast, 'off', 200))
{
	$n += @more;
	$fast->query('select count(*) from (select baton.complete(receipt) from baton.held()) t');
	last if $n >= $left;
}
is($n, $left, 'what survived is delivered, what did not is not');
check_memory($node);

# ---- the server goes down instead of restarting ----

$node->append_conf('postgresql.conf', 'restart_after_crash = off');
$node->restart;
ok(!-e $file, 'no file after a clean shutdown');
sql(q{select baton.create_queue('down', max_crashes => 3); select baton.send('down', '"x"')});
for my $count (1, 2)
{
	my $victim = session($node);

	take($victim, 'down');
	my $postmaster = $node->{_pid};
	kill9($victim->pid);
	wait_for_end($postmaster);
	$victim->kill;
	$node->_update_pid(0);
	ok(-e $file, 'what was in flight is in a file');
	$node->start;
	ok(!-e $file, 'the next start takes it');
	ok(wait_until($node, vanished('down'), $count), 'and says so in the log');
	is(facts('down'), "x:$count:$count", 'and counts it');
}
$node->stop('immediate');
ok(!-e $file, 'no file where nothing crashed');
PostgreSQL::Test::Utils::append_to_file($file, 'nonsense');
$node->start;
ok(!-e $file, 'a damaged file is removed');
wait_until($node, q{select ready from baton.queue where name = 'down'}, 1);
is(facts('down'), 'x:2:2', 'and counts nothing');
check_memory($node);
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC:|TRAP:| leak: /,
	'no PANIC, no leaks');
$node->stop;
done_testing();
