# Moved messages whose old rows are still there, and those who find both.
#
# Would catch: two cleanups at once that both move a message, so that it is there twice, and a finished one is
# delivered again; a message that the loader loses because it finds the old row first; one of a key that is
# received before another of its key that is just being moved; a message that crashed the server and isn't declared
# dead, because a cleanup has looked at it before the loader; two rows, or none, in a view, in get() or in a dump
# (finding 15), at any moment.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "baton.segment_age = 0\nbaton.window_size = 1024\nautovacuum = off\n");

sub query { return $node->safe_psql('postgres', shift); }

query(q{select baton.create_queue('full', retention => '0')});

# Finished messages of `full`, so that a segment is worth compacting.
sub fill
{
	query(qq{select count(*) from baton.send_batch('full', array(select to_jsonb(g) from generate_series(1, $_[0]) g));});
	query(q{select count(baton.complete(receipt)) from baton.receive('full', 10000)});
	return;
}

# Another segment is opened, and the one before is closed; survivors' segments, too.
sub rotate
{
	my $open = query(q{select max(opened_at) from baton.segment where not survivors});

	query("alter system set baton.segment_size = '64kB'");
	$node->reload;
	ok(wait_until($node, "select count(*) from baton.segment where state = 'open' and not survivors and opened_at > '$open'", 1), 'another segment is open');
	ok(wait_until($node, q{select count(*) from baton.segment where state = 'sealed'}, 0), 'those before are closed');
	query('alter system reset baton.segment_size');
	$node->reload;
	return;
}

# ---- two cleanups at once

query(q{select baton.create_queue('results', retention => '1 year')});
fill(800) foreach 1..4;
query(q{
	select count(*) from baton.send_batch('results', array(select to_jsonb(g) from generate_series(1, 150) g));
	select count(baton.complete(receipt, payload)) from baton.receive('results', 150);});
query(q{select baton.create_queue('held'), baton.send('held', '1')});
my @cleaner = map { session($node) } 1..2;
my $holder = session($node);
is($holder->query(q{select payload from baton.receive('held')}), '1', 'one is held, so the segment stays');
my $reader = session($node);
$reader->query('begin; select from baton.message_log limit 0');    # nothing is emptied
hold($node, 'compact-copied');
$cleaner[0]->start('call baton.cleanup_queue()');
ok(wait_held($node, 'compact-copied'), 'being moved');
$cleaner[1]->start('call baton.cleanup_queue()');
ok(wait_until($node, 'select wait_event from pg_stat_activity where pid = ' . $cleaner[1]->pid, 'object'), 'the second waits for its turn');
query('select pg_cancel_backend(' . $cleaner[0]->pid . ')');
like($cleaner[0]->finish_error, qr/^57014/, 'the first is cancelled, and has a list of the others');
release($node, 'compact-copied');
is((split /\|/, $cleaner[1]->finish)[2], 150, 'the second moves all');
$holder->query('select baton.release_held()');
set_clock($node, '61 s');
$cleaner[0]->query('call baton.cleanup_queue()');
set_clock($node, '0 s');
is(query(q{select count(*), count(distinct id), sum(result::int) from baton.message where queue = 'results'}), '150|150|11325', 'the view has each once');
is(query(q{select count(*), count(distinct id), sum(detail::int) from baton.queue_log where queue = 'results'}), '150|150|11325', 'the log, too');
is(query(q{select count(*) from baton.receive('results', 10)}), '0', 'none is delivered again');
is(query(q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('held', 10)) r}), '1', 'what was held is delivered once');
$reader->query('commit');
$_->quit foreach @cleaner;

# ---- the loader finds a message in three segments

query(q{select baton.create_queue('loaded'), baton.create_queue('short', retention => '0')});
fill(300);
query(q{select baton.send('loaded', to_jsonb(g), delay => case when g > 40 then '1 h' end::interval) from generate_series(1, 60) g;
	select baton.send('short', to_jsonb(g)) from generate_series(1, 30) g});
