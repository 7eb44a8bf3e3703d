# baton.queue.depth is the number of unfinished messages, whatever happens.
#
# Would catch: a way for a message to end that doesn't count, or counts twice: completed, dead, expired, purged in
# each state, moved, settled beside a restart, evicted and loaded again; a depth that jumps while finished messages
# are being moved; one that is wrong after tables were restored; a purge that touches rows.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', conf => "baton.segment_size = 256kB\nbaton.window_size = 1024\nautovacuum = off\n");

sub query { return $node->safe_psql('postgres', shift); }

# What the view counts; expired ones are not in it, but count until somebody comes by.
my $agrees = q{
	select string_agg(name || ' ' || coalesce(q.depth::text, '?') || ' ' || m.n, ', ' order by name) filter (where q.depth is distinct from m.n)
	from baton.queue q, lateral (select count(*) as n from baton.message m where m.queue = q.name and m.status in ('pending', 'scheduled', 'running')) m};
sub agrees { return ok(wait_until($node, "select coalesce(($agrees), '')", ''), "depth agrees: $_[0]"); }

# ---- purge: in each state of a message

query(q{select baton.create_queue('p', backoff => '1 h', backoff_max => '1 h')});
query(q{select count(*) from baton.send_batch('p', array(select to_jsonb(g) from generate_series(1, 3000) g))});
query(q{select baton.send('p', '1', delay => '10 s'), baton.send('p', '1', delay => '1 day'), baton.send('p', '1', key => 'k'), baton.send('p', '1', key => 'k', priority => 5), baton.send('p', '2', key => 'k', priority => 5)});
my $holder = session($node);
$holder->query(q{create temp table mine as select receipt, row_number() over () as n from baton.receive('p', 8)});
$holder->query(q{select baton.fail(receipt, 'no') from mine where n = 8});
agrees('before the purge');
my @open = map { session($node) } 1..3;
$_->query('begin') foreach @open;
$open[0]->query(q{select baton.send('p', '"lower"')});
$open[1]->query('begin; savepoint s'); $open[1]->query(q{select baton.send('p', '"rolled back"')}); $open[1]->query('rollback to s');
$open[2]->query(q{select baton.purge_queue('p'); select baton.send('p', '"higher"')});
is(query(q{select depth > 3000 from baton.queue where name = 'p'}), 't', 'a purge that is open changes nothing');
$open[2]->query('rollback');
agrees('rolled back purge');
my $rows = q{select (select count(*) from baton.message_log) + (select count(*) from baton.event_log)};
my $before = query($rows);
query(q{select baton.purge_queue('p')});
is(query(q{select depth from baton.queue where name = 'p'}), '7', 'at once only those that are held are left');
agrees('after the purge');
is(query($rows), $before, 'and no row was written');
like($open[0]->error('commit'), qr/^BT003/, 'a sender with a lower id can not commit');
$open[1]->query(q{select baton.send('p', '"after"')});
is($open[1]->error('commit'), '', 'one with a higher id can, though a savepoint had a lower one');
agrees('one new message');
is(query(q{select string_agg(status || ' ' || n, ',' order by status) from (select status, count(*) as n from baton.message where queue = 'p' group by 1) x}), 'cancelled|2998,pending|1,running|7' =~ s/\|/ /gr, 'the others are cancelled');
is(query(q{select count(*) from ids, baton.get('p', ids.id) g where g.status = 'cancelled'}), '3', 'get() says so, too')
	if query(q{create table ids as select id from baton.message where queue = 'p' and status = 'cancelled' limit 3; select 1});
