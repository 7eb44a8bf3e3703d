# What it would catch: a counter that doesn't count, counts twice, counts what was rolled
# back, or falls (Prometheus takes that for a restart of the server); a time in the wrong bucket,
# or counted from the wrong moment.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonMetrics;
use BatonProgram;
use BatonTest qw(session hold release wait_held set_clock clear_points check_memory);
use Test::More;

my $node = baton_node('counters', "autovacuum = off\nmax_prepared_transactions = 5\n");
my $value;

$node->safe_psql('postgres', q{
	create extension baton_test;
	select baton.create_queue('q', max_attempts => 2, backoff => '0');
	select baton.create_queue('other')});

sub sql { return $node->safe_psql('postgres', join(';', @_)); }

# The counters of queue q, but for those that are 0.
sub counters
{
	$value = scrape();
	return join(' ', map {
		my $n = $value->("baton_messages_${_}_total{queue=\"q\"}");
		$n ? "$_ $n" : ()
	} qw(sent delivered completed failed vanished lease_expired released dead loaded));
}

sub gauge { return $value->("baton_queue_$_[0]\{queue=\"q\"}"); }

is(counters(), '', 'all begin at 0');

# Sending.
sql(q{select baton.send('q', to_jsonb(i)) from generate_series(1, 3) i});
is(counters(), 'sent 3', 'three sent');
is(gauge('ready'), 3, '... and ready');
is(gauge('depth'), 3, '... and not finished');
sql(q{begin}, q{select baton.send('q', '0')}, q{rollback});
is(counters(), 'sent 3', 'one that was rolled back');

# Completing: in one transaction, in two, and what is taken back.
sql(q{begin}, q{select count(*) from baton.receive('q')}, q{rollback});
is(counters(), 'sent 3 delivered 1 released 1', 'received and rolled back');
sql(q{select baton.complete(receipt) from baton.receive('q')});
is(counters(), 'sent 3 delivered 2 completed 1 released 1', 'received and completed at once');
my $consumer = session($node);
my $receipt = $consumer->query(q{select receipt from baton.receive('q')});
is(counters(), 'sent 3 delivered 3 completed 1 released 1', 'received');
is(gauge('in_flight'), 1, '... is in flight');
$consumer->query('begin');
$consumer->query("select baton.complete('$receipt')");
is(counters(), 'sent 3 delivered 3 completed 1 released 1', 'completed, and not committed');
$consumer->query('rollback');
is(counters(), 'sent 3 delivered 3 completed 1 released 1', '... and rolled back');
$consumer->query("select baton.complete('$receipt')");
is(counters(), 'sent 3 delivered 3 completed 2 released 1', 'completed');

# Failing, until it is dead.
sql(q{select baton.fail(receipt, 'no') from baton.receive('q')});
is(counters(), 'sent 3 delivered 4 completed 2 failed 1 released 1', 'failed');
sql(q{select baton.fail(receipt, 'no') from baton.receive('q')});
is(counters(), 'sent 3 delivered 5 completed 2 failed 2 released 1 dead 1',
	'... again, and is dead');
is(gauge('depth'), 0, 'nothing is left');

# Errors of the transaction that received.
sql(q{select baton.send('q', '4')});
$node->psql('postgres', q{begin; select 1 / (id - id) from baton.receive('q')});
is(counters(), 'sent 4 delivered 6 completed 2 failed 3 released 1 dead 1', 'an error fails it');

# Holders that are lost: a client that is killed, a lease that is over.
$receipt = $consumer->query(q{select receipt from baton.receive('q')});
$consumer->kill;
ok(wait_sql($node, q{select vanished from baton.queue_counters() where queue = 'q'}, 1),
	'a killed consumer');
is(counters(), 'sent 4 delivered 7 completed 2 failed 3 vanished 1 released 1 dead 1',
	'... vanished');