fill(300);
$reader->query('begin; select from baton.message_log limit 0');
query('call baton.cleanup_queue()');
query(q{select count(baton.complete(receipt)) from baton.receive('short', 100)});
query(q{select baton.alter_queue('results', retention => '0'), baton.send('full', '0')});
rotate();    # the survivors' segment is full now
$reader->query('select from baton.message_log limit 0');
query('call baton.cleanup_queue()');
cmp_ok(query(q{select count(*) from baton.message_log where queue_id = (select id from baton.queue_definition where name = 'loaded')}), '>=', 180, 'moved twice');
crash($node);
$reader = session($node);
ok(wait_until($node, q{select depth from baton.queue where name = 'loaded'}, 60), 'the loader has none less and none more');
ok(wait_until($node, q{select ready from baton.queue where name = 'loaded'}, 40), 'those that are due are in memory');
is(query(q{select string_agg(payload::text, ',' order by n) from (select row_number() over () n, payload, baton.complete(receipt) from baton.receive('loaded', 100)) r}),
	join(',', 1..40), 'and received, in order');
set_clock($node, '2 h');
query('create table got (payload jsonb)');
ok(wait_until($node, q{insert into got select r.payload from baton.receive('loaded', 100) r, lateral (select baton.complete(receipt)) c; select count(*) from got}, 20), 'the others when it is time');
is(query('select count(distinct payload) from got'), 20, 'each once');
set_clock($node, '0 s');
is(query(q{select depth from baton.queue where name = 'loaded'}), 0, 'none is left');

# ---- of one key, the first is being moved and has no slot

query(q{select baton.create_queue('key')});
fill(300);
query(q{select baton.send('key', '1', key => 'k')});
fill(300);
rotate();
query(q{select baton.send('key', '2', key => 'k'), baton.send('key', '3')});
hold($node, 'load-cursor-moved');
crash($node);
ok(wait_held($node, 'load-cursor-moved'), 'the loader is held');
hold($node, 'compact-marked');
my $cleaner = session($node);
$cleaner->start('call baton.cleanup_queue()');
ok(wait_held($node, 'compact-marked'), 'being moved');
release($node, 'load-cursor-moved');
ok(wait_until($node, q{select ready from baton.queue where name = 'key'}, 2), 'the others are loaded');
is(query(q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('key', 10)) r}), '3', 'but the one of the same key waits');
release($node, 'compact-marked');
$cleaner->finish;
is(query(q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('key', 10)) r}), '1', 'the first comes first');
is(query(q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('key', 10)) r}), '2', 'and then the second');
$cleaner->quit;
check_memory($node);

# ---- a message that was in flight at a crash is looked at by a cleanup before the loader

query(q{select baton.create_queue('poison', max_crashes => 1)});
fill(300);
query(q{select baton.send('poison', '1')});
fill(300);
rotate();
my $victim = session($node);
is($victim->query(q{select payload from baton.receive('poison')}), '1', 'in flight, alone');
hold($node, 'load-cursor-moved');
crash($node);
ok(wait_held($node, 'load-cursor-moved'), 'the loader is held');
$cleaner = session($node);
$cleaner->query('call baton.cleanup_queue()');
release($node, 'load-cursor-moved');
ok(wait_until($node, q{select string_agg(action, ',' order by id) from baton.queue_log where queue = 'poison'}, 'vanished,dead'), 'it did it, and is dead');
is(query(q{select status from baton.message where queue = 'poison'}), 'dead', 'as the view says');
$cleaner->quit;

# ---- who looks meanwhile sees each once

