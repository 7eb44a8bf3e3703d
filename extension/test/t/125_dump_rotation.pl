# Dumps and restores while segments are opened, sealed, compacted and emptied; the tables' tablespace.
#
# Would catch: a dump without a message that compaction moved, and emptied the old place of, between the dump's
# snapshot and its lock (finding 15); a message that a restore brings twice, or from the place where it
# doesn't count any more; numbers of restored pairs that clash with new ones; rows of baton.segment that
# say of restored tables what isn't so; segments that aren't where their parent is.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $space = PostgreSQL::Test::Utils::tempdir_short();
my $conf = "baton.window_size = 2048\nbaton.segment_size = 1MB\n";
my $from = new_node('from', conf => $conf);
my $to = new_node('to', conf => $conf);

# ---- a log with a history: survivors that were moved, segments that were emptied ----

$from->safe_psql('postgres', "create tablespace space location '$space'");
$from->safe_psql('postgres', 'create database app');
add_baton($from, 'app');
$from->safe_psql('app', q{
	alter table baton.message_log set tablespace space;
	select baton.create_queue('old', backoff => '0'), baton.create_queue('flow', retention => '0');
	create table sent (id bigint primary key);
	create table done (id bigint primary key);
	create procedure flow(rounds int) language plpgsql as $$
	begin
		for i in 1 .. rounds loop
			insert into sent select baton.send('flow', to_jsonb(repeat(md5(random()::text), 60))) from generate_series(1, 20);
			insert into done select id from (select id, baton.complete(receipt) from baton.receive('flow', 25)) r;
			commit;
		end loop;
	end $$});

# Messages that stay, two in each segment.
foreach my $i (1 .. 8)
{
	$from->safe_psql('app', "select baton.send('old', to_jsonb($i)), baton.send('old', to_jsonb(100 + $i), delay => '1 hour')");
	$from->safe_psql('app', q{select baton.fail(receipt, 'once') from baton.receive('old')}) if $i == 3;
	$from->safe_psql('app', q{select baton.complete(receipt, '"early"') from baton.receive('old')}) if $i == 5;
	my $open = $from->safe_psql('app', q{select number from baton.segment where state = 'open' and not survivors});
	$from->safe_psql('app', 'call flow(40)');
	wait_until($from, "select number <> $open from baton.segment where state = 'open' and not survivors", 't', database => 'app');
}

# ---- dumps, while all of that goes on: segments are opened, and emptied after their survivors were moved ----

my $flow = session($from, database => 'app');
my $cleaner = session($from, database => 'app');
$flow->start('call flow(60)');
$cleaner->start('call baton.cleanup_queue()');
command_ok([ 'pg_dump', '-Fd', '-j2', '-f', "$dir/1", $from->connstr('app') ], 'a dump, while segments come and go');
$cleaner->finish;
$flow->finish;

# The same step by step: the snapshot, the move, the attempt to empty the old place, and only then the dump's locks.
my $late = q{select payload, status from baton.message where queue = 'late' order by id};
$from->safe_psql('app', q{select baton.create_queue('late')});
foreach my $i (1 .. 3)
{
	$from->safe_psql('app', "select baton.send('late', to_jsonb($i))");
	my $open = $from->safe_psql('app', q{select number from baton.segment where state = 'open' and not survivors});
	$from->safe_psql('app', 'call flow(40)');
	wait_until($from, "select number <> $open from baton.segment where state = 'open' and not survivors", 't', database => 'app');
}
my $snapshot = $flow->query(q{begin isolation level repeatable read; select pg_export_snapshot()});
my $moved = (split(/\|/, $cleaner->query('call baton.cleanup_queue()')))[2];
cmp_ok($moved, '>', 0, 'survivors are moved');
$cleaner->query('call baton.cleanup_queue()');
is($flow->query($late), "1|pending\n2|pending\n3|pending", 'an older snapshot still sees each of them once');
is($cleaner->query($late), "1|pending\n2|pending\n3|pending", 'and so does a new one');
command_ok([ 'pg_dump', '-Fd', '-j2', "--snapshot=$snapshot", '-f', "$dir/2", $from->connstr('app') ], 'a dump by the older snapshot');
$flow->query('commit');
cmp_ok($from->safe_psql('app', q{select count(distinct number) from baton.segment}), '>', 3, 'in several segments');
is( $from->safe_psql('app', q{select count(*) from pg_class c left join pg_tablespace t on t.oid = reltablespace
		where relname ~ '^message_log_[0-9]+$' and spcname is distinct from 'space'
			and substring(relname, '[0-9]+$')::int > 1}),
	0, 'segments are in the tablespace of their parent');

# ---- restored ----

my $old = q{select payload, status, failures, result from baton.message where queue = 'old' order by id};
my $expected = $from->safe_psql('app', $old);

$to->safe_psql('postgres', q{select baton.create_queue('here'); select baton.send('here', '1')});
foreach my $i (1, 2)
{
	my $database = "app$i";

	$to->safe_psql('postgres', "create database $database");
	command_ok([ 'pg_restore', '-j4', '--no-tablespaces', '-d', $to->connstr($database), "$dir/$i" ], "restore $i");
	is($to->safe_psql($database, $old), $expected, "restore $i: each old message once, as it was");
	is( $to->safe_psql($database, q{
			select count(*) from (select id from sent except select id from done) s
			full join (select id from baton.message where queue = 'flow' and status = 'pending') m using (id) where s.id is null or m.id is null}),
		0, "restore $i: what was sent and not done waits");
	ok( wait_until(
			$to,
			q{insert into done select id from (select id, baton.complete(receipt) from baton.receive('flow', 5000)) r;
			select count(*) from sent where id not in (select id from done)}, 0, database => $database),
		"restore $i: and comes, nothing twice");
	my @got;
	while (@got < 7 && $to->safe_psql($database, q{call baton.wait('old', '20 s')}) eq 't')
	{
		push @got, split(/\n/, $to->safe_psql($database, q{select payload from (select payload, baton.complete(receipt) from baton.receive('old', 100)) r}));
	}
	is(join(',', @got), '2,3,4,5,6,7,8', "restore $i: those of before, in order");

	is($to->safe_psql($database, $late), $i == 2 ? "1|pending\n2|pending\n3|pending" : '', "restore $i: what was moved under the dump");

	# it rotates and cleans up as if it had always been here
	$to->safe_psql($database, q{
		select count(baton.send('flow', to_jsonb(repeat(md5(g::text), 60)))) from generate_series(1, 2000) g;
		select count(baton.complete(receipt)) from baton.receive('flow', 2000)});
	$to->safe_psql($database, 'call baton.cleanup_queue()');
	ok( wait_until($to, q{select count(*) from baton.message where queue = 'flow'}, 0, database => $database),
		"restore $i: finished messages go, restored ones too");
	is($to->safe_psql($database, q{select count(*) from baton.message where queue = 'old'}), 16, "restore $i: retained ones stay");
	set_clock($to, '2 hours');
	ok(wait_until($to, q{select ready from baton.queue where name = 'old'}, 8, database => $database), "restore $i: the delayed are ready when it is time");
	is( $to->safe_psql($database, q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('old', 100)) r}),
		'101,102,103,104,105,106,107,108', "restore $i: and come, in order");
	set_clock($to, '0');
	$to->safe_psql('postgres', "drop database $database with (force)");
}

check_memory($_) foreach $from, $to;
unlike(slurp_file($_->logfile), qr/PANIC:|TRAP:|could not open relation/, $_->name . ': nothing broke') foreach $from, $to;
$_->stop foreach $from, $to;
done_testing();
