# What it would catch: a fault that the doctor doesn't see, or sees where there is none; an exit code that says
# otherwise than the findings.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use JSON::PP;
use Test::More;

my $node = baton_node('doctor', "fsync = on\nmax_worker_processes = 12\nwal_level = replica\nmax_replication_slots = 2\nmax_wal_senders = 2\n");
my ($code, $out, $err);

sub query { return $node->safe_psql('postgres', shift); }

# Every finding of a check, as `status found`; and the exit code fits.
sub look
{
	my ($check, @options) = @_;
	my @findings;

	($code, $out, $err) = baton('doctor', '--json', @options);
	@findings = map { decode_json($_) } split(/\n/, $out);
	is($code, (grep { $_->{status} eq 'fail' } @findings) ? 8 : 0, "$check: the exit code");
	foreach my $bad (grep { $_->{status} ne 'ok' } @findings)
	{
		ok($bad->{todo}, "$bad->{check}: what to do") or diag($bad->{found});
	}
	return join('; ', map { "$_->{status} $_->{found}" } grep { $_->{check} eq $check } @findings);
}

# A reload is seen by a new session at once only when the postmaster has done it.
sub set
{
	my ($name, $value) = @_;
	query("alter system set $name = $value");
	$node->reload;
	return wait_sql($node, "select setting from pg_settings where name = '$name'", $value =~ s/'//gr);
}

sub reset_all
{
	query('alter system reset all');
	$node->reload;
	return;
}

# All is well.
wait_sql($node, q{select bool_and(ok) from baton.health}, 't');
($code, $out, $err) = baton('doctor');
is($code, 0, 'all is well') or diag($out, $err);
unlike($out, qr/^(warn|fail)/m, '... with nothing to complain about');
my @checks = $out =~ /^ok    (\w+)/mg;
is("@checks", 'server primary preload extension rights versions health workers durability settings keepalive snapshots disk queues',
	'... by all checks');
like($out, qr/^ok    disk +the log has .*; [\d.]+ GB of the disk are free \(\d+ %\)$/m, '... the disk, too');
($code, $out, $err) = baton('doctor', '--quiet');
is($out, '', 'nothing to say with --quiet');

# Colours where a person looks, unless NO_COLOR says otherwise; script(1) makes a terminal.
SKIP:
{
	skip('no script(1)', 3) if system('command -v script >/dev/null') != 0;
	my $look = "script -qec '$program doctor' /dev/null </dev/null";
	like(`TERM=xterm $look`, qr/\033\[32mok  \033\[0m/, 'in colour on a terminal');
	unlike(`TERM=xterm NO_COLOR=1 $look`, qr/\033/, '... not with NO_COLOR');
	unlike(`TERM=dumb $look`, qr/\033/, '... nor on a dumb one');
}

# What can be wrong, one after the other.
set('fsync', 'off');
like(look('durability'), qr/^fail fsync off/, 'fsync');
reset_all();
query('alter role current_user set statement_timeout = 1000; alter role current_user set idle_session_timeout = 5000');
like(look('settings'), qr/^warn statement_timeout is 1s.*; warn idle_session_timeout is 5s/, 'timeouts');
query('alter role current_user reset all');
set('log_min_messages', 'fatal');
like(look('settings'), qr/^warn log_min_messages is fatal/, 'a log without errors');
reset_all();
query(q{select pg_create_physical_replication_slot('idle')});
like(look('snapshots'), qr/warn replication slot idle/, 'a slot that nobody reads');
query(q{select pg_drop_replication_slot('idle')});
query(q{select baton.create_queue('q', max_attempts => 1)});
query(q{select baton.send('q', '1'); select baton.fail(receipt, 'no') from baton.receive('q')});
like(look('queues'), qr/^warn q: 1 messages have died/, 'dead messages');

query(q{update pg_extension set extversion = '0.1.0' where extname = 'baton'});
like(look('versions'), qr/^fail library \S+, extension 0\.1\.0, program \S+$/, 'another version of the extension');
query(q{alter extension baton drop function baton.library_version(); alter function baton.library_version rename to version_gone});
like(look('versions'), qr/^fail function baton\.library_version\(\) does not exist$/, '... one that is too old to say');
query(q{alter function baton.version_gone rename to library_version; alter extension baton add function baton.library_version();
	update pg_extension set extversion = baton.library_version() where extname = 'baton'});

query('create role plain login');
like(look('rights', '-d', 'user=plain dbname=postgres'), qr/^fail role plain may not use baton$/, 'no rights');
query('grant usage on schema baton to plain');
is(look('rights', '-d', 'user=plain dbname=postgres'),
	'ok role plain may send and receive, not look (pg_monitor), not make queues', 'some rights');
like(look('health', '-d', 'user=plain dbname=postgres'), qr/^warn permission denied/, '... and what they hide');
like(look('extension', '-d', 'dbname=template1'), qr/^fail not in database template1/, 'no extension');

# What needs a restart.
query(q{alter system set listen_addresses = '127.0.0.1'});
$node->restart;
like(look('keepalive'), qr/^warn tcp_keepalives_idle is the kernel's/, 'keepalive by the kernel');
query('alter system set tcp_keepalives_idle = 20; alter system set tcp_keepalives_interval = 10; alter system set tcp_keepalives_count = 3');
$node->reload;
ok(wait_until('keepalive', sub { return look('keepalive') =~ /^ok a client whose machine is gone is noticed after 50 s/; }),
	'keepalive by us');
reset_all();
query('alter system set max_worker_processes = 1');
$node->restart;
like(look('health'), qr/fail keeper: none/, 'no place for a keeper');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
query('alter system reset max_worker_processes');
$node->restart;
like(look('preload'), qr/^fail the library is not loaded/, 'not preloaded');
$node->stop;
($code, $out, $err) = baton('doctor');
is($code, 3, 'no server');

done_testing();
