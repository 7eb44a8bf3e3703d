# Several databases, and statements that want one for themselves.
#
# Would catch: a keeper that keeps DROP DATABASE, RENAME, SET TABLESPACE or CREATE DATABASE ...
# TEMPLATE from working, or stays away afterwards (finding 25); memory of one database that
# shows up in another, or in one that has its name later.

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('main');
my $tablespace = PostgreSQL::Test::Utils::tempdir_short();

sub query
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub take { return query(q{select payload from (select payload, baton.complete(receipt) from baton.receive('q', 100)) m order by payload::int}, shift); }

# The statement works while a keeper is there, soon.
sub quick
{
	my ($sql) = @_;
	my $start = time();
	my ($code, $out, $err) = $node->psql('postgres', $sql);

	is($err, '', $sql);
	cmp_ok(time() - $start, '<', 5, 'in less than five seconds');
	return;
}

sub has_keeper
{
	my ($database) = @_;

	return ok(
		wait_until($node,
			"select count(*) from pg_stat_activity where backend_type = 'baton keeper' and datname = '$database'", '1'),
		"$database has a keeper");
}

foreach my $database ('one', 'two')
{
	query("create database $database");
	add_baton($node, $database);
	query(qq{select baton.create_queue('q'); select baton.send('q', '1'); select baton.send('q', '2', delay => '1 h')}, $database);
	has_keeper($database);
}
query(q{select baton.send('q', '3')}, 'two');

quick('create database copy template one');
has_keeper('one');
has_keeper('copy');
wait_until($node, q{select ready from baton.queue where name = 'q'}, '1', database => 'copy');	# it has been loaded
is(take('copy'), '1', 'the copy has its messages');
is(take('one'), '1', 'and so has the original');
is(take('two'), "1\n3", 'and another one');
query(q{select baton.send('q', '7')}, 'copy');
is(take('one'), '', 'what is sent to one is not in another');
is(take('copy'), '7', 'but where it was sent to');

quick('alter database one rename to renamed');
has_keeper('renamed');
query(q{select baton.send('q', '4')}, 'renamed');
is(take('renamed'), '4', 'it goes on under another name');

query("create tablespace space location '$tablespace'");
quick('alter database renamed set tablespace space');
has_keeper('renamed');
query(q{select baton.send('q', '5')}, 'renamed');
is(take('renamed'), '5', 'and at another place');

# A statement that fails lets the keeper come back.
my $session = session($node, database => 'two');
my ($code, $out, $err) = $node->psql('postgres', 'drop database two');
isnt($code, 0, 'DROP DATABASE with a session in it fails');
has_keeper('two');
$session->quit;

# One with claims and a backlog.
$session = session($node, database => 'copy');
$session->query(q{select baton.send('q', '8')});
$session->query(q{select * from baton.receive('q')});
$session->query(q{select baton.send('q', to_jsonb(g)) from generate_series(1, 500) g});
quick('drop database copy with (force)');
quick('drop database two');
query('create database two');
add_baton($node, 'two');
query(q{select baton.create_queue('q')}, 'two');
is(take('two'), '', 'a database of the same name knows nothing of the old one');
query(q{select baton.send('q', '9')}, 'two');
is(take('two'), '9', 'and works');

# Made and dropped again and again: entries in memory come back.
foreach my $i (1 .. 5)
{
	query('create database brief template renamed');
	is(query(q{select baton.send('q', '1') > 0}, 'brief'), 't', 'a short-lived one can be used at once');
	query('drop database brief');
}
has_keeper('renamed');
has_keeper('two');

# As template1 a database with the extension works too.
query(q{create extension baton; select baton.create_queue('q')}, 'template1');
quick('create database from_template');
query(q{select baton.send('q', '1')}, 'from_template');
query(q{call baton.wait('q', '20 s')}, 'from_template');	# it is being loaded
is(take('from_template'), '1', 'a database with the extension from template1');

check_memory($node);
$node->restart;
has_keeper($_) foreach 'postgres', 'renamed', 'two', 'from_template';
query(q{select baton.send('q', '6')}, 'renamed');
query(q{call baton.wait('q', '20 s')}, 'renamed');
is(take('renamed'), '6', 'after a restart');
check_memory($node);
$node->stop;
done_testing();
