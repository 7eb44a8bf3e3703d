# What it would catch: an event that is not shown, or twice: committed late under an early id, written by the
# keeper, committed while the server was restarted or while nobody could say; a line that a value breaks; a
# message whose history or result is not what happened.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use IPC::Run qw(start finish timeout);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = baton_node('log');
my ($code, $out, $err);

sub query { return $node->safe_psql('postgres', shift); }

# What a follower has shown: action and message, a line each.
sub shown
{
	my ($follower) = @_;
	return join(' ', map { my $e = decode_json($_); "$e->{action}:$e->{message_id}" }
		split(/\n/, $follower->{out}));
}

sub shows
{
	my ($follower, $expected, $what) = @_;
	ok(wait_until($what, sub { return shown($follower) eq $expected; }, $follower), $what)
	  or diag(shown($follower));
	$follower->{out} = '';
	return;
}

sub send_one { return query("select baton.send('$_[0]', '$_[1]')"); }

my $complete = q{select baton.complete(receipt, '{"ok": true}') from baton.receive('q')};

($code, $out, $err) = baton('log');
is("$code$out", '0', 'an empty log');
baton('queue', 'create', $_) foreach qw(q other);
($code, $out, $err) = baton('log', 'nope');
is($code, 1, 'no such queue');
like($err, qr/queue "nope" does not exist/, '... is said');

# Text.
my $first = send_one('q', 1);
query($complete);
($code, $out) = baton('log');
like($out, qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  completed +q $first  attempt 1  by \d+ \w+  \{"ok": true\}\n$/,
	'a line an event');
