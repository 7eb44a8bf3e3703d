# ALTER EXTENSION baton UPDATE makes of an older version exactly what CREATE EXTENSION makes, and what
# was in the queues is still there.
#
# Would catch: a column, function, grant or comment that was added to the install script and can't come
# into a database that exists; log tables of an older version that the new one can't read, or leaves
# aside after a restore; a new library that reads arguments which functions declared by the older
# version don't pass.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_version = '0.1.0';
my $node = new_node('main');

sub query
{
	my ($database, $sql) = @_;
	return $node->safe_psql($database, $sql);
}

# What the library of 0.1.0 made at the first send.
my $old_log = q{
	create table baton.message_log_1 () inherits (baton.message_log)
		with (fillfactor = 100, toast_tuple_target = 8160, autovacuum_enabled = off, toast.autovacuum_enabled = off);
	create table baton.event_log_1 () inherits (baton.event_log)
		with (fillfactor = 100, autovacuum_enabled = off, toast.autovacuum_enabled = off);
	alter table baton.message_log_1 alter headers set compression lz4, alter payload set compression lz4;
	alter table baton.event_log_1 alter detail set compression lz4;
	create index message_log_1_lane on baton.message_log_1 (queue_id, priority, id) with (deduplicate_items = off);
	create index message_log_1_due on baton.message_log_1 (queue_id, deliver_at) where deliver_at is not null;
	create index event_log_1_message on baton.event_log_1 (message_id) with (deduplicate_items = off);
	create index event_log_1_due on baton.event_log_1 (queue_id, deliver_at) where deliver_at is not null};

# A queue with messages in several states, as 0.1.0 wrote them.  Ids are 1 to 6 of the first block, events
# come after.
my $old_rows = q{
	select nextval('baton.id_block');
	insert into baton.queue_definition (name, max_attempts, max_crashes, backoff, backoff_max, lease, key_in_flight)
		values ('jobs', 3, 5, '1 s', '1 h', '5 min', 1), ('paused', 10, 5, '1 s', '1 h', '7 min', 2);
	update baton.queue_definition set paused = true where name = 'paused';
	insert into baton.message_log_1 (id, queue_id, sent_at, deliver_at, priority, key, headers, payload)
		values (1, 1, now(), null, 0, null, null, '"done"'), (2, 1, now(), null, 0, null, null, '"dead"'),
			(3, 1, now(), null, 0, null, '{"h": 1}', '"first"'), (4, 1, now(), null, 0, 'k', null, '"failed"'),
			(5, 1, now(), now() + interval '1 h', 0, null, null, '"later"'), (6, 1, now(), null, 9, null, null, '"urgent"');
	insert into baton.event_log_1 (id, message_id, queue_id, at, action, attempt, failures, crashes, claimed_at, process_id, role, deliver_at, detail)
		values (7, 1, 1, now(), 'completed', 1, 0, 0, now(), 4711, 'postgres', null, '{"answer": 42}'),
			(8, 2, 1, now(), 'dead', 1, 1, 0, now(), 4711, 'postgres', null, '{"error": "broken"}'),
			(9, 4, 1, now(), 'failed', 1, 1, 1, now(), 4711, 'postgres', now(), '{"error": "once"}')};

sub make_old
{
	my ($database) = @_;

	query('postgres', "create database $database");
	query($database, "create extension baton version '$old_version'");
	query($database, "begin; $old_log; $old_rows; commit");
	return;
}

