# Maintenance by an administrator rewrites the log's tables while messages wait, are delayed, and are claimed.
#
# Would catch: a message that is read at the place where it was before VACUUM FULL or CLUSTER, so another
# one's payload is delivered, or an error; a loader, or a settle, that can't go on with a rewritten table or
# index; a lock that makes producers and consumers fail instead of wait; new segments that are elsewhere
# than their parent.
#
# Each round sends and claims before the statement, runs it beside producers and consumers,
# and drains the queue afterwards.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "baton.window_size = 1024\n");
my $space = PostgreSQL::Test::Utils::tempdir_short();
my $worker = session($node);
my $holder = session($node);
my $other = session($node);

$node->safe_psql('postgres', "create tablespace space location '$space'");
$node->safe_psql('postgres', q{
	select baton.create_queue('q'), baton.create_queue('idle');
	create table sent (id bigint primary key, payload jsonb, due boolean);
	create table got (id bigint, payload jsonb)});

# The pairs that exist now.
sub tables
{
	return split(/\n/, $node->safe_psql('postgres', q{
		select inhrelid::regclass from pg_inherits
		where inhparent in ('baton.message_log'::regclass, 'baton.event_log'::regclass) order by 1}));
}

# More than the window holds, in several priorities, with rows between them that were rolled back, and so
# large that some are toasted; ten are held, ten have failed and are due again, ten later.
sub prepare
{
	$other->query(q{insert into sent select baton.send('q', to_jsonb(g || repeat(md5(g::text), g % 7)), priority => g % 3), null, true
		from generate_series(1, 600) g});
	$other->query(q{begin; select count(baton.send('q', '"never"', priority => 2)) from generate_series(1, 500); rollback});
	$other->query(q{insert into sent select baton.send('q', to_jsonb(g || repeat(md5(g::text), 400)), priority => g % 2), null, true
		from generate_series(1, 900) g});
	$other->query(q{insert into sent select baton.send('q', to_jsonb(g), delay => case when g % 2 = 0 then '50 s' else '30 min' end::interval), null, false
		from generate_series(1, 20) g});
	$other->query(q{update sent set payload = m.payload from baton.message_log m where m.id = sent.id and sent.payload is null});
	$worker->query(q{select count(baton.fail(receipt, 'again', retry_in => '0')) from baton.receive('q', 10)});
	$worker->query(q{with r as materialized (select * from baton.receive('q', 10)),
			f as materialized (select id, baton.fail(receipt, 'later', retry_in => '40 s') from r)
		update sent set due = false where id in (select id from f)});
	return $holder->query(q{create temp table held as select * from baton.receive('q', 10)});
}

my $take = q{with r as materialized (select * from baton.receive('q', 300)),
		c as materialized (select id, payload, baton.complete(receipt) from r)
	insert into got select id, payload from c};

# Everything that is ready comes, as it was sent; then, an hour later, the rest.
sub check_round
{
	my ($name) = @_;
	my $ready = q{select count(*) from sent where due and id not in (select id from got)};

	is( $holder->query(q{with c as (select id, payload, baton.complete(receipt) from held) insert into got select id, payload from c
			returning 1}), join("\n", ('1') x 10), "$name: what was held can be settled");
	ok(wait_until($node, "$take; $ready", 0), "$name: all that is ready comes");
	is($node->safe_psql('postgres', q{select count(*) from got natural join sent where not due}), 0, "$name: nothing before its time");
	set_clock($node, '1 hour');
	ok(wait_until($node, "$take; select count(*) from sent where id not in (select id from got)", 0), "$name: the delayed come, too");
	set_clock($node, '0 s');
	is( $node->safe_psql('postgres', q{select count(*), count(distinct got.id), count(*) filter (where got.payload = sent.payload) = count(*)
			from got full join sent using (id)}),
		join('|', ($node->safe_psql('postgres', 'select count(*) from sent')) x 2, 't'),
		"$name: each once and with its own payload");
	is($node->safe_psql('postgres', q{select count(*) from baton.message where queue = 'q' and status <> 'completed'}), 0, "$name: the log agrees");
	$holder->query('drop table held');
	$node->safe_psql('postgres', 'truncate sent, got');
	return;
}

sub round
{
	my ($name, @statements) = @_;

	prepare();
	$worker->query($take);
	# who has taken a snapshot, and a message, before the table is rewritten
	$other->query('begin isolation level repeatable read; select count(*) from sent');
	foreach my $statement (@statements)
	{
		$other->query('commit') if $statement =~ /full|cluster|tablespace|concurrently/i;
		$node->safe_psql('postgres', $statement);
		$worker->query($take);
		$other->query(q{insert into sent values (baton.send('q', '"meanwhile"', priority => 1), '"meanwhile"', true)});
	}
	$other->query('commit');
	return check_round($name);
}

sub each_table { my ($format) = @_; return map { sprintf($format, $_) } tables(); }

prepare();    # so that there are tables
check_round('first');
my @messages = grep { /message/ } tables();
my @events = grep { /event/ } tables();

round('VACUUM FULL', each_table('vacuum full %s'));
round('CLUSTER', (map { /(\w+)$/; "cluster $_ using $1_lane" } @messages), (map { /(\w+)$/; "cluster $_ using $1_message" } @events));
round('VACUUM FREEZE', each_table('vacuum (freeze, analyze) %s'));
round('REINDEX', each_table('reindex table %s'));
round('REINDEX CONCURRENTLY', each_table('reindex table concurrently %s'));
round('SET TABLESPACE', each_table('alter table %s set tablespace space'));
round('REINDEX in another tablespace', each_table('reindex (tablespace space) table %s'));
round('ALTER TABLE SET', each_table('alter table %s set (fillfactor = 70)'), each_table('alter table %s alter column id set statistics 500'));

# ---- in one transaction with other work, and rolled back ----

prepare();
$other->query("begin; cluster $messages[0] using " . ($messages[0] =~ s/baton\.//r) . '_lane');
$worker->start($take);
$holder->start(q{select baton.send('idle', '1') > 0});
wait_until($node, q{select count(*) >= 2 from pg_locks where not granted}, 't');
$other->query('rollback');
is($worker->finish . $holder->finish, 't', 'who came meanwhile waited, and goes on');
check_round('a rewrite rolled back');

# ---- a snapshot from before ----

prepare();
my $old = session($node);
$old->query('begin isolation level repeatable read; select 1');
$other->query(q{insert into sent values (baton.send('q', '"new"', priority => 9), '"new"', true)});
$node->safe_psql('postgres', $_) foreach each_table('vacuum full %s');
is($old->query(q{select payload <> '"new"' from baton.receive('q')}), 't', 'an old snapshot gets what it can see');
$old->query('rollback');
is($worker->query(q{select payload from baton.receive('q')}), '"new"', 'and another one the newest');
$worker->query('select baton.release_held()');
check_round('an old snapshot');

check_memory($node);
$node->restart;
is($node->safe_psql('postgres', q{select count(*) from baton.message where status <> 'completed'}), 1, 'after a restart');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC:|TRAP:|could not open relation/, 'nothing broke');
$node->stop;
done_testing();
