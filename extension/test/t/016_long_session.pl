# A session that sends and receives more than a hundred thousand messages, and sessions that come and
# go, taking each other's place and process id.
#
# Forbids: memory that grows with each message or transaction (lists, callbacks registered each
# time); pins and relations that are left open; claims of a living session that are taken from it
# because its place or process id was somebody else's before, or because who looks may not see it.
#
# Pitfalls 13, 17, 19.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;

my $node = new_node('main', conf => "fsync = off\n");

$node->safe_psql('postgres', q{
	select baton.create_queue(q, max_attempts => 10000) from unnest(array['q', 'pids']) q;
	create role plain login;
	grant usage on schema baton to plain;
	create procedure work(rounds int) language plpgsql as $$
	declare
		receipts text[];
	begin
		for i in 1 .. rounds loop
			perform baton.send('q', '{"a": 1}');
			perform baton.send_batch('q', array['1', '2', '3', '4', '5', '6', '7']::jsonb[]);
			begin
				perform baton.send('q', '"undone"');
				perform * from baton.receive('q');
				raise exception 'undo';
			exception when others then null;
			end;
			commit;
			receipts := array(select receipt from baton.receive('q', 7));
			perform baton.complete_batch(receipts);
			if i % 10 = 0 then
				rollback;
				receipts := array(select receipt from baton.receive('q', 7));
				perform baton.complete_batch(receipts);
			end if;
			commit;
			receipts := array(select receipt from baton.receive('q', 20));
			commit;
			perform baton.complete_batch(receipts);
			commit;
		end loop;
	end $$});

my $session = session($node);

# Used bytes of the contexts that live as long as the session; caches aside, which fill up.
sub used
{
	return $session->query(q{
		select sum(used_bytes) from pg_backend_memory_contexts
		where name in ('TopMemoryContext', 'ErrorContext', 'TopTransactionContext', 'CurTransactionContext', 'Portal hash', 'Relcache by OID')});
}

# Warm: all lists have the size that they need.
$session->query('call work(500)');
$session->query('select count(*) from pg_backend_memory_contexts');
my $before = used();
my $contexts = $session->query('select count(*) from pg_backend_memory_contexts');
$session->query('call work(7500)');
$session->query('call work(7500)');
my $after = used();
note("$before bytes before, $after bytes after");
cmp_ok($after, '<', $before + 20_000, 'memory of the session does not grow');
cmp_ok($session->query('select count(*) from pg_backend_memory_contexts'),
	'<=', $contexts + 5, 'nor does the number of contexts');
cmp_ok($session->query(q{select sent from baton.queue where name = 'q'}),
	'>', 100_000, 'after more than 100,000 messages sent');
cmp_ok($session->query(q{select completed from baton.queue where name = 'q'}),
	'>', 100_000, 'and completed');

# a large list is given back
my $peak = used();
$session->query(q{begin; select count(*) from baton.send_batch('q', array(select '1'::jsonb from generate_series(1, 100000))); rollback});
$session->query('call work(10)');
cmp_ok(used(), '<', $peak + 1_000_000, 'nor do lists of a large transaction stay');
$session->quit;

# ---- sessions take each other's place ----

$node->safe_psql('postgres',
	q{select count(*) from baton.send_batch('pids', array(select to_jsonb(n) from generate_series(1, 40) n))});
my @living = map { session($node) } 1 .. 4;
my @receipts = map { $_->query(q{select receipt from baton.receive('pids')}) } @living;
$node->safe_psql('postgres', q{select receipt from baton.receive('pids', detached => true)});
my $checker = session($node);
$checker->query('set role plain');
my $freed = 0;
for (1 .. 30)
{
	my $short = session($node);

	# it gets the place of the one before, and leaves by one way or the other
	$short->query(q{select count(*) from baton.receive('pids', 2)});
	$_ % 2 ? $short->kill : $short->quit;
	$freed += $checker->query('call baton.check_hung_messages()');
}
wait_until($node, q{select in_flight from baton.queue where name = 'pids'}, 5);
is($freed, 0, 'nothing was hung, as the sessions\' ends freed what was theirs');
is( $checker->query(q{select count(*) from pg_stat_activity where state is not null and pid <> pg_backend_pid() and backend_type is not null}),
	0, 'who looked could not see the other sessions');
foreach my $i (0 .. 3)
{
	is($living[$i]->error("select baton.complete('$receipts[$i]')"), '', 'who lives keeps its claim');
}

# What nobody has freed is found by anybody: a detached claim whose time is over, the keeper stopped
kill('STOP', worker_pid($node, 'baton keeper', 'postgres'));
set_clock($node, '6 min');
is($checker->query('call baton.check_hung_messages()'), 1, 'a plain role frees a hung message');
is($checker->query('call baton.check_hung_messages()'), 0, 'once');
kill('CONT', worker_pid($node, 'baton keeper', 'postgres'));
set_clock($node, '0');
ok( wait_until($node, q{select count(*) from baton.queue_log where queue = 'pids' and action = 'lease_expired'}, 1),
	'with its event');

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC:|TRAP:|leak|still referenced/,
	'no leaks in the log');
check_memory($node);
$node->stop;
done_testing();
