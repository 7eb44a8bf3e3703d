# Far more messages than memory holds have a time that is still to come: retries after an
# outage, and reminders.  Others flow meanwhile, and all come when it is time, once each.
#
# Would catch: delayed messages that fill the window (finding 3); parked ones that are never
# fetched, or too late, also when thousands have one and the same time; one due in seconds that is
# parked because of many that are due later; a retry that is lost or doubled between memory and the log.

use strict;
use warnings FATAL => 'all';

use BatonLoad;
use BatonTest;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('main', conf => "baton.window_size = 4096\n");
add_ledger($node);

sub query { return $node->safe_psql('postgres', shift); }

# A new message comes through at once.
sub flows
{
	my ($queue, $what) = @_;
	my $consumer = session($node);
	my $start = time();
	my $id = query("select baton.send('$queue', '0')");

	$consumer->query("call baton.wait('$queue', '20 s')");
	is($consumer->query("select baton.complete(receipt)::text || id from baton.receive('$queue', 2)"),
		$id, "$what: a new message comes");
	cmp_ok(time() - $start, '<', 5, "$what: at once");
	$consumer->quit;
	return;
}

# Everything fails and goes into backoff.
my $n = 20_000;
query(q{select baton.create_queue('storm')});
send_many($node, 'storm', $n);
query(q{
	create procedure fail_all(q text, n int, retry interval) language plpgsql as $$
	declare got jsonb; done int := 0;
	begin
		while done < n loop
			call baton.receive_wait(q, 200, '20 s', messages => got);
			if got = '[]' then raise 'only % came', done; end if;
			perform * from baton.fail_batch(array(select m ->> 'receipt' from jsonb_array_elements(got) m),
				array_fill('down'::text, array[jsonb_array_length(got)]), retry_in => retry);
			done := done + jsonb_array_length(got);
			commit;
		end loop;
	end $$});
query("call fail_all('storm', $n, '30 min')");
flows('storm', 'all others in backoff');
is(query(q{select count(*) from baton.receive('storm')}), '0', 'nothing comes before its time');
check_memory($node);
set_clock($node, '31 minutes');
my $start = time();
drain($node, 'storm', $n, consumers => 2, batch => 100);
note(sprintf('the retried took %.1f s', time() - $start));
is_exactly_once($node, 'storm', $n, 'the retried come');
is(query(q{select distinct attempt from ledger where queue = 'storm'}), '2', 'as the second attempt');
check_memory($node);

# What is due in the next seconds stays in memory, though a quarter of it is taken by what is due later.
sub in_memory { return query(q{select ready + delayed from baton.queue where name = 'near'}); }
sub send_delayed
{
	my ($count, $delay) = @_;
	query(qq{select count(*) from baton.send_batch('near', array_fill('{}'::jsonb, array[$count]),
		delay => array[interval '$delay'])});
	return;
}
query(q{select baton.create_queue('near')});
send_delayed(2000, '50 s');
is(in_memory(), 1024, 'no more than a quarter of the window is delayed');
send_delayed(100, '3 s');
is(in_memory(), 1124, 'but for what is due soon');
send_delayed(100, '40 s');
is(in_memory(), 1124, 'and for nothing else');
query(q{select baton.drop_queue('near')});

# Reminders, all for the same moment, many more than the window.
query(q{select baton.create_queue('reminders')});
query(q{
	do $$ begin for i in 0 .. 29 loop
		perform count(*) from baton.send_batch('reminders',
			(select array_agg(to_jsonb(i * 1000 + g) order by g) from generate_series(1, 1000) g),
			deliver_at => array['2100-01-01'::timestamptz]);
		commit;
	end loop; end $$});
flows('reminders', '30,000 reminders');
query(q{select baton.create_queue('soon')});
query(q{
	do $$ begin for i in 0 .. 4 loop
		perform count(*) from baton.send_batch('soon',
			(select array_agg(to_jsonb(i * 1000 + g) order by g) from generate_series(1, 1000) g),
			delay => array[interval '8 s']);
	end loop; end $$});
flows('soon', '5,000 within the horizon');
send_many($node, 'soon', 5000, first => 5001);
is(query(q{select count(*) from ledger where queue = 'soon'}), '0', 'none yet');
my $soon = consumer($node, q{call drain('soon', 50, 10000)});
ok(wait_until($node, q{select count(*) >= 5000 from ledger where queue = 'soon'}, 't'),
	'immediate ones come while others are delayed');
$soon->finish;
is_exactly_once($node, 'soon', 10_000, 'delayed and immediate');
my $ahead = query(q{select extract(epoch from '2100-01-01 00:00:01'::timestamptz - now())::bigint});
is(query(q{select count(*) from baton.receive('reminders')}), '0', 'no reminder before its time');
set_clock($node, "$ahead seconds");
$start = time();
drain($node, 'reminders', 30_000, consumers => 2, batch => 100);
note(sprintf('the reminders took %.1f s', time() - $start));
is_exactly_once($node, 'reminders', 30_000, 'the reminders come');

check_memory($node);
$node->stop;
done_testing();
