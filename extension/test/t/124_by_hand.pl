# A superuser changes the log by hand: deletes, updates and truncates, drops tables and indexes, adds columns, indexes
# and triggers, while the queues are in use.
#
# Would catch: a crash; a queue, or its keeper, that is stuck for one row or table that isn't as it was
# left, so that other messages don't flow; consumers that spin on a message that nobody can read; something that
# goes missing without a word in the server's log.
#
# After each damage all that isn't damaged is delivered, and new messages flow; what is gone isn't waited for.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "baton.window_size = 1024\n");
my $worker = session($node);
my $holder = session($node);
my $hand = session($node);
my $log_start = 0;

$node->safe_psql('postgres', q{select baton.create_queue(q, max_attempts => 3, backoff => '0') from unnest(array['q', 'other']) q});

# The log's tables, newest last.
sub tables
{
	my ($parent) = @_;
	return split(/\n/, $node->safe_psql('postgres', "select inhrelid::regclass from pg_inherits where inhparent = 'baton.${parent}_log'::regclass
		order by substring(inhrelid::regclass::text, '[0-9]+')::int"));
}

sub send_many
{
	my ($first, $last, $options) = @_;
	$options //= '';
	return $node->safe_psql('postgres',
		"select count(baton.send('q', to_jsonb(g)$options)) from generate_series($first, $last) g");
}

# Payloads of all that come, in order, until nothing is left that could; at least so many, unless the time is over.
sub take_all
{
	my ($queue, $atleast) = @_;
	my $end = time() + 20;
	my @got;

	while (1)
	{
		my $more = $worker->query(qq{
			select payload from (select payload, baton.complete(receipt) from baton.receive('$queue', 100)) m});

		push @got, split(/\n/, $more);
		next if $more ne '';
		last if time() > $end;
		last if @got >= ($atleast // 0)
		  && $worker->query("select ready + blocked + in_flight = 0 from baton.queue where name = '$queue'") eq 't';
		$worker->query("call baton.wait('$queue', '20 ms')");
	}
	return \@got;
}

# In ranges: "1-3,5".
sub ranges
{
	my ($list) = @_;
	my @ranges;

	foreach (sort { $a <=> $b } @$list)
	{
		if (@ranges && $ranges[-1][1] == $_ - 1) { $ranges[-1][1] = $_ }
		else { push @ranges, [ $_, $_ ] }
	}
	return join(',', map { $_->[0] == $_->[1] ? $_->[0] : "$_->[0]-$_->[1]" } @ranges);
}

# How many they are.
sub count_of
{
	my ($ranges) = @_;
	my $n = 0;

	$n += ($_ =~ /(\d+)-(\d+)/ ? $2 - $1 + 1 : 1) foreach split(/,/, $ranges);
	return $n;
}

# What the server's log has got since the last look.
sub new_log
{
	my $text = slurp_file($node->logfile, $log_start);

	$log_start = -s $node->logfile;
	return $text;
}

# The end of each part: the rest came, the queue is empty, others and new messages flow.
sub flows
{
	my ($name, $expected, $said) = @_;
	my $got = take_all('q', count_of($expected));

	is(ranges($got), $expected, "$name: the rest comes");
	is($worker->query(q{call baton.wait('q', '0 s')}), 'f', "$name: nobody is woken for nothing");
	$node->safe_psql('postgres', q{select baton.send('q', '-1', key => 'k'), baton.send('other', '-2')});
	is(join(',', @{ take_all('q', 1) }, @{ take_all('other', 1) }), '-1,-2', "$name: new messages flow");
	my $log = new_log();
	like($log, $said, "$name: the server's log says it") if $said;
	unlike($log, qr/PANIC|TRAP|terminated by signal|unexpected|could not open relation|cache lookup/, "$name: nothing broke");
	unlike($log, qr/(FATAL|background worker "baton keeper".*exited)/, "$name: the keeper stays");
	return check_memory($node);
}

sub restart
{
	$node->restart;
	$_ = session($node) foreach ($worker, $holder, $hand);
	worker_pid($node, 'baton keeper', 'postgres');
	new_log();
	return;
}

send_many(0, 0);
take_all('q');
my ($messages) = tables('message');
my ($events) = tables('event');
worker_pid($node, 'baton keeper', 'postgres');
new_log();

# ---- rows of waiting messages ----

send_many(1, 30);
$hand->query("delete from $messages where queue_id = 1 and payload::int between 1 and 10");
flows('rows deleted', '11-30', qr/LOG:  .*not in the log any more/);

send_many(1, 30);
$hand->query("delete from $messages where queue_id = 1 and payload::int between 5 and 10");
$hand->query("vacuum $messages");
flows('rows deleted, and vacuumed', '1-4,11-30', qr/LOG:  .*not in the log any more/);

send_many(1, 1500);
$hand->query("delete from $messages where queue_id = 1 and payload::int between 1 and 1400");
flows('more rows deleted than one receive passes over', '1401-1500', qr/LOG:  .*not in the log any more/);

send_many(1, 3);
$hand->query("begin; delete from $messages where queue_id = 1 and payload::int = 1");
is($hand->query(q{select payload from baton.receive('q') where payload = '1'}), '', 'a row that one has deleted oneself is not there');
$hand->query('rollback');
is(ranges(take_all('q', 3)), '1-3', 'and comes if that is rolled back');

send_many(1, 10);
$hand->query("update $messages set payload = to_jsonb(payload::int + 100) where queue_id = 1 and payload::int in (3, 4)");
is(join(',', @{ take_all('q', 10) }), '1,2,103,104,5,6,7,8,9,10', 'a payload that was corrected comes corrected, in its place');

send_many(1, 5);
$hand->query("begin; update $messages set payload = '50' where queue_id = 1 and payload = '5'; update $messages set payload = '51' where payload = '50'");
is(ranges(take_all('q', 5)), '1-5', 'not before its commit');
$hand->query('commit');

send_many(1, 5);
$hand->query("update $messages set queue_id = 999 where queue_id = 1 and payload::int between 1 and 2");
flows('rows of another queue now', '3-5', qr/LOG:  .*not in the log any more/);

# ---- of messages that are held, delayed, on disk ----

send_many(1, 5);
$holder->query(q{create temp table held as select * from baton.receive('q', 3)});
$hand->query("delete from $messages where queue_id = 1 and payload::int <= 5");
is($holder->query('select count(baton.complete(receipt)) from held'), 3, 'what is held can be completed');
$holder->query('drop table held');
flows('rows of held messages deleted', '', qr/not in the log any more/);

send_many(1, 3);
$holder->query(q{select count(*) from baton.receive('q', 3)});
$hand->query("delete from $messages where queue_id = 1 and payload::int in (1, 2)");
$holder->kill;
$holder = session($node);
flows('rows of messages deleted whose holder vanished', '3', qr/not in the log any more/);

send_many(1, 3000);
$hand->query("delete from $messages where queue_id = 1 and payload::int % 2 = 0 and payload::int > 0");
is(scalar(@{ take_all('q', 1500) }), 1500, 'rows deleted of a queue that is on disk in part: the others come');
flows('rows on disk deleted', '');

send_many(1, 4, q{, delay => '10 s'});
send_many(5, 8, q{, delay => '2 hours'});
$hand->query("delete from $messages where queue_id = 1 and payload::int in (1, 5)");
set_clock($node, '3 hours');
flows('rows of delayed messages', '2-4,6-8', qr/not in the log any more/);
set_clock($node, '0');

# ---- events ----

send_many(1, 6);
$worker->query(q{select baton.fail(receipt, 'x', retry_in => '1 hour') from baton.receive('q', 3)});
$worker->query(q{select baton.complete(receipt) from baton.receive('q', 1)});
$hand->query("delete from $events where action = 'failed'; update $events set detail = '[]', attempt = 7 where action = 'completed'");
flows('events deleted and updated', '5-6');
restart();
flows('events deleted and updated, after a restart', '1-3');

# A value that the program doesn't know.
send_many(1, 3);
$hand->query("insert into $events select nextval('baton.id_block'), id, queue_id, now(), 'nonsense', 1, 0, 0, now(), 1, 'nobody', null, null
	from $messages where payload = '2' and queue_id = 1 order by id desc limit 1");
restart();
flows('an event that nobody knows', '1-3');

# ---- tables ----

send_many(1, 2000);
send_many(2001, 2003, q{, delay => '1 hour'});
$holder->query(q{create temp table held as select * from baton.receive('q', 3)});
$hand->query("truncate $messages");
is($holder->query('select count(baton.complete(receipt)) from held'), 3, 'truncated: what is held can be completed');
$holder->query('drop table held');
flows('messages truncated', '', qr/not in the log any more/);

send_many(1, 10);
$worker->query(q{select baton.fail(receipt, 'x', retry_in => '0') from baton.receive('q', 3)});
$hand->query("truncate $events");
flows('events truncated', '1-10');

$hand->query("alter table $messages add column note text, add column n integer default 7, add column at timestamptz not null default now()");
$hand->query("alter table $events add column note text, add column n integer not null default 7");
send_many(1, 10);
$node->safe_psql('postgres', q{select count(*) from baton.send_batch('q', array(select to_jsonb(g) from generate_series(11, 20) g))});
flows('columns added', '1-20');

$hand->query("create index on $messages (payload); create index on $messages using brin (sent_at);
	create index on $messages ((payload ->> 'a')) where priority > 3 or payload <> '3'; create unique index on $messages (id);
	create index on $messages using gin (payload); create index on $events (role, detail)");
send_many(1, 10);
$node->safe_psql('postgres', q{select count(*) from baton.send_batch('q', array(select to_jsonb(g) from generate_series(11, 20) g))});
is($hand->query("set enable_seqscan = off; select count(*) from $messages where payload between '11' and '20' and queue_id = 1"), 20,
	'an index added has the rows') or diag($hand->query("select payload from $messages where payload between '11' and '20'"));
flows('indexes added', '1-20');

$hand->query("create function nope() returns trigger language plpgsql as \$\$ begin raise exception 'trigger'; end \$\$;
	create trigger t before insert or delete or update on $messages for each row execute function nope();
	create trigger t after insert on $events for each statement execute function nope();
	create rule r as on insert to $messages do instead nothing; alter table $messages enable row level security, force row level security");
send_many(1, 10);
flows('triggers, rules and policies', '1-10');
$hand->query("drop trigger t on $messages; drop trigger t on $events; drop rule r on $messages");


# ---- indexes and tables that are missing ----

# The keeper can't read a table that lacks an index: it says so, and goes on with the others.
send_many(1, 1500);
my $definition = $hand->query("select pg_get_indexdef('${messages}_lane'::regclass)");
$hand->query("drop index ${messages}_lane");
like($worker->error(q{select count(*) from baton.receive('q', 100)}), qr/^$|^55000: /, 'an index dropped: no error, or a clear one');
$worker->query('select baton.release_held()');
$node->safe_psql('postgres', q{select baton.send('other', '1')});
is(join(',', @{ take_all('other', 1) }), '1', 'an index dropped: other queues flow');
my $lost = session($node);
$lost->query(q{select count(*) from baton.receive('q', 1)});
$lost->kill;
ok(wait_until($node, q{select count(*) > 0 from baton.queue_log where action = 'vanished' and "timestamp" > now() - interval '20 s'}),
	'an index dropped: what happens is still written down');
$hand->query($definition);
new_log();
flows('an index dropped and made again', '1-1500');

# The keeper has noticed that a segment is gone.
sub forgotten
{
	my ($name, $table) = @_;
	my ($number) = $table =~ /(\d+)$/;
	return ok(wait_until($node, "select count(*) from baton.segment where number = $number", 0), "$name: the keeper notices");
}

# A pair dropped: what was in it is gone, and new messages go elsewhere.
send_many(1, 1500);
$holder->query(q{create temp table held as select * from baton.receive('q', 3)});
$lost = session($node);
$lost->query(q{select count(*) from baton.receive('q', 3)});
$hand->query("drop table $messages, $events");
$lost->kill;
like($holder->error('select count(baton.complete(receipt)) from held'), qr/^55000: /, 'a pair dropped: what was held can not be completed');
like($worker->error(q{select baton.send('other', '1') > 0}), qr/^(55000: |$)/, 'a pair dropped: a clear error');
forgotten('a pair dropped', $messages);
take_all('other');
$holder->kill;
$holder = session($node);
ok(wait_until($node, q{select in_flight from baton.queue where name = 'q'}, 0), 'a pair dropped: its claims end');
flows('a pair dropped', '', qr/have been dropped/);

($messages) = reverse tables('message');
($events) = reverse tables('event');

# One of the two.
foreach my $table ('events', 'messages')
{
	send_many(1, 50);
	$holder->query(q{create temp table held as select * from baton.receive('q', 3)});
	$hand->query('drop table ' . ($table eq 'events' ? $events : $messages));
	$holder->error('select count(baton.complete(receipt)) from held');
	$holder->kill;
	$holder = session($node);
	forgotten("only $table dropped", $messages);
	take_all('other');
	flows("only $table dropped", '', qr/have been dropped/);
	($messages) = reverse tables('message');
	($events) = reverse tables('event');
}
restart();
flows('after all that, and a restart', '');

check_memory($node);
$node->stop;
done_testing();