# All that pg_dump can say of the extension's objects and of the log, with members told one by one: columns
# with their numbers, functions, views, grants, comments, options; and what it doesn't say.
sub description
{
	my ($database) = @_;
	my ($out, $err) = run_command(
		[ 'pg_dump', '--binary-upgrade', '--schema-only', '--schema=baton', '--extension=baton', $node->connstr($database) ]);

	isnt($out, '', "$database: pg_dump") or diag($err);
	$out = join("\n", grep { !/binary_upgrade|^\\(un)?restrict |^--|^$|^\s*\d+,$|^SE[TL]|\boid = / } split(/\n/, $out));
	return $out . "\n"
	  . query($database, q{
		select 'version', extversion, extrelocatable, extnamespace::regnamespace from pg_extension where extname = 'baton';
		select 'config', c.oid::regclass, c.condition from pg_extension,
			unnest(extconfig, extcondition) c(oid, condition) where extname = 'baton' order by 2;
		select 'depends', d.deptype, i.type, i.identity from pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
			where d.refclassid = 'pg_extension'::regclass
				and d.refobjid = (select oid from pg_extension where extname = 'baton') order by 2, 3, 4;
		select 'toast', t.relname, c.reloptions from pg_class t join pg_class c on c.oid = t.reltoastrelid
			where t.relnamespace = 'baton'::regnamespace order by 2});
}

