# Dumps taken while the queues are used, and restores of all kinds, into a server whose other databases work.
#
# Would catch: a dump with a finished message whose event it lacks; a keeper that starts in the middle of a
# restore and delivers what is finished, or delivers twice; messages that come in another order, or have lost
# their counts, their time or their result; a pair of tables that is taken for the log before its
# indexes are there, or never.
#
# Findings 14, 15.  The plain round trip is in 108_dump.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $from = new_node('from', conf => "baton.window_size = 4096\n");
my $to = new_node('to', conf => "baton.window_size = 4096\nbaton.max_queues = 64\n");

# ----------------------------------------------------------------
#		Where it comes from: every kind of message, and a queue under load
# ----------------------------------------------------------------

$from->safe_psql('postgres', 'create database app');
add_baton($from, 'app');
$from->safe_psql('app', q{
	select baton.create_queue('q', max_attempts => 5, backoff => '0'), baton.create_queue('load'), baton.create_queue('paused', lease => '7 min');
	select baton.pause_queue('paused');
	select count(baton.send('q', to_jsonb(g), priority => g % 3, headers => '{"h": 1}')) from generate_series(1, 1000) g;
	select count(baton.complete(receipt, payload)) from baton.receive('q', 300);
	select count(baton.fail(receipt, 'broken', retry => false)) from baton.receive('q', 20);
	select count(baton.fail(receipt, 'again')) from baton.receive('q', 10);
	select count(baton.fail(receipt, 'once more')) from baton.receive('q', 5);
	select count(baton.send('q', to_jsonb(g), delay => '1 hour')) from generate_series(1001, 1010) g;
	select count(baton.send('q', to_jsonb(g), expires_in => '1 ms')) from generate_series(1011, 1013) g;
	select baton.send('q', '1014', key => 'k', priority => 9), baton.send('q', '1015', key => 'k')});
$from->safe_psql('app', q{
	select count(baton.fail(receipt, 'holds its key', retry_in => '1 hour')) from baton.receive('q');
	select count(baton.fail(receipt, 'later', retry_in => '30 min')) from baton.receive('q', 10);
	select count(baton.release(receipt, delay => '20 min')) from baton.receive('q', 5);
	select count(baton.send('paused', to_jsonb(g))) from generate_series(1, 3) g});
my $lost = session($from, database => 'app');
$lost->query(q{select count(*) from baton.receive('q', 5)});
$lost->kill;
ok( wait_until($from, q{select count(*) from baton.queue_log where action = 'vanished'}, 5, database => 'app'),
	'some were lost by their consumer');
my $holder = session($from, database => 'app');
$holder->query(q{select count(*) from baton.receive('q', 20)});

# Producers and consumers that keep their own account, in the same transactions.
$from->safe_psql('app', q{
	create table sent (id bigint primary key);
	create table done (id bigint primary key);
	create table stop (now boolean);
	create procedure produce() language plpgsql as $$
	begin
		while not exists (select from stop) loop
			insert into sent select baton.send('load', to_jsonb(1), delay => case when random() < 0.2 then '10 ms'::interval end);
			if random() < 0.05 then rollback; end if;
			commit;
		end loop;
	end $$;
	create procedure consume() language plpgsql as $$
	begin
		while not exists (select from stop) loop
			if random() < 0.1 then
				perform baton.fail(receipt, 'by chance', retry_in => '1 ms') from baton.receive('load', 3);
			else
				insert into done select id from (select id, baton.complete(receipt, '"done"') from baton.receive('load', 3)) r;
			end if;
			if random() < 0.05 then rollback; end if;
			commit;
		end loop;
	end $$});
my @load = map { session($from, database => 'app') } 1 .. 4;
$_->start('call produce()') foreach @load[ 0, 1 ];
$_->start('call consume()') foreach @load[ 2, 3 ];
wait_until($from, 'select count(*) > 300 from done', 't', database => 'app');

command_ok([ 'pg_dump', '-Fd', '-j2', '-f', "$dir/directory", $from->connstr('app') ], 'pg_dump -Fd -j2, under load');
command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", $from->connstr('app') ], 'pg_dump -Fc, under load');
$from->safe_psql('app', 'insert into stop values (true)');
$_->finish foreach @load;
$_->quit foreach @load;
# the rest is dumped at rest
command_ok([ 'pg_dump', '-Fp', '-f', "$dir/plain", $from->connstr('app') ], 'pg_dump -Fp');
command_ok([ 'pg_dump', '--schema-only', '-Fc', '-f', "$dir/schema", $from->connstr('app') ], 'pg_dump --schema-only');
command_ok([ 'pg_dump', '--data-only', '-Fc', '-f', "$dir/data", $from->connstr('app') ], 'pg_dump --data-only');

