# Everything at once: producers and consumers with keys, priorities, failures, releases, rollbacks
# and savepoints, in a window that is too small, while shared memory is checked again and again.
# And nothing is ever updated or deleted, whatever snapshot somebody holds.
#
# Would catch: a message lost, doubled or stuck by any of these together; two of one key in flight
# (G5); a sender's messages of one key out of order; a structure that breaks on the way; dead
# tuples (G7, pitfall 15).

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{BATON_STRESS_SECONDS} // 10;
my $node = new_node('main', conf => "baton.window_size = 1024\n");
add_ledger($node);

sub query { return $node->safe_psql('postgres', shift); }

# Under a snapshot that stays: sends, failures and completions leave no dead tuples.
query(q{select baton.create_queue('clean', backoff => '1 ms', backoff_max => '5 ms', max_attempts => 1000)});
query(q{select baton.send('clean', '1')});
my $snapshot = session($node);
$snapshot->query('begin isolation level repeatable read');
is($snapshot->query('select count(*) from baton.message'), '1', 'a snapshot is held');
my $sender = send_many($node, 'clean', 3000, first => 2, per => 10, background => 1);
my @drains = map { consumer($node, q{call drain('clean', 5, 3001, 0.1)}) } 1 .. 2;
$_->finish, $_->quit foreach $sender, @drains;
is_exactly_once($node, 'clean', 3001, 'under an old snapshot');
is($snapshot->query('select count(*) from baton.message'), '1', 'which has stayed');
$snapshot->query('commit');
$snapshot->quit;
query('select pg_stat_force_next_flush()');
is( query(q{select count(*) > 1, sum(n_dead_tup + n_tup_upd + n_tup_del) from pg_stat_user_tables
		where schemaname = 'baton' and relname ~ '^(message|event)_log_\d'}),
	't|0', 'no dead tuples, no updates, no deletes');

# All at once.
query(q{
	select baton.create_queue('work', backoff => '1 ms', backoff_max => '20 ms', max_attempts => 10000, max_crashes => 10000);
	create table sent (id bigint, producer int default pg_backend_pid(), key text, priority int);
	create table done (seq bigint generated always as identity, id bigint, key text, priority int);
	create sequence violation minvalue 0 start 0;

	create procedure produce(until timestamptz) language plpgsql as $$
	declare k text; p int; n int;
	begin
		while clock_timestamp() < until loop
			for i in 1 .. 1 + (random() * 5)::int loop
				k := case when random() < 0.8 then 'k' || (random() * 20)::int end;
				p := (random() * 2)::int;
				begin
					insert into sent (id, key, priority)
						select baton.send('work', to_jsonb(i), key => k, priority => p), k, p;
					if random() < 0.1 then
						raise 'undone';
					end if;
				exception when raise_exception then
					null;
				end;
			end loop;
			if random() < 0.1 then
				rollback;
			else
				commit;
			end if;
			perform pg_sleep(random() * 0.02);	-- allowed: a random moment
		end loop;
	end $$;

	-- Nobody else works on this key just now: true.
	create function alone(k text) returns boolean language plpgsql as $$
	begin
		if k is not null and not pg_try_advisory_lock(hashtext(k)) then
			perform nextval('violation');
			return false;
		end if;
		return true;
	end $$;

	create function not_alone(k text) returns void language plpgsql as $$
	begin
		if k is not null then
			perform pg_advisory_unlock(hashtext(k));
		end if;
	end $$;

	create procedure consume(until timestamptz) language plpgsql as $$
	declare got jsonb; m jsonb; what float;
	begin
		loop
			call baton.receive_wait('work', 1 + (random() * 3)::int, '100 ms', messages => got);
			exit when got = '[]' and clock_timestamp() > until
				and (select sum(depth) is not distinct from 0 from baton.queue where name = 'work');
			if random() < 0.5 then
				commit;				-- a claim with a lease; else an open transaction
			end if;
			what := case when clock_timestamp() > until then 1 else random() end;
			for m in select jsonb_array_elements(got) loop
				continue when not alone(m ->> 'key');
				perform pg_sleep(random() * 0.001);	-- allowed: a random moment
				perform not_alone(m ->> 'key');
				if what < 0.1 then
					perform baton.fail(m ->> 'receipt', 'by chance');
				elsif what < 0.2 then
					perform baton.release(m ->> 'receipt');
				else
					if what < 0.3 then
						begin
							perform baton.complete(m ->> 'receipt');
							raise 'undone';
						exception when raise_exception then
							null;
						end;
					end if;
					insert into done (id, key, priority)
						values ((m ->> 'id')::bigint, m ->> 'key', (m ->> 'priority')::int);
					perform baton.complete(m ->> 'receipt', m -> 'id');
				end if;
			end loop;
			if what between 0.3 and 0.4 then
				rollback;
				perform baton.release_held();
			end if;
			commit;
			if what between 0.4 and 0.45 then
				begin
					perform * from baton.receive('work', 2);
					raise 'undone';
				exception when raise_exception then
					null;
				end;
				commit;
			end if;
		end loop;
	end $$});
my $until = query("select clock_timestamp() + '$seconds s'");
my @sessions = (
	(map { consumer($node, "call produce('$until')") } 1 .. 3),
	(map { consumer($node, "call consume('$until')") } 1 .. 5));
my $checks = 0;
my $end = time() + $seconds + 60;
while (time() < $end && grep { $_->running } @sessions)
{
	my ($code, $out, $err) = $node->psql('postgres', 'select baton_test.check_memory()');

	$checks++;
	if ($code != 0)
	{
		ok(0, "shared memory is broken while in use: $err");
		last;
	}
	usleep(100_000);    # allowed: between two looks
}
note("shared memory was checked $checks times");
foreach my $session (@sessions)
{
	ok(!$session->running, 'a session has come to its end');
	is($session->finish_error, '', 'without an error') unless $session->running;
}
note('sent: ' . query('select count(*) from sent'));
is(query('select is_called from violation'), 'f', 'never two of one key at a time');
is(query('select count(*) from sent where id not in (select id from done)'), '0', 'nothing was lost');
is(query('select count(*) from done where id not in (select id from sent)'), '0', 'nothing undone was delivered');
is(query('select count(*) from (select id from done group by id having count(*) > 1) s'), '0', 'nothing was done twice');
is(query(q{select count(*) from baton.message where queue = 'work' and status <> 'completed'}), '0', 'and nothing is stuck');
is( query(q{
		select count(*) from (
			select d.id, lag(d.id) over (partition by producer, d.key, d.priority order by seq) as before
			from done d join sent using (id) where d.key is not null) s
		where before > id}),
	'0', 'what one producer sent with one key is done in its order');

check_memory($node);
$node->stop;
done_testing();