sql(q{select receipt from baton.receive('q', lease => '1 ms', detached => true)});
ok(wait_sql($node, q{call baton.check_hung_messages(); select lease_expired from
	baton.queue_counters() where queue = 'q'}, "0\n1")
	  || wait_sql($node, q{select lease_expired from baton.queue_counters() where queue = 'q'}, 1),
	'a lease that is over');
is(counters(),
	'sent 4 delivered 8 completed 2 failed 3 vanished 1 lease_expired 1 released 1 dead 1',
	'... is told apart');

# Given back: by its holder it counts; in the transaction that received it never was.
sql(q{select baton.release(receipt) from baton.receive('q')});
my $before = 'sent 4 delivered 9 completed 2 failed 3 vanished 1 lease_expired 1 released 2 dead 1';
is(counters(), $before, 'released');
sql(q{begin}, q{select count(*) from baton.receive('q')}, q{select baton.release_held()}, 'commit');
is(counters(), $before, 'given back by the transaction that received');

# What the snapshot doesn't see is not delivered.
my $reader = session($node);
sql(q{select baton.complete(receipt) from baton.receive('q')});
$reader->query('begin isolation level repeatable read');
$reader->query('select count(*) from pg_class');
sql(q{select baton.send('q', '5')});
is($reader->query(q{select count(*) from baton.receive('q')}), 0, 'not visible yet');
$reader->query('commit');
$before = 'sent 5 delivered 10 completed 3 failed 3 vanished 1 lease_expired 1 released 2 dead 1';
is(counters(), $before, '... and not counted');

# release_held() by a later transaction, and a bound claim that another session settles.
$reader->query(q{select count(*) from baton.receive('q')});
$reader->query(q{select baton.release_held()});
$before = 'sent 5 delivered 11 completed 3 failed 3 vanished 1 lease_expired 1 released 3 dead 1';
is(counters(), $before, 'given back later');
$receipt = $reader->query(q{select receipt from baton.receive('q')});
is($value->('baton_claims_settled_elsewhere_total{queue="q"}'), 0, 'none settled elsewhere');
sql("select baton.complete('$receipt')");
is(counters(),
	'sent 5 delivered 12 completed 4 failed 3 vanished 1 lease_expired 1 released 3 dead 1',
	'settled by another session');
is($value->('baton_claims_settled_elsewhere_total{queue="q"}'), 1, '... is told');

# Each delivery has ended in one way, and the histograms have as many.
is($value->('baton_queue_seconds_count{queue="q"}'), 12, 'time in queue of each delivered');
is($value->('baton_work_seconds_count{queue="q"}'), 4, 'time in work of each completed');
is($value->('baton_messages_sent_total{queue="other"}'), 0, 'another queue has none of it');

# Waiting.
$reader->start(q{call baton.wait('q')});
ok(wait_sql($node, q{select waiters from baton.queue_counters() where queue = 'q'}, 1),
	'a session waits');
counters();
is(gauge('waiters'), 1, '... and is told');
sql(q{select baton.pause_queue('q')});
counters();
is(gauge('paused'), 1, 'paused');
sql(q{select baton.resume_queue('q')}, q{select baton.send('q', '6')});
is($reader->finish, 't', 'it was woken');
sql(q{select baton.complete(receipt) from baton.receive('q')});

# Times, by a clock of our own: 2 s in the queue and 20 s in work.  How many there are of each
# bucket before and after; the real time goes on meanwhile, so the sums are a little more.
sub buckets
{
	my ($name) = @_;
	return map { $value->("baton_${name}_seconds_bucket{queue=\"q\",le=\"$_\"}") }
	  qw(1 3 10 30 60 300 +Inf);
}

sub rises
{
	my ($name, $between) = @_;
	counters();
	my @from = (buckets($name), $value->("baton_${name}_seconds_sum{queue=\"q\"}"));
	$between->();
	counters();
	my @to = (buckets($name), $value->("baton_${name}_seconds_sum{queue=\"q\"}"));
	my @by = map { $to[$_] - $from[$_] } 0 .. $#to;
	return (pop(@by), "@by");
}

