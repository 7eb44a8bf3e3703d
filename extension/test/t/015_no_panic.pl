# Every place that can fail fails, and every place that can be held is held, cancelled and terminated,
# in transactions that have written something.
#
# Forbids: an error in or after a commit, which PostgreSQL answers with a PANIC of the whole server; and
# which goes unnoticed where the transaction has no id, so each one here inserts a real row.  And an
# error that leaves something half done: the row without its message, a message nobody can get any more.
# Order of events: fail or hold a point, go there, then see that memory, log and rows agree.
#
# Findings 12, 13, 30; pitfalls 1, 4, 13.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use FindBin;
use Test::More;

my $node = new_node('main', conf => "baton.window_size = 1024\nfsync = off\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# All points, from the source: a new one is tested without anybody thinking of it.
sub points
{
	my ($macro) = @_;
	my @names;

	foreach my $file (glob("$FindBin::Bin/../../src/*/*.c"))
	{
		push @names, PostgreSQL::Test::Utils::slurp_file($file) =~ /\b$macro\("([^"]+)"\)/g;
	}
	return @names;
}

sql(q{
	select baton.create_queue('q', max_attempts => 10000, max_crashes => 10000, backoff => '1 ms', backoff_max => '10 ms');
	create table work (what text, id bigint)});
my $server = sql(q{select pid from pg_stat_activity where backend_type = 'checkpointer'});

# Everything at once, in one transaction with a row of its own.
my @steps = (
	'begin',
	q{insert into work select 'sent', baton.send('q', '"new"')},
	q{insert into work select 'batch', id from baton.send_batch('q', array['1', '2', '3']::jsonb[]) id},
	'savepoint s',
	q{insert into work select 'undone', baton.send('q', '"undone"')},
	q{select count(*) from baton.receive('q')},
	'rollback to s',
	q{create temp table got as select row_number() over () n, * from baton.receive('q', 3)},
	q{insert into work select 'done', id from (select id, baton.complete(receipt) from got where n = 1) t},
	q{select baton.fail(receipt, 'x') from got where n = 2},
	q{select baton.release(receipt) from got where n = 3},
	'drop table got',
	'commit');

# Runs them in a session up to the first error; returns it, '' if there was none.
sub try_all
{
	my ($session) = @_;

	foreach my $step (@steps)
	{
		my $error = $session->error($step);

		next if $error eq '';
		$session->query('rollback');
		return $error;
	}
	return '';
}

# Whether rows and messages agree: sent is in the log and nothing else is, done is completed.
sub agree
{
	return sql(q{
		select (select count(*) from work w full join (select id from baton.message where queue = 'q') m using (id)
			where what is distinct from 'done' and (w.what is null or m.id is null))
		+ (select count(*) from (select id from work where what = 'done') w
			full join (select id from baton.message where status = 'completed') m using (id)
			where w.id is null or m.id is null)});
}

sub settle_down
{
	return wait_until($node,
		q{select coalesce(in_flight, 0) = 0 and ready > 0 from baton.queue where name = 'q'});
}

my $session = session($node);
for (1 .. 3)
{
	is(try_all($session), '', 'without a failure');
}
foreach my $point (points('BATON_POINT'))
{
	settle_down();
	fail_at($node, $point);
	my $error = try_all($session);
	like($error, qr/^(|XX000: test point "$point" failed on demand)$/, "$point fails");
	note($error eq '' ? "$point: not in this transaction" : "$point: $error");
	# the next attempt goes through
	is(try_all($session), '', "after $point");
	clear_points($node);
	is(agree(), 0, "$point: rows, messages and events agree");
}

# Errors in functions with an exception block: the transaction goes on
settle_down();
foreach my $point (grep { /^(send|receive|settle)/ } points('BATON_POINT'))
{
	fail_at($node, $point);
	my $error = $session->error(q{do $$
		begin
			insert into work select 'sent', baton.send('q', '"outer"');
			begin
				insert into work select 'undone', baton.send('q', '"inner"');
				insert into work select 'undone', id from (select id, baton.complete(receipt) from baton.receive('q', 2)) t;
				raise exception 'undo';
			exception when others then null;
			end;
		end $$});
	clear_points($node);
	like($error, $point =~ /^send/ ? qr/failed on demand/ : qr/^$/, "$point in a block");
}
is(agree(), 0, 'errors that are caught');

# Ended while they are held, in the commit callback too: what is committed is there.  Compaction's own is
# in 140_moves.
foreach my $point (grep({ !/^compact/ } points('BATON_POINT_NOFAIL')), qw(send-checked settle-marked settle-appended receive-claimed))
{
	foreach my $end (qw(pg_cancel_backend pg_terminate_backend client))
	{
		my $victim = session($node);

		settle_down();
		hold($node, $point);
		$victim->start(join(';', @steps));
		wait_held($node, $point) or next;
		if ($end eq 'client')
		{
			$victim->kill;
		}
		else
		{
			sql("select $end(@{[ $victim->pid ]})");
		}
		release($node, $point);
		if ($end eq 'pg_cancel_backend')
		{
			$victim->finish_error;
			$victim->query('rollback');
			$victim->quit;
		}
		else
		{
			$victim->kill;
		}
		wait_until($node, "select count(*) from pg_stat_activity where pid = @{[ $victim->pid ]}", 0);
		clear_points($node);
		is(agree(), 0, "$point, then $end");
	}
}

# More than memory has room for: sends that spill, claims whose ends can't all be noted
settle_down();
my $keeper = worker_pid($node, 'baton keeper', 'postgres');
kill('STOP', $keeper);
foreach my $round (1 .. 4)
{
	my $holder = session($node);

	$holder->query('begin');
	$holder->query(q{insert into work select 'batch', id from baton.send_batch('q',
		array(select to_jsonb(n) from generate_series(1, 700) n)) id});
	$holder->query('commit');
	$holder->query('begin');
	$holder->query(q{insert into work select 'undone', id from baton.receive('q', 600)});
	$holder->query($round % 2 ? 'rollback' : 'commit');
	sql("delete from work where what = 'undone'");
	$holder->kill;
	wait_until($node, "select count(*) from pg_stat_activity where pid = @{[ $holder->pid ]}", 0);
}
kill('CONT', $keeper);
settle_down();
is(agree(), 0, 'with too little memory for all of it');

# Nothing is stuck: all of it can be completed
my $left = sql(q{select count(*) from baton.message where queue = 'q' and status <> 'completed'});
my $n = 0;
$session->query('rollback');
while ($n < $left)
{
	my $got = $session->query(q{call baton.receive_wait('q', 500, '10 s')});
	last if $got eq '[]';
	$n += $session->query(
		'select count(*) from (select baton.complete(receipt) from baton.held()) t');
}
is($n, $left, 'all messages can be had');
is( sql(q{select count(*) from baton.message where queue = 'q' and status <> 'completed'}),
	0, 'and none is left');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/PANIC:|AbortTransaction while in|already committed/, 'no PANIC, nor what leads to one');
unlike($log, qr/TRAP:|terminated by signal/, 'no crash');
unlike($log, qr/ leak: /, 'no leaks');
is(sql(q{select pid from pg_stat_activity where backend_type = 'checkpointer'}),
	$server, 'it is the same server');
check_memory($node);
$node->stop;
done_testing();
