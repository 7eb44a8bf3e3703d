# Every message wakes somebody who takes it, whatever happens to those who wait.
#
# Would catch: a wake-up lost between looking and sleeping (pitfall 3); a message that goes to a
# waiter who is cancelled, terminated or timed out at that instant (pitfall 4); one sent to a dead
# client (pitfall 5); a woken waiter who never receives (finding 11); times that only the
# keeper watches (finding 12).

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use BatonWire;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_node('main');
add_ledger($node);

sub query { return $node->safe_psql('postgres', shift); }

# Waits until these sessions sleep in a wait.
sub sleeping
{
	my (@pids) = @_;
	my $in = join(',', @pids);

	return wait_until($node,
		"select count(*) from pg_stat_activity where pid in ($in) and wait_event_type = 'Extension'",
		scalar @pids);
}

# Pitfall 3: ping-pong.  A wake-up that was lost shows as a wait of a second.
query(q{
	select baton.create_queue('ping'), baton.create_queue('pong');
	create procedure bounce(mine text, other text, n int, first boolean, inout slow int default 0) language plpgsql as $$
	declare got jsonb; start timestamptz;
	begin
		for i in 1 .. n loop
			if first then
				perform baton.send(other, to_jsonb(i));
				commit;
			end if;
			start := clock_timestamp();
			call baton.receive_wait(mine, 1, '60 s', messages => got);
			if clock_timestamp() - start > '900 ms' then
				slow := slow + 1;
			end if;
			perform baton.complete(got -> 0 ->> 'receipt');
			if not first then
				perform baton.send(other, to_jsonb(i));
			end if;
			commit;
		end loop;
	end $$});
my $n = 10_000;
my $start = time();
my $pong = consumer($node, "call bounce('pong', 'ping', $n, false)");
is(query("call bounce('ping', 'pong', $n, true)"), '0', "$n round trips, none with a wait of a second");
is($pong->finish, '0', 'nor on the other side');
note(sprintf('%.0f us a round trip', (time() - $start) / $n * 1e6));
$pong->quit;

# Pitfall 4: cancelled, and timed out.  Takers are hit while messages come.
query(q{
	select baton.create_queue('hit', max_crashes => 1000);
	create procedure take_one(q text) language plpgsql as $$
	declare got jsonb;
	begin
		call baton.receive_wait(q, 1, '1 s', messages => got);
		if got <> '[]' then
			insert into ledger (queue, id, payload, attempt)
				values (q, (got -> 0 ->> 'id')::bigint, got -> 0 -> 'payload', (got -> 0 ->> 'attempt')::int);
			perform baton.complete(got -> 0 ->> 'receipt');
		end if;
	end $$;
	create procedure hit(first int, n int, targets int[]) language plpgsql as $$
	begin
		for i in first .. first + n - 1 loop
			if i % 3 = 0 then
				perform pg_cancel_backend(targets[1 + i % cardinality(targets)]);
			end if;
			perform baton.send('hit', to_jsonb(i));
			commit;
			if i % 3 = 1 then
				perform pg_cancel_backend(targets[1 + i % cardinality(targets)]);
			end if;
			perform pg_sleep(random() * 0.002);	-- allowed: a random moment
		end loop;
	end $$});
my @targets = map { session($node) } 1 .. 3;
$targets[2]->query(q{set statement_timeout = '4 ms'});
$_->start("call take_one('hit');\n" x 1500) foreach @targets;
query('call hit(1, 1000, array[' . join(',', map { $_->pid } @targets[ 0, 1 ]) . '])');
my $rest = consumer($node, q{call drain('hit', 10, 1000)});
$rest->finish;
$rest->quit;
is_exactly_once($node, 'hit', 1000, 'cancelled and timed out');
$_->kill foreach @targets;

# Terminated: a new session each time.
for my $i (1 .. 150)
{
	my $wire = BatonWire->connect($node);
	my $pid = $wire->pid;

	$wire->send_query(q{call take_one('hit')});
	usleep(1000 * ($i % 4));    # allowed: at various moments
	$rest = session($node) if $i == 1;
	$rest->query($i % 2
		? "select baton.send('hit', to_jsonb(1000 + $i)), pg_terminate_backend($pid)"
		: "select pg_terminate_backend($pid), baton.send('hit', to_jsonb(1000 + $i))");
	$wire->answer;
	$wire->close;
}
is($rest->error(q{call drain('hit', 10, 1150)}), '', 'all have come');
is_exactly_once($node, 'hit', 1150, 'terminated');
is(query(q{select count(*) from baton.message where queue = 'hit' and status <> 'completed'}),
	'0', 'and nothing is stuck');
