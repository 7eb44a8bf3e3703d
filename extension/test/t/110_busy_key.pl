# Thousands of messages wait for one key, and other queues go on as if they weren't there.
#
# Would catch: messages that wait for a key, which can't be evicted, filling the window (G7,
# finding 20), and a consumer that spins because it is told that there is something for it.

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => "baton.window_size = 1024\n");
add_ledger($node);
$node->safe_psql('postgres', qq{select baton.create_queue('$_')}) foreach qw(busy other);
$node->safe_psql('postgres', q{
	select count(*) from baton.send_batch('busy', (select array_agg(to_jsonb(i)) from generate_series(1, 3000) i), key => array['k'])});

my $holder = session($node);
wait_until($node, q{select ready > 0 from baton.queue where name = 'busy'}, 't');
my $receipt = $holder->query(q{select receipt from baton.receive('busy')});
is($holder->query(q{select count(*) from baton.receive('busy', 10)}), '0', 'the key is busy')
  foreach 1 .. 20;
cmp_ok($node->safe_psql('postgres', q{select blocked from baton.queue where name = 'busy'}),
	'<=', 128, 'only so many wait in the line of the key');
is($node->safe_psql('postgres', q{call baton.wait('busy', '0.1 s')}), 'f',
	'a consumer is not told that there is something');

send_many($node, 'other', 500, per => 50);
drain($node, 'other', 500);
is_exactly_once($node, 'other', 500);
check_memory($node);

# The key goes from one to the next, in order, to the last.
$holder->query(qq{select baton.complete('$receipt')});
$node->safe_psql('postgres', q{
	do $$
	declare
		n int := 1;
		m record;
		looked int := 0;
	begin
		while n < 3000 loop
			select * into m from baton.receive('busy');
			if found then
				if m.payload <> to_jsonb(n + 1) then
					raise 'got % after %', m.payload, n;
				end if;
				perform baton.complete(m.receipt);
				n := n + 1;
				looked := 0;
			else
				looked := looked + 1;
				if looked > 5000 then raise 'nothing after %', n; end if;
				perform pg_sleep(0.002);	-- allowed: bounded wait for the loader
			end if;
			commit;
		end loop;
	end $$});
is($node->safe_psql('postgres', q{select count(*) from baton.message where queue = 'busy' and status = 'completed'}),
	'3000', 'all of them, in order');
check_memory($node);

$node->stop;
done_testing();
