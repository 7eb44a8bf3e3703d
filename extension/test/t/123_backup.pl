# Base backups, recovery to a point in time, standbys that serve the views, promotion.
#
# Would catch: a message that was unfinished at the target of a recovery and doesn't come, or was finished and
# does; ids given out again that a consumer of the time before has seen for other messages; a standby whose verbs do
# something, or whose views break while the log is rewritten and emptied under them; memory that
# a promotion leaves as it was on the standby.
#
# Pitfalls 10, 12; finding 18.  Fail-over under load is in 013_standby_ledger.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $settings = "baton.window_size = 2048\nmax_standby_streaming_delay = 0\nwal_log_hints = on\nwal_keep_size = 256MB\n";
my $node = new_node('main', streaming => 1, archiving => 1, conf => $settings);

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

# Payloads of what can be received now, in order, completed.
sub take
{
	my ($server, $n) = @_;
	my @got;
	my $end = time() + 60;

	while (@got < $n && time() < $end)
	{
		$server->safe_psql('postgres', q{call baton.wait('q', '200 ms')});
		push @got, split(/\n/, $server->safe_psql('postgres', q{
			select payload from (select id, priority, payload, baton.complete(receipt) from baton.receive('q', 1000)) r
			order by priority desc, id}));
	}
	return join(',', @got);
}

my $counts = q{select status, count(*) from baton.message where queue = 'q' group by 1 order by 1};

# ----------------------------------------------------------------
#		A base backup while messages flow
# ----------------------------------------------------------------

query(q{
	select baton.create_queue('q', backoff => '0'), baton.create_queue('load');
	select count(baton.send('q', to_jsonb(g), priority => g % 2)) from generate_series(1, 20) g;
	select count(baton.complete(receipt, payload)) from baton.receive('q', 4);
	select count(baton.fail(receipt, 'once')) from baton.receive('q', 1);
	select baton.send('q', '21', delay => '1 hour');
	create table sent (id bigint primary key);
	create table done (id bigint primary key);
	create table stop (now boolean);
	create procedure produce() language plpgsql as $$
	begin
		while not exists (select from stop) loop
			insert into sent select baton.send('load', '1');
			commit;
		end loop;
	end $$;
	create procedure consume() language plpgsql as $$
	begin
		while not exists (select from stop) loop
			insert into done select id from (select id, baton.complete(receipt) from baton.receive('load', 3)) r;
			commit;
		end loop;
	end $$});
my @load = map { session($node) } 1, 2;
$load[0]->start('call produce()');
$load[1]->start('call consume()');
wait_until($node, 'select count(*) > 100 from done');
$node->backup('base');
wait_until($node, 'select count(*) > 300 from done');

# Who was in flight at the time of the backup isn't, where it is restored; who waited does.
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'base');
$restored->append_conf('postgresql.conf', "archive_mode = off\n");
$restored->start;
is($restored->safe_psql('postgres', $counts), "completed|4\npending|16\nscheduled|1", 'a backup has the log');
is(take($restored, 16), '9,11,13,15,17,19,2,4,6,8,10,12,14,16,18,20', 'what waited is delivered, in order');
is( $restored->safe_psql('postgres', q{
		select count(*) from sent full join (select id from baton.message where queue = 'load') m using (id) where sent.id is null or m.id is null}),
	0, 'sent and there');
is( $restored->safe_psql('postgres', q{
		select count(*) from done full join (select id from baton.message where queue = 'load' and status = 'completed') m using (id)
		where done.id is null or m.id is null}),
	0, 'done and finished');
$restored->safe_psql('postgres', 'create table stopped as select; insert into stop values (true)');
ok( wait_until(
		$restored,
		q{insert into done select id from (select id, baton.complete(receipt) from baton.receive('load', 5000)) r;
		select count(*) from sent where id not in (select id from done)}, 0),
	'what was not done comes, nothing twice');
check_memory($restored);
$restored->stop;

# ----------------------------------------------------------------
#		To a point in time
# ----------------------------------------------------------------

query('insert into stop values (true)');
$_->finish, $_->quit foreach @load;
my $holder = session($node);
$holder->query(q{create temp table held as select * from baton.receive('q', 3)});
query(q{select count(baton.send('q', to_jsonb(g))) from generate_series(101, 103) g});
my $seen = query('select max(id) from baton.message');
my $lsn = query('select pg_current_wal_insert_lsn()');

# After the target: finished, held, sent.
$holder->query('select count(baton.complete(receipt)) from held');
query(q{select count(baton.complete(receipt)) from baton.receive('q', 5); select count(baton.send('q', to_jsonb(g))) from generate_series(201, 203) g});
my $after = query('select max(id) from (select id from baton.message union all select id from baton.queue_log) i');
my $file = query('select pg_walfile_name(pg_switch_wal())');
wait_until($node, "select last_archived_wal >= '$file' from pg_stat_archiver");