# All that a message is, but for who holds it; what was held waits.
my $facts = q{select id, case status when 'running' then 'pending' else status end, failures, crashes, sent_at, deliver_at, expires_at,
	priority, key, headers, payload, result, error from baton.message where queue = 'q' order by id};
my $expected = $from->safe_psql('app', $facts);
# What can be received, in order.
my $order = q{select payload from baton.message where queue = 'q' and status in ('pending', 'running') and key is null order by priority desc, id};
my $in_order = $from->safe_psql('app', $order);
my $ready = () = $in_order =~ /^/mg;
my $last = 'select max(id) from (select id from baton.message_log union all select id from baton.event_log) i';

# ----------------------------------------------------------------
#		Where it goes
# ----------------------------------------------------------------

my $take = q{select payload from (select payload, id, priority, baton.complete(receipt) from baton.receive('q', 5000)) r order by priority desc, id};

# What the log says, and what comes of it.
sub check_database
{
	my ($database, $name) = @_;

	is($to->safe_psql($database, $facts), $expected, "$name: every message is what it was");
	is( $to->safe_psql($database, q{select name, max_attempts, lease, paused from baton.queue order by 1}),
		"load|10|00:05:00|f\npaused|10|00:07:00|t\nq|5|00:05:00|f", "$name: queues have their policy");
	is( $to->safe_psql($database, q{select count(*) from sent full join (select id from baton.message where queue = 'load') m using (id)
			where sent.id is null or m.id is null}),
		0, "$name: whose send committed has its message");
	is( $to->safe_psql($database, q{select count(*) from done full join (select id from baton.message where queue = 'load' and status = 'completed' and result = '"done"') m using (id)
			where done.id is null or m.id is null}),
		0, "$name: whose work was done is finished");
	return;
}

# Everything that isn't finished comes, once, in order.
sub drain_database
{
	my ($database, $name) = @_;

	ok( wait_until($to, qq{select ready >= $ready from baton.queue where name = 'q'}, 't', database => $database),
		"$name: the keeper has found it");
	is($to->safe_psql($database, $take), $in_order, "$name: what waited is delivered, in order");
	ok( wait_until(
			$to,
			q{insert into done select id from (select id, baton.complete(receipt) from baton.receive('load', 5000)) r;
			select count(*) from sent where id not in (select id from done)}, 0, database => $database),
		"$name: what wasn't done is delivered, nothing twice");
	set_clock($to, '2 hours');
	ok( wait_until($to, q{select ready from baton.queue where name = 'q'}, 26, database => $database),
		"$name: the delayed are ready when it is time");
	is($to->safe_psql($database, "select count(*) from ($take) r; $take"), "26\n1015",
		"$name: all of them come, then the one whose key was held");
	set_clock($to, '0');
	my $before = $to->safe_psql($database, $last);
	cmp_ok($to->safe_psql($database, q{select baton.send('load', '0')}), '>', $before, "$name: no id comes again");
	$to->safe_psql('postgres', "drop database $database with (force)");
	return;
}

sub new_database
{
	my ($database) = @_;
	$to->safe_psql('postgres', "create database $database");
	return $to->connstr($database);
}

# A keeper that has just started, and looked: it does at once what another one does every few seconds.
sub new_keeper
{
	my ($database) = @_;
	my $old = worker_pid($to, 'baton keeper', $database);

	$to->safe_psql('postgres', "select pg_terminate_backend($old)");
	return wait_until(
		$to,
		"select count(*) from pg_stat_activity where backend_type = 'baton keeper' and datname = '$database' and pid <> $old and wait_event = 'Extension'", 1);
}

# ---- a consumer is there all the time ----

