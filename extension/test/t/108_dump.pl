# A dump brings back the queues, what is unfinished and what became of the rest.
#
# Would catch: tables of the log that a dump leaves out, or that keep DROP EXTENSION from working
# (finding 14); finished messages that are delivered again while a parallel restore hasn't
# brought their events yet; ids that come twice.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $from = new_node('from', conf => "baton.window_size = 4096\n");

$from->safe_psql('postgres', 'create database app');
$from->safe_psql('app', q{
	create extension baton;
	select baton.create_queue('q', max_attempts => 3), baton.create_queue('empty');
	select baton.alter_queue('empty', lease => '7 min');
	select baton.pause_queue('empty');
	select count(*) from (select baton.send('q', to_jsonb(g), priority => g % 3) from generate_series(1, 5000) g) s;
	select count(*) from (select baton.complete(receipt, payload) from baton.receive('q', 3000)) s;
	select baton.fail(receipt, 'dead at once', retry => false) from baton.receive('q', 10);
	select count(*) from (select baton.fail(receipt, 'later', retry_in => '1 h') from baton.receive('q', 10)) s;
	select baton.send('q', '5001', delay => '1 h')});
my $last = $from->safe_psql('app', 'select max(id) from baton.message');
# held by somebody while the dump is made
my $holder = session($from, database => 'app');
is($holder->query(q{select count(*) from baton.receive('q', 20)}), '20', 'some are in flight');

my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';

command_ok([ 'pg_dump', '-Fd', '-j2', '-f', $file, $from->connstr('app') ], 'pg_dump');

foreach my $options ([], ['-j2'])
{
	my $to = new_node('to' . @$options, extension => 0);

	add_baton($to) if @$options;
	$to->safe_psql('postgres', 'create database app');
	command_ok([ 'pg_restore', @$options, '-d', $to->connstr('app'), $file ], "pg_restore @$options");
	is( $to->safe_psql('app', q{select status, count(*) from baton.message group by 1 order by 1}),
		"completed|3000\ndead|10\npending|1980\nscheduled|11", 'all is there, by state');
	is( $to->safe_psql('app', q{select count(*), sum(result::int) from baton.message where status = 'completed'}),
		$from->safe_psql('app', q{select count(*), sum(result::int) from baton.message where status = 'completed'}), 'with results');
	is( $to->safe_psql('app', q{select name, max_attempts, lease, paused from baton.queue order by 1}),
		"empty|10|00:07:00|t\nq|3|00:05:00|f", 'queues have their policy');

	# what isn't finished comes, once, the rest never
	ok( wait_until($to, q{select count(*) > 0 from pg_class where relname ~ '^message_log'}, 't', database => 'app'), 'the log is there');
	$to->safe_psql('app', 'create table got (id bigint, attempt int)');
	ok( wait_until(
			$to,
			q{with m as materialized (select * from baton.receive('q', 500)),
				c as materialized (insert into got select id, attempt from m),
				d as materialized (select count(baton.complete(receipt)) from m)
				select count(*) from d where count > 0 or (select count(*) from got) < 1980}, '0', database => 'app'),
		'all that is unfinished is delivered');
	is($to->safe_psql('app', q{select count(*), count(distinct id), min(attempt), max(attempt) from got}),
		'1980|1980|1|1', 'each once, and nothing else');
	my $id = $to->safe_psql('app', q{select baton.send('q', '6000')});
	cmp_ok($id, '>', $last, 'new ids are above the old ones');
	is($to->safe_psql('app', q{select id, baton.complete(receipt) from baton.receive('q', 100)}), "$id|", 'and it works');
	if (@$options)
	{
		set_clock($to, '2 hours');
		ok(wait_until($to, q{select count(*) from baton.receive('q', 100)}, '11', database => 'app'), 'the delayed come when it is time');
		check_memory($to);
		set_clock($to, '0 s');
	}
	$to->safe_psql('app', 'drop extension baton');
	is($to->safe_psql('app', q{select count(*) from pg_class where relname ~ '^(message|event)_log'}), '0', 'DROP EXTENSION takes all of it');
	$to->stop;
}

check_memory($from);
$from->stop;
done_testing();