my $earlier = PostgreSQL::Test::Cluster->new('earlier');
$earlier->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$earlier->append_conf('postgresql.conf', "recovery_target_lsn = '$lsn'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
$earlier->start;
wait_until($earlier, 'select not pg_is_in_recovery()');
is($earlier->safe_psql('postgres', $counts), "completed|4\npending|19\nscheduled|1", 'recovered to a point: as it was then');
is(take($earlier, 19), '9,11,13,15,17,19,2,4,6,8,10,12,14,16,18,20,101,102,103', 'unfinished then, delivered now; sent later, unknown');
my $id = $earlier->safe_psql('postgres', q{select baton.send('q', '301')});
cmp_ok($id, '>', $after, 'ids that were given out after the target are not given out again');
is(take($earlier, 1), '301', 'and it goes on');
set_clock($earlier, '2 hours');
is(take($earlier, 1), '21', 'what was delayed comes when it is time');
check_memory($earlier);
$earlier->stop;

# ----------------------------------------------------------------
#		A standby
# ----------------------------------------------------------------

my $standby = new_standby($node, 'standby', conf => "archive_mode = off\n");
my $reader = session($standby);

ok( wait_until($node, q{with done as materialized (select baton.complete(receipt) from baton.receive('load', 10000))
	select count(*) from done; select depth from baton.queue where name = 'load'}, "0\n0"), 'the load is over');
query(q{select baton.create_queue('short', retention => '0'); select count(baton.send('short', to_jsonb(g))) from generate_series(1, 1000) g;
	select count(baton.complete(receipt, payload)) from baton.receive('short', 1000)});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
foreach my $view ('message', 'queue_log', 'queue', 'in_flight', 'health', 'segment_status')
{
	like($reader->query("select count(*) from baton.$view"), qr/^\d+$/, "on a standby: baton.$view");
}
is($reader->query(q{select count(*), sum(result::int) from baton.message where queue = 'short' and status = 'completed'}),
	'1000|500500', 'on a standby: results');
is($reader->query(qq{select status, payload from baton.get('q', $seen)}), 'pending|103', 'on a standby: baton.get');
foreach my $verb (
	q{select baton.send('q', '1')}, q{select * from baton.receive('q')}, q{call baton.wait('q', '1 s')},
	q{call baton.cleanup_queue()}, q{select baton.purge_queue('q')}, q{call baton.check_hung_messages()},
	q{select baton.create_queue('x', retention => '0')})
{
	like($reader->error($verb), qr/^25006: /, "on a standby: $verb");
}

# Segments are emptied on the primary while somebody looks at the standby.
$reader->query('begin isolation level repeatable read');
$reader->query('select count(*) from baton.message');
query(q{select baton.alter_queue('load', retention => '0')});
query('call baton.cleanup_queue()');
ok( wait_until($node, q{select count(*) from baton.message where queue in ('load', 'short') and status = 'completed'}, 0),
	'finished messages are gone on the primary');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
ok(1, 'and the standby has replayed that');
# as for every TRUNCATE, a transaction that has read the table is in the way
is(eval { $reader->error('select count(*) from baton.message') } // 'its session has ended', 'its session has ended', 'a reader in a transaction makes way');
eval { $reader->kill };
$reader = session($standby);
is( $reader->query(q{select count(*) from baton.message where queue = 'short'}),
	query(q{select count(*) from baton.message where queue = 'short'}), 'views agree');
is($reader->query('select count(*) from baton.segment_status'), query('select count(*) from baton.segment_status'), 'segments too');

# ----------------------------------------------------------------
#		Promotion, and the old primary as its standby
# ----------------------------------------------------------------

query(q{select count(baton.send('q', to_jsonb(g))) from generate_series(401, 410) g;
	select count(baton.fail(receipt, 'again', retry_in => '0')) from baton.receive('q', 2)});
$holder->query(q{drop table held; create temp table held as select * from baton.receive('q', 3)});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $was_pending = query(q{select string_agg(payload #>> '{}', ',' order by priority desc, id) from baton.message where queue = 'q' and status in ('pending', 'running')});
my $last = query('select max(id) from (select id from baton.message union all select id from baton.queue_log) i');
$standby->promote;
is(take($standby, scalar(split(/,/, $was_pending))), $was_pending, 'promoted: what was unfinished is delivered, who held it or not');
cmp_ok($standby->safe_psql('postgres', q{select baton.send('q', '501')}), '>', $last, 'ids go on');
check_memory($standby);

# The old primary went on for a while, alone; then it follows.
query(q{select count(baton.send('q', to_jsonb(g))) from generate_series(601, 610) g; select count(baton.complete(receipt)) from baton.receive('q', 20)});
$holder->kill;
$node->stop;
$standby->safe_psql('postgres', 'checkpoint');
my $conf = $node->data_dir . '/postgresql.conf';
my $settings_of_node = slurp_file($conf);
command_ok([ 'pg_rewind', '--target-pgdata', $node->data_dir, '--source-server', $standby->connstr('postgres'), '--config-file', $conf ], 'pg_rewind');
unlink($conf);
append_to_file($conf, $settings_of_node . "archive_mode = off\n");
$node->enable_streaming($standby);
$node->set_standby_mode;
$node->start;
$standby->wait_for_catchup($node, 'replay', $standby->lsn('insert'));
is(query($counts), $standby->safe_psql('postgres', $counts), 'the old primary follows, and its views agree');
$standby->stop;
$node->promote;
is(take($node, 1), '501', 'promoted in turn: what was unfinished comes, and nothing of its own time alone');
check_memory($node);
unlike(slurp_file($_->logfile), qr/PANIC:|TRAP:/, $_->name . ': nothing crashed') foreach $node, $restored, $earlier, $standby;
$node->stop;
done_testing();