unlike($out, qr/\033/, '... without colours where nobody looks');
my $bad = send_one('other', 2);
query(qq{select baton.fail(receipt, E'two\\nlines\\033[31m \\u009b' || repeat('x', 500), '1 h') from baton.receive('other')});
($code, $out) = baton('log', 'other');
is(() = $out =~ /\n/g, 1, 'a value can\'t break the line');
unlike($out, qr/\033|\xc2\x9b/, '... nor move the cursor');
like($out, qr/failed +other $bad .* two lines \[31m  x{150,200}\.\.\.$/, '... and is cut');

# Which.
($code, $out) = baton('log', '--id', $first, '--json');
my $event = decode_json($out);
is("$event->{queue} $event->{action} $event->{detail}{ok}", 'q completed 1', 'of one message, as JSON');
is(join(' ', sort keys %$event), 'action attempt claimed_at crashes deliver_at detail failures id message_id process_id queue role timestamp',
	'... with all columns');
send_one('q', $_), query($complete) foreach 3 .. 8;
($code, $out) = baton('log', '-n', '3');
is(() = $out =~ /\n/g, 3, 'the last ones');
($code, $out) = baton('log', '--all');
is(() = $out =~ /\n/g, 8, 'or all');
($code, $out) = baton('log', '--id', 'x');
is($code, 1, 'a bad id');

# One message.
($code, $out, $err) = baton('message', 'q', $first);
is($code, 0, 'a message') or diag($err);
like($out, qr/^message $first of q: completed\n  payload +1\n/, '... its status and payload');
like($out, qr/^  result +\{"ok": true\}\nhistory\n  \S+ \S+  completed/m, '... its result and history');
($code, $out) = baton('message', 'other', $bad, '--json');
my $message = decode_json($out);
is("$message->{status} $message->{failures} $message->{history}[0]{action}", 'scheduled 1 failed', 'as JSON');
like($message->{error}, qr/^two\nlines/, '... with the whole error');
($code, $out, $err) = baton('message', 'q', 999_999_999);
is($code, 4, 'no such message');
($code, $out, $err) = baton('message', 'nope', 1);
is($code, 1, 'no such queue');

# Following: what is there, then what comes.
my $last = query('select max(message_id) from baton.queue_log');
my $follower = start_baton('log', '--follow', '--json', '-n', '1', '-v');
shows($follower, "completed:$last", 'what is there');
my $sleeps = q{select count(*) from pg_stat_activity where application_name = 'baton log'
	and query like 'call%' and wait_event_type = 'Extension' and backend_xmin is null};
ok(wait_sql($node, $sleeps, 1, $follower), 'it sleeps, without a snapshot');
my $new = send_one('q', 9);
query($complete);
shows($follower, "completed:$new", 'what comes');

# An id that was taken early and is committed late.
my $early = $node->background_psql('postgres');
my ($a, $b) = (send_one('q', 10), send_one('q', 11));
$early->query_safe("begin; $complete");
query($complete);
shows($follower, "completed:$b", 'one that took its id later and commits first');
$early->query_safe('commit');
shows($follower, "completed:$a", 'one that took its id early and commits late');

# The keeper's.
$a = send_one('q', 12);
my $worker = start_baton('work', 'q', '-e', 'exec tail -f /dev/null');
wait_sql($node, "select status from baton.message where id = $a", 'running', $worker);
signal_baton($worker, 'KILL');
stop_baton($worker);
shows($follower, "vanished:$a", 'what the keeper writes after its holder');
query($complete);
shows($follower, "completed:$a", '... and what follows it');

# The server restarts: it goes on, and misses nothing of what came before it was back.
$early->quit;
signal_baton($follower, 'STOP');
($a, $b) = (send_one('q', 13), send_one('q', 14));
query($complete);
$node->restart;
wait_sql($node, q{select ready from baton.queue where name = 'q'}, 1);	# loaded
query($complete);
signal_baton($follower, 'CONT');
shows($follower, "completed:$a completed:$b", 'what happened before and after a restart');
$new = send_one('q', 15);
query($complete);
shows($follower, "completed:$new", '... and later');
like($follower->{err}, qr/event=disconnected .*event=connected/s, '... it says so');

signal_baton($follower, 'TERM');
stop_baton($follower);

# Too slow: it reads the log, and shows each once.  Into files: through a pipe this test would be the slow one.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $slow = start([ $program, 'log', '--follow', '--json', '-n', '0', '-v' ], '>', "$dir/out", '2>', "$dir/err", timeout(180));
my $slow_pid = $slow->{KIDS}[0]{PID};
wait_sql($node, $sleeps, 1);
kill('STOP', $slow_pid);
query(q{select baton.send_batch('other', array_fill('0'::jsonb, array[9000]))}) foreach 1 .. 2;
query(q{select baton.complete_batch(array_agg(receipt)) from baton.receive('other', 9000)}) foreach 1 .. 2;
kill('CONT', $slow_pid);
my $end = send_one('q', 16);
query($complete);
ok(wait_until('the last one', sub { return slurp("$dir/out") =~ /"message_id": $end\D/; }),
	'who was stopped shows the last one');
my %seen;
$seen{$_}++ foreach slurp("$dir/out") =~ /"message_id": (\d+)/g;
is(scalar(keys %seen), 18_001, '... and all before');
is(scalar(grep { $_ != 1 } values %seen), 0, '... each once');
like(slurp("$dir/err"), qr/event=catching_up/, '... from the log');
kill('TERM', $slow_pid);
finish($slow);

# Under load, with rollbacks of all kinds: what is in the log is what was shown, each once.
query(q{select baton.create_queue('load', max_attempts => 3)});
query(q{select baton.send_batch('load', array_fill('0'::jsonb, array[2500]))});
my $script = PostgreSQL::Test::Utils::tempdir() . '/settle.sql';
append_to_file($script, <<'SQL');
\set r random(1, 10)
begin;
savepoint a;
select count(case when :r <= 3 then baton.fail(receipt, 'x', '1 ms') end),
	count(case when :r > 3 then (select true from (select baton.complete(receipt)) x) end) from baton.receive('load', 3);
\if :r = 9
rollback to a;
\endif
\sleep :r ms
\if :r = 10
rollback;
\else
commit;
\endif
SQL
$follower = start_baton('log', 'load', '-f', '--json', '-n', '0');
wait_sql($node, $sleeps, 1, $follower);
is(system("pgbench -n -c 6 -t 100 -f $script postgres >/dev/null 2>&1"), 0, 'settling by six sessions at once');
my $count = 0;
ok(wait_until('all of it', sub {
			my $now = query(q{select count(*) from baton.queue_log where queue = 'load'});
			my $same = $now == $count;

			$count = $now;
			return $same && (() = $follower->{out} =~ /\n/g) >= $count;
		}, $follower), 'as many as the log has');
my @shown = map { decode_json($_)->{id} } split(/\n/, $follower->{out});
is(join(q{ }, sort { $::a <=> $::b } @shown), query(q{select string_agg(id::text, ' ' order by id) from baton.queue_log where queue = 'load'}),
	'... and the same, each once');
stop_baton($follower, 'TERM');

# Who has read enough ends it, also while nothing happens.
is(system("$program log --follow -n 3 | head -n 1 >/dev/null"), 0, 'log --follow | head -n 1 ends');

# Of one queue, and of one message.
$follower = start_baton('log', 'q', '-f', '--json', '-n', '0');
my $single = start_baton('log', '-f', '--json', '--id', $end);
shows($single, "completed:$end", 'a message: what it has');
wait_sql($node, $sleeps, 2, $follower);
($a, $b) = (send_one('other', 17), send_one('q', 18));
query(q{select baton.complete(receipt) from baton.receive('other')});
query($complete);
shows($follower, "completed:$b", 'a queue: not what happens to others');
is(shown($single), '', 'a message: nor to others');
foreach ($follower, $single) { signal_baton($_, 'TERM'); stop_baton($_); }

# Roles.
query('create role watcher login in role pg_monitor; create role plain login; grant usage on schema baton to watcher, plain');
($code, $out, $err) = baton('log', '-d', 'user=watcher dbname=postgres');
is($code, 0, 'pg_monitor may read the log') or diag($err);
$follower = start_baton('log', '-f', '-n', '1', '-d', 'user=watcher dbname=postgres');
ok(wait_sql($node, $sleeps, 1, $follower), '... and follow it') or diag($follower->{err});
stop_baton($follower, 'TERM');
($code, $out, $err) = baton('log', '-d', 'user=plain dbname=postgres');
is($code, 1, 'others may not');
like($err, qr/\(42501\)/, '... with SQLSTATE');

done_testing();