check_memory($node);

# Finding 11: one message, many waiters, all but one stopped.  It is the one who gets it.
query(q{select baton.create_queue('stopped')});
for my $round (1 .. 5)
{
	my @waiters = map { session($node) } 1 .. 4;

	$_->start(q{call baton.receive_wait('stopped', timeout => '60 s')}) foreach @waiters;
	sleeping(map { $_->pid } @waiters);
	kill('STOP', $_->pid) foreach @waiters[ 0 .. 2 ];
	my $began = time();
	my $id = query(q{select baton.send('stopped', '1')});
	like($waiters[3]->finish, qr/"id": $id\b/, 'the only one who isn\'t stopped gets it');
	cmp_ok(time() - $began, '<', 2, 'at once');
	kill('CONT', $_->pid) foreach @waiters[ 0 .. 2 ];
	$waiters[3]->query('select baton.complete(receipt) from baton.held()');
	query(qq{select pg_terminate_backend($_)}) foreach map { $_->pid } @waiters[ 0 .. 2 ];
	$_->kill foreach @waiters;
}
# The client of the first one does nothing any more.
my @idle = map { session($node)->start(q{call baton.wait('stopped', '60 s')}) } 1 .. 3;
sleeping(map { $_->pid } @idle);
$start = time();
query(q{select baton.send('stopped', '1')});
is($_->finish, 't', 'each waiter is woken in turn while nobody receives') foreach @idle;
cmp_ok(time() - $start, '<', 2, 'at once');
$_->quit foreach @idle;
query(q{select baton.complete(receipt) from baton.receive('stopped')});

# Pitfall 5: the client is gone, its session sleeps.
query(q{select baton.create_queue('dead')});
for my $round (1 .. 10)
{
	my @dead = map { session($node)->start(q{call baton.receive_wait('dead', timeout => '60 s')}) } 1 .. 2;
	my $alive = session($node);

	sleeping(map { $_->pid } @dead);
	$alive->start(q{call baton.receive_wait('dead', timeout => '60 s')});
	sleeping($alive->pid);
	$_->kill foreach @dead;
	$start = time();
	my $id = query(q{select baton.send('dead', '1')});
	like($alive->finish, qr/"id": $id\b/, 'goes to the one whose client lives');
	cmp_ok(time() - $start, '<', 2, 'at once');
	$alive->query('select baton.complete(receipt) from baton.held()');
	$alive->quit;
}

# Finding 12: a time that comes while all sleep; with the keeper stopped too.
query(q{select baton.create_queue('timed')});
my $keeper = worker_pid($node, 'baton keeper', 'postgres');
foreach my $stop (0, 1)
{
	my @waiters = map { session($node)->start(q{call baton.receive_wait('timed', timeout => '60 s')}) } 1 .. 4;

	sleeping(map { $_->pid } @waiters);
	kill('STOP', $keeper) if $stop;
	query(q{select baton.send('timed', to_jsonb(g), delay => g * interval '150 ms') from generate_series(1, 4) g});
	$_->finish foreach @waiters;
	my $keeper_is = $stop ? 'with the keeper stopped' : 'with a keeper';
	is(query(q{select count(*) from baton.in_flight f join baton.message m on m.id = f.message_id
			where f.queue = 'timed' and f.claimed_at < m.sent_at + m.payload::text::int * interval '150 ms'}),
		'0', "none before its time, $keeper_is");
	is(query(q{select count(*) from baton.in_flight f join baton.message m on m.id = f.message_id
			where f.queue = 'timed' and f.claimed_at < m.sent_at + m.payload::text::int * interval '150 ms' + interval '800 ms'}),
		'4', "all on time, $keeper_is");
	$_->query('select baton.complete(receipt) from baton.held()'), $_->quit foreach @waiters;
	kill('CONT', $keeper) if $stop;
}

# As many messages as waiters: each gets one.
query(q{select baton.create_queue('crowd')});
my @crowd = map { session($node)->start(q{call baton.receive_wait('crowd', timeout => '60 s')}) } 1 .. 20;
sleeping(map { $_->pid } @crowd);
$start = time();
query(q{select count(*) from baton.send_batch('crowd', (select array_agg(to_jsonb(g)) from generate_series(1, 20) g))});
like($_->finish, qr/receipt/, 'one of the crowd has got one') foreach @crowd;
cmp_ok(time() - $start, '<', 2, 'at once');
is(query(q{select count(distinct process_id) from baton.in_flight where queue = 'crowd'}), '20', 'one each');
$_->quit foreach @crowd;

check_memory($node);
$node->stop;
done_testing();
