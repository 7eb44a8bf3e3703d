# BatonLoad.pm
#	What tests with many messages share: consumers that write a ledger, and what a ledger
#	has to look like at the end.
#
#	use BatonLoad;
#
#	add_ledger($node);
#	send_many($node, 'q', 20_000, per => 1000);
#	drain($node, 'q', 20_000, consumers => 4, batch => 10);
#	is_exactly_once($node, 'q', 20_000);
#
# drain() receives, writes to the ledger and completes in one transaction, so that the
# ledger has each message exactly once, whatever happened meanwhile.

package BatonLoad;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use BatonTest;
use Test::More;

our @EXPORT = qw(add_ledger send_many consumer drain is_exactly_once is_in_order);

# The ledger, and procedures that work on it, in a database.
sub add_ledger
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres', <<'SQL');
create table ledger (
	seq bigint generated always as identity,
	queue text, id bigint, payload jsonb, priority int, key text, attempt int,
	consumer int default pg_backend_pid(),
	at timestamptz default clock_timestamp());

-- Takes what comes, until the ledger has `upto` messages of the queue.
create procedure drain(q text, batch int, upto int, failing float default 0)
language plpgsql as $$
declare
	got jsonb;
	good text[];
	quiet int := 0;
begin
	loop
		call baton.receive_wait(q, batch, '200 ms', messages => got);
		if got = '[]' then
			exit when (select count(*) from ledger where queue = q) >= upto;
			quiet := quiet + 1;
			if quiet > 100 then
				raise 'nothing has come from queue % for 20 s', q;
			end if;
			continue;
		end if;
		quiet := 0;
		if random() < failing then
			perform baton.fail(m ->> 'receipt', 'by chance', retry_in => '5 ms')
				from jsonb_array_elements(got) m;
		else
			insert into ledger (queue, id, payload, priority, key, attempt)
			select q, (m ->> 'id')::bigint, m -> 'payload', (m ->> 'priority')::int, m ->> 'key',
				(m ->> 'attempt')::int
			from jsonb_array_elements(got) with ordinality as e (m, o) order by o;
			good := array(select m ->> 'receipt' from jsonb_array_elements(got) m);
			perform * from baton.complete_batch(good);
		end if;
		commit;
	end loop;
end $$;

-- Sends n messages with the numbers first, first + 1, ..., one transaction for each `per`.
create procedure send_many(q text, first int, n int, per int, prios int[], nkeys int)
language plpgsql as $$
begin
	for i in 0 .. (n - 1) / per loop
		perform count(*) from baton.send_batch(q,
			(select array_agg(to_jsonb(g) order by g) from generate_series(first + i * per, first + least(n, (i + 1) * per) - 1) g),
			priority => (select array_agg(prios[1 + g % cardinality(prios)] order by g)
				from generate_series(first + i * per, first + least(n, (i + 1) * per) - 1) g),
			key => case when nkeys > 0 then (select array_agg('k' || g % nkeys order by g)
				from generate_series(first + i * per, first + least(n, (i + 1) * per) - 1) g) end);
		commit;
	end loop;
end $$;
SQL
	return;
}

# The statement that sends n messages whose payloads are numbers.  Options: first => 1,
# per => 1000 (messages a transaction), priorities => '{0}', keys => 0 (none).
sub send_statement
{
	my ($queue, $n, %opt) = @_;
	my ($first, $per, $priorities, $keys) =
	  ($opt{first} // 1, $opt{per} // 1000, $opt{priorities} // '{0}', $opt{keys} // 0);

	return "call send_many('$queue', $first, $n, $per, '$priorities', $keys)";
}

# Sends them and waits for the end; with background => 1 returns the session at once.
sub send_many
{
	my ($node, $queue, $n, %opt) = @_;
	my $statement = send_statement($queue, $n, %opt);

	return consumer($node, $statement) if $opt{background};
	$node->safe_psql('postgres', $statement);
	return;
}

# A session in which a statement runs.
sub consumer
{
	my ($node, $statement, %opt) = @_;
	return session($node, %opt)->start($statement);
}

# Takes from a queue until its ledger is n messages long.  Options: consumers => 1, batch => 10.
sub drain
{
	my ($node, $queue, $n, %opt) = @_;
	my $batch = $opt{batch} // 10;
	my @sessions =
	  map { consumer($node, "call drain('$queue', $batch, $n)") } 1 .. $opt{consumers} // 1;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $session (@sessions)
	{
		my $error = $session->finish_error;

		ok(0, "a consumer of $queue has ended with $error") if $error;
		$session->quit;
	}
	return;
}

# All that was sent was taken once: the ledger of a queue has the payloads 1 .. n.
sub is_exactly_once
{
	my ($node, $queue, $n, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(
		$node->safe_psql('postgres', qq{
			select count(*), count(distinct id), count(distinct payload), min(payload::int), max(payload::int)
			from ledger where queue = '$queue'}),
		"$n|$n|$n|1|$n",
		($what // $queue) . ": $n messages, each exactly once");
}

# Each consumer got the messages of one priority, and key, by id, retries aside.
sub is_in_order
{
	my ($node, $queue, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(
		$node->safe_psql('postgres', qq{
			select count(*) from (
				select id, lag(id) over (partition by consumer, priority order by seq) as before
				from ledger where queue = '$queue' and attempt = 1) s
			where before > id}),
		'0',
		($what // $queue) . ': each consumer got them in the order of their ids');
}

1;