# It takes what it gets, as soon as there is a queue.
sub restore_watched
{
	my ($name, $database, @command) = @_;
	my $out = '';
	my $restore = IPC::Run::start([ @command ], '>', \$out, '2>&1');
	my $early = 0;

	while ($restore->pumpable)
	{
		$restore->pump_nb;
		$to->psql($database, q{insert into early select id from (select id, baton.complete(receipt) from baton.receive('load', 100)) r},
			stderr => \my $ignored, on_error_stop => 1);
	}
	$restore->finish;
	is($out, '', "$name: restored") or return;
	new_keeper($database);
	ok( wait_until(
			$to,
			q{insert into early select id from (select id, baton.complete(receipt) from baton.receive('load', 5000)) r;
			select count(*) from sent where id not in (select id from done union all select id from early)}, 0, database => $database),
		"$name: all that wasn't done was delivered");
	is($to->safe_psql($database, 'select count(*) from early join done using (id)'), 0, "$name: nothing that was done");
	$to->safe_psql('postgres', "drop database $database with (force)");
	return;
}

foreach my $options ('-j4 directory', 'custom')
{
	my @options = split(/ /, $options);
	my $file = pop @options;
	my $to_database = new_database('watched');

	$to->safe_psql('watched', 'create table early (id bigint primary key)');
	restore_watched("pg_restore $options", 'watched', 'pg_restore', @options, '-d', $to_database, "$dir/$file");
}

# ---- step by step, with a keeper that looks after each ----

my $target = new_database('steps');

command_ok([ 'pg_restore', '--section=pre-data', '-d', $target, "$dir/custom" ], 'tables');
ok(new_keeper('steps'), 'a keeper starts');
command_ok([ 'pg_restore', '--section=data', '-d', $target, "$dir/custom" ], 'rows');
ok(new_keeper('steps'), 'a keeper starts');
ok( wait_until($to, q{select count(*) from baton.queue where ready is not null}, 3, database => 'steps'), 'it knows the queues');
is($to->safe_psql('steps', q{select count(*) from baton.receive('q', 10) a, baton.receive('load', 10) b}), 0,
	'nothing is delivered whose indexes are missing');
my $before = $to->safe_psql('steps', $last);
my $early = $to->safe_psql('steps', q{select baton.send('q', '9999', priority => 9)});
cmp_ok($early, '>', $before, 'what is sent meanwhile has an id of its own');
is($to->safe_psql('steps', q{select payload from (select payload, baton.complete(receipt) from baton.receive('q', 10)) r}), 9999, 'and comes');
# the pair becomes complete after the keeper has looked which there are, and before it writes down what it found
hold($to, 'adopt-registered');
$to->safe_psql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'baton keeper' and datname = 'steps'");
wait_until($to, q{select count(*) from pg_stat_activity where backend_type = 'baton keeper' and datname = 'steps' and backend_xmin is not null and wait_event = 'Extension'}, 1);
command_ok([ 'pg_restore', '--section=post-data', '-d', $target, "$dir/custom" ], 'indexes');
release($to, 'adopt-registered');
is($to->safe_psql('steps', $facts =~ s/order by/and payload <> '9999' order by/r), $expected, 'step by step: every message is what it was');
drain_database('steps', 'step by step');

# ---- tables first, rows later ----

$target = new_database('apart');
command_ok([ 'pg_restore', '-d', $target, "$dir/schema" ], 'pg_restore of the schema');
# the keeper takes the empty tables for what is left of a segment
ok( wait_until($to, q{select string_agg(state, ',') from baton.segment}, 'free', database => 'apart'),
	'the keeper has seen to the empty tables');
command_ok([ 'pg_restore', '-d', $target, "$dir/data" ], 'pg_restore of the data');
ok(new_keeper('apart'), 'a keeper starts');
check_database('apart', 'schema and data apart');
drain_database('apart', 'schema and data apart');
check_memory($to);

# ---- without preload first ----

$to->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$to->restart;
$target = new_database('later');
command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $target, '-f', "$dir/plain" ], 'a plain dump, without preload');
check_database('later', 'without preload');
like(($to->psql('later', q{select * from baton.receive('q')}))[2], qr/shared_preload_libraries/, 'without preload: the verbs say what to do');
$to->append_conf('postgresql.conf', "shared_preload_libraries = 'baton'\n");
$to->restart;
check_database('later', 'with preload');
drain_database('later', 'with preload');

check_memory($_) foreach $from, $to;
unlike(slurp_file($_->logfile), qr/PANIC:|TRAP:|baton keeper" .*signal/, 'nothing crashed') foreach $from, $to;
$_->stop foreach $from, $to;
done_testing();