# The first difference is easier to read than two long texts.
sub same
{
	my ($got, $expected, $name) = @_;
	my @got = split(/\n/, $got);
	my @expected = split(/\n/, $expected);

	shift @got, shift @expected while @got && @expected && $got[0] eq $expected[0];
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(join("\n", @got[ 0 .. min(9, $#got) ]), join("\n", @expected[ 0 .. min(9, $#expected) ]), $name);
}

sub min { my ($a, $b) = @_; return $a < $b ? $a : $b; }

# The log is known to the keeper, and its tables belong to the extension.
sub wait_for_adoption
{
	my ($database) = @_;
	return wait_until(
		$node,
		q{select count(*) from pg_depend where deptype = 'a' and refclassid = 'pg_extension'::regclass
			and objid in ('baton.message_log_1'::regclass, 'baton.event_log_1'::regclass)},
		2, database => $database);
}

# What comes of a query that receives, until it is so many messages.
sub take
{
	my ($worker, $n, $query) = @_;
	my @got;

	while (@got < $n && $worker->query(q{call baton.wait('jobs', '20 s')}) eq 't')
	{
		push @got, split(/\n/, $worker->query($query));
	}
	diag($worker->query(q{select * from baton.queue; select * from baton.segment; select * from baton.queue_mark;
		select pid, backend_type, datname, wait_event, now() - backend_start from pg_stat_activity; select pid, mode, relation::regclass from pg_locks where not granted})) if @got < $n;
	return join("\n", @got);
}

# What the messages of make_old become.
sub check_messages
{
	my ($database, $name) = @_;
	my $worker = session($node, database => $database);

	is( $worker->query(q{select id, payload #>> '{}', status, failures, crashes, result, error from baton.message where id <= 6 order by id}),
		join("\n",
			'1|done|completed|0|0|{"answer": 42}|', '2|dead|dead|1|0||broken', '3|first|pending|0|0||',
			'4|failed|pending|1|1||once', '5|later|scheduled|0|0||', '6|urgent|pending|0|0||'),
		"$name: messages are as they were");
	is( $worker->query(q{select name, max_attempts, lease, key_in_flight, paused from baton.queue order by 1}),
		"jobs|3|00:05:00|1|f\npaused|10|00:07:00|2|t", "$name: queues too");
	is( take($worker, 3, q{select id, payload, headers, attempt, key, baton.complete(receipt, '"new"') from baton.receive('jobs', 10)}),
		"6|\"urgent\"||1||\n3|\"first\"|{\"h\": 1}|1||\n4|\"failed\"||3|k|",
		"$name: and delivered, in order");
	is($worker->query(q{select count(*) from baton.message where result = '"new"'}), 3, "$name: results");
	cmp_ok($worker->query(q{select baton.send('jobs', '"after"')}), '>', 9, "$name: ids don't come again");
	is( take($worker, 1, q{select payload, baton.fail(receipt, 'x', retry => false) from baton.receive('jobs', 10)}),
		'"after"|', "$name: it goes on");
	set_clock($node, '2 hours');
	is( take($worker, 1, q{select payload, baton.complete(receipt) from baton.receive('jobs', 10)}),
		'"later"|', "$name: what was delayed comes when it is time");
	set_clock($node, '0 s');
	$worker->quit;
	return;
}

make_old($_) foreach 'upgraded', 'untouched';

# ---- the new library, and functions as the old version declared them ----

my $user = session($node, database => 'untouched');
foreach my $call (
	q{select baton.create_queue('q', 3, lease => '1 min')}, q{select baton.alter_queue('q', max_attempts => 4)},
	q{select baton.send('q', '1')}, q{select * from baton.send_batch('q', array['2'::jsonb])},
	q{select baton.complete(receipt, '1') from baton.receive('q')},
	q{select baton.fail(receipt, 'x', retry => false) from baton.receive('q')},
	q{select * from baton.held()}, q{select * from baton.message}, q{select * from baton.queue_log},
	q{select * from baton.queue}, q{select * from baton.in_flight}, q{select * from baton.health},
	q{call baton.check_hung_messages()}, q{call baton.wait('q', '0 s')})
{
	like($user->error($call), qr/^(55000: .*)?$/, "before the update: $call");
}

# ---- the update ----

query('upgraded', q{
	create role app login;
	grant usage on schema baton to app;
	grant execute on function baton.pause_queue to app;
	create view public.mine as select * from baton.message;
	create view public.mine_too as select * from baton.queue, (select 1 from baton.queue_log, baton.in_flight, baton.health) x});
query('upgraded', 'alter extension baton update');
query('upgraded', 'create extension baton_test');
is(query('upgraded', q{set role app; select baton.pause_queue('paused')}), '', 'grants are kept');
like((run_command([ 'pg_dump', '--schema-only', $node->connstr('upgraded') ]))[0],
	qr/^GRANT ALL ON FUNCTION baton.pause_queue\(name text\) TO app;$/m, 'and are dumped');
query('upgraded', 'revoke usage on schema baton from app; revoke execute on function baton.pause_queue from app');
is(query('upgraded', q{select count(*) from mine where status = 'completed'}), 1, 'views on views too');
wait_for_adoption('upgraded');

query('postgres', 'create database fresh');
query('fresh', q{create extension baton; select baton.create_queue('q'); select baton.send('q', '1')});

# Those that the library takes for something else say so, whatever they are called with.
my %now = map { split(/\|/, $_, 2) } split(/\n/,
	query('fresh', q{select prosrc, proargtypes from pg_proc where pronamespace = 'baton'::regnamespace}));
foreach (split(/\n/, query('untouched', q{
	select prosrc, proargtypes, case when prokind = 'p' then 'call ' else 'select ' end || oid::regproc || '('
		|| (select coalesce(string_agg('null::' || t::regtype, ', ' order by n), '') from unnest(proargtypes) with ordinality a(t, n)) || ')'
	from pg_proc where pronamespace = 'baton'::regnamespace})))
{
	my ($symbol, $types, $call) = split(/\|/);

	next if $types eq ($now{$symbol} // 'gone');
	like($user->error($call), qr/^55000: /, "before the update, of another form since: $call");
}
$user->quit;

same(description('upgraded'), description('fresh'), 'upgraded as installed');
is( query('upgraded', q{
		select p.attrelid::regclass, p.attname, c.attnum from pg_inherits join pg_attribute p on p.attrelid = inhparent
		left join pg_attribute c on c.attrelid = inhrelid and c.attname = p.attname
		where p.attrelid in ('baton.message_log'::regclass, 'baton.event_log'::regclass) and p.attnum > 0
			and c.attnum is distinct from p.attnum}),
	'', 'columns of the log have their places');
check_messages('upgraded', 'upgraded');

# ---- a dump of the old version, restored where the new one is ----

my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('untouched') ], 'pg_dump of the older version');
query('postgres', 'create database restored');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $file ], 'pg_restore into the new one');
query('restored', 'create extension baton_test');
query('restored', q{select baton.drop_queue('q', if_exists => true)});
wait_for_adoption('restored');
check_messages('restored', 'restored');

# ---- and after a restart ----

query('untouched', q{alter extension baton update; select baton.drop_queue('q', if_exists => true)});
$node->restart;
check_messages('untouched', 'after a restart');
check_memory($node);
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC:|TRAP:|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