sql(q{select baton.send('q', '7')});
set_clock($node, '2 s');
my ($sum, $by) = rises('queue', sub { $receipt = $reader->query(q{select receipt from baton.receive('q')}); });
is($by, '0 1 1 1 1 1 1', '2 s in the queue');
cmp_ok($sum, '>=', 2, '... in the sum');
cmp_ok($sum, '<', 3, '... and no more');
set_clock($node, '22 s');
($sum, $by) = rises('work', sub { $reader->query("select baton.complete('$receipt')"); });
is($by, '0 0 0 1 1 1 1', '20 s in work');
cmp_ok($sum, '>=', 20, '... in the sum');
cmp_ok($sum, '<', 30, '... and no more');

# A delayed one counts from its time on; a failed one from when it may be tried again.
clear_points($node);
sql(q{select baton.send('q', '8', delay => '100 s')});
set_clock($node, '105 s');
($sum, $by) = rises('queue', sub { $receipt = $reader->query(q{select receipt from baton.receive('q')}); });
is($by, '0 0 1 1 1 1 1', 'delayed by 100 s, received after 105 s: 5 s');
$reader->query("select baton.fail('$receipt', 'later', '50 s')");
set_clock($node, '175 s');
($sum, $by) = rises('queue', sub { $receipt = $reader->query(q{select receipt from baton.receive('q')}); });
is($by, '0 0 0 1 1 1 1', 'tried again after 70 s, of which it had to wait 50: 20 s');
($sum, $by) = rises('work', sub { $reader->query("select baton.fail('$receipt', 'no')"); });
is($by, '0 0 0 0 0 0 0', 'what failed has no time in work');
clear_points($node);

# Outcomes wait for the keeper.
hold($node, 'record-before-commit');
sql(q{select baton.send('q', '9')});
my $victim = session($node);
$victim->query(q{select count(*) from baton.receive('q')});
$victim->kill;
wait_held($node, 'record-before-commit');
counters();
is($value->('baton_outcomes_pending'), 1, 'an event to be written');
release($node, 'record-before-commit');
ok(wait_sql($node, 'select outcomes_pending from baton.window_use()', 0), '... is written');
is($value->('baton_outcomes_dropped_total'), 0, 'none was dropped');

# The window's slots add up.
counters();
my $slots = 0;
$slots += $value->("baton_window_slots{state=\"$_\"}")
  foreach qw(free arriving ready blocked delayed claimed settling moving condemned);
is($slots, $value->('baton_window_size_slots'), 'the states of the slots add up to the window');
is($value->('baton_window_slots{state="ready"}'), 1, 'one is ready');

# A snapshot that is held, by name.
$reader->query("set application_name = 'the report'");
$reader->query('begin isolation level repeatable read');
$reader->query('select count(*) from pg_class');
sql('select pg_current_xact_id()') for 1 .. 3;
counters();
my ($held) = grep { /^baton_oldest_snapshot_age_transactions\{kind="session",.*name="the report"\}$/ }
  map { "baton_oldest_snapshot_age_transactions{kind=\"session\",role=\"$_\",name=\"the report\"}" }
  sql('select current_user');
cmp_ok($value->($held) || 0, '>=', 3, 'an old snapshot has its holder\'s name');
$reader->query('commit');
sql(q{begin}, q{select pg_current_xact_id()}, q{prepare transaction 'lost'});
counters();
isnt($value->('baton_oldest_snapshot_age_transactions{kind="prepared",role="'
		  . sql('select current_user') . '",name="lost"}'), '', 'a prepared transaction too');
sql(q{rollback prepared 'lost'});

check_memory($node);

# A restart is where counters begin again; what was there is loaded.
$node->restart;
ok(wait_sql($node, q{select loaded from baton.queue_counters() where queue = 'q'}, 1),
	'the message is loaded');
forget();
is(counters(), 'loaded 1', 'all others are 0 again');

done_testing();