query(q{
	select baton.create_queue('seen', retention => '1 year');
	create table counts (what text, n bigint, different bigint);
	create procedure look(rounds int) language plpgsql as $$
	begin
		for i in 1..rounds loop
			insert into counts select 'message', count(*), count(distinct id) from baton.message where queue = 'seen';
			insert into counts select 'queue_log', count(*), count(distinct id) from baton.queue_log where queue = 'seen';
			insert into counts select 'get', count(*), count(distinct g.id) from ids, baton.get('seen', ids.id) g;
			insert into counts select 'results', count(*), sum(result::int) from baton.message where queue = 'seen' and result is not null;
			commit;
			exit when exists (select from done);
		end loop;
	end $$;
	create table done (x int); create table ids (id bigint)});
fill(300);
query(q{
	insert into ids select baton.send('seen', to_jsonb(g), delay => case when g % 3 = 0 then '1 h' end::interval) from generate_series(1, 90) g;
	select count(baton.complete(receipt, payload)) from baton.receive('seen', 30)});
fill(300);
$reader = session($node);
$reader->query('begin isolation level repeatable read; select count(*) from counts');
my @looker = map { session($node) } 1..2;
$_->start('call look(100000)') foreach @looker;
$cleaner = session($node);
my $dumps = PostgreSQL::Test::Utils::tempdir();
hold($node, $_) foreach 'compact-marked', 'compact-copied', 'compact-committed';
$cleaner->start('call baton.cleanup_queue()');
foreach my $point ('compact-marked', 'compact-copied', 'compact-committed')
{
	ok(wait_held($node, $point), "at $point");
	is($reader->query(q{select count(*), count(distinct id) from baton.message where queue = 'seen'}), '90|90', "held at $point: an older snapshot sees each once");
	command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/$point", $node->connstr('postgres') ], "pg_dump at $point");
	is($reader->query(q{select count(*), count(distinct g.id) from ids, baton.get('seen', ids.id) g}), '90|90', 'get() finds each once');
	release($node, $point);
}
$cleaner->finish;
is($reader->query(q{select count(*), count(distinct id) from baton.message where queue = 'seen'}), '90|90', 'and afterwards');
is($reader->query(q{select count(*), count(distinct g.id) from ids, baton.get('seen', ids.id) g}), '90|90', 'get(), too');
is(query(q{select count(*) > 90 from baton.message_log where queue_id = (select id from baton.queue_definition where name = 'seen')}), 't', 'moved, and the old rows are kept for the older snapshot');
query('insert into done values (1)');
$_->finish foreach @looker;
$reader->query('commit');
query('call baton.cleanup_queue()');
is(query(q{select count(*) from baton.message_log where queue_id = (select id from baton.queue_definition where name = 'seen')}), 90, 'not after its end');
is(query(q{select what, n, different from counts group by 1, 2, 3 order by 1, 2}), join("\n", 'get|90|90', 'message|90|90', 'queue_log|30|30', 'results|30|' . query(q{select sum(result::int) from baton.message where queue = 'seen'})),
	'whoever looked saw each once at every moment');

foreach my $point ('compact-marked', 'compact-copied', 'compact-committed')
{
	query("create database \"$point\"");
	command_ok([ 'pg_restore', '-d', $node->connstr($point), "$dumps/$point" ], "the dump of $point is restored");
	my $sql = q{select count(*), count(distinct id), count(*) filter (where status = 'completed'), count(*) filter (where status = 'scheduled') from baton.message where queue = 'seen'};
	is($node->safe_psql($point, $sql), query($sql), 'with each message once');
	$sql = q{select action, count(*), count(distinct id) from baton.queue_log where queue = 'seen' group by 1};
	is($node->safe_psql($point, $sql), query($sql), 'and each event');
	ok(wait_until($node, q{select depth from baton.queue where name = 'seen'}, 60, database => $point), 'the depth is right');
	is($node->safe_psql($point, q{select count(*), count(distinct id) from baton.receive('seen', 1000)}), query(q{select count(*), count(*) from baton.message where queue = 'seen' and status = 'pending'}), 'and what is due is delivered once');
}

check_memory($node);
$node->stop;
done_testing();