$holder->query(q{select baton.complete(receipt) from mine where n <= 2; select baton.fail(receipt, 'x') from mine where n = 3; select baton.release(receipt) from mine where n = 4; select baton.fail(receipt, 'x', retry => false) from mine where n = 5});
agrees('settled after the purge');
is(query(q{select depth from baton.queue where name = 'p'}), '3', 'two are held, and the new one');
$holder->query('select baton.release_held()');
agrees('given back after the purge');
ok(wait_until($node, q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('p', 100, detached => true)) r}, '"after"'), 'only the new one is received');
agrees('empty');
query(q{begin; select baton.send('p', '1'); select baton.purge_queue('p'); select baton.send('p', '2'); commit});
is(query(q{select depth from baton.queue where name = 'p'}), '1', 'sent, purged and sent in one transaction');
query(q{select count(*) from baton.send_batch('p', array(select to_jsonb(g) from generate_series(1, 3000) g)); select baton.purge_queue('p'); select baton.send('p', '"last"')});
crash($node);
agrees('after a purge and a crash');
ok(wait_until($node, q{select string_agg(payload::text, ',') from (select payload, baton.complete(receipt) from baton.receive('p', 100, detached => true)) r}, '"last"'), 'and only what came later is there');
check_memory($node);

# ---- finished messages that are moved don't count

query(q{select baton.create_queue('done', retention => '1 year'), baton.create_queue('short', retention => '0')});
query(q{select count(*) from baton.send_batch('short', array(select to_jsonb(g) from generate_series(1, 100) g)); select count(*) from baton.send_batch('done', array(select to_jsonb(g) from generate_series(1, 20) g));
	select count(baton.complete(receipt)) from baton.receive('done', 100)});
query(q{select count(baton.complete(receipt)) from baton.receive('short', 500)});
hold($node, 'compact-marked');
my $cleaner = session($node);
$cleaner->start('call baton.cleanup_queue()');
ok(wait_held($node, 'compact-marked'), 'being moved');
is(query(q{select depth from baton.queue where name = 'done'}), '0', 'finished ones that are being moved are not counted');
release($node, 'compact-marked');
$cleaner->finish;

# ---- random operations

srand($ENV{BATON_TEST_SEED} // 4711);
query("select baton.create_queue('$_', backoff => '0', backoff_max => '0', max_attempts => 3, retention => case when '$_' = 'b' then '0' else '1 day' end::interval)") foreach qw(a b c e);
query('create table receipts (q text, receipt text)');
my @operation = (
	sub { query("select count(*) from baton.send_batch('$_[0]', array(select to_jsonb(g) from generate_series(1, 1 + (random() * 400)::int) g), priority => '{" . int(rand(3)) . "}')") },
	sub { query("select baton.send('$_[0]', '1', key => 'k' || (random() * 3)::int, delay => case when g % 3 = 0 then '1 h' when g % 3 = 1 then '20 s' end::interval) from generate_series(1, 20) g") },
	sub { query("select baton.send('e', '1', expires_in => case when g % 3 = 0 then '1 ms' end::interval) from generate_series(1, 600) g") },
	sub { query("select count(baton.complete(receipt)) from baton.receive('$_[0]', 200)") },
	sub { query("select count(*) from (select baton.fail(receipt, 'x', retry => n % 4 <> 0) from (select receipt, row_number() over () n from baton.receive('$_[0]', 20)) r) f") },
	sub { query("insert into receipts select '$_[0]', receipt from baton.receive('$_[0]', 10, detached => true)") },
	sub { $node->psql('postgres', 'delete from receipts where random() < 0.5 returning baton.release(receipt)') },
	sub { query('call baton.cleanup_queue()') },
	sub { rand() < 0.3 && query("select baton.purge_queue('$_[0]')") },
	sub { rand() < 0.15 && crash($node) });
foreach my $round (1..6)
{
	foreach (1..12)
	{
		my $queue = (qw(a b c))[rand 3];
		$operation[rand @operation]->($queue);
	}
	# what has expired goes when it is come by, so that queue is emptied
	ok(wait_until($node, q{select count(baton.complete(receipt)) from baton.receive('e', 1000); select depth, spilled from baton.queue where name = 'e'}, "0\n0|f"), 'what has expired counts no more');
	agrees("random operations, round $round") or last;
	check_memory($node) or last;
}

check_memory($node);
$node->stop;
done_testing();
