# What it would catch: a cluster that loses what it had, is open to other users, is left
# behind or can't be started again after its keeper was killed; two servers on one directory.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The PostgreSQL that is first in PATH, as for the other tests.
my ($postgres) = grep { -x } map { "$_/postgres" } split(/:/, $ENV{PATH});
my @here = ('--bindir', dirname($postgres));
my $dir = PostgreSQL::Test::Utils::tempdir_short() . '/b';
my ($code, $out, $err);

delete @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER PGSERVICE PG_CONFIG)};
# No server of this user's own may be found by accident.
$ENV{XDG_DATA_HOME} = PostgreSQL::Test::Utils::tempdir_short();

sub conninfo { return $_[0] =~ /^  psql  "(.*)"$/m ? $1 : ''; }

sub ask
{
	my ($conninfo, $query) = @_;
	my ($answer, $error) = run_command([ dirname($postgres) . '/psql', '-XAt', '-d', $conninfo, '-c', $query ]);
	diag($error) if $error;
	return $answer;
}

sub postmaster { return (split(/\n/, slurp("$dir/data/postmaster.pid")))[0]; }

# The first start makes it; Ctrl-C stops it; the next one goes on.
my $up = start_baton('up', '-D', $dir, @here);
ok(wait_until('it is ready', sub { $up->{out} =~ /Ctrl-C/ }, $up), 'up makes a cluster and starts it');
my $conninfo = conninfo($up->{out});
($code) = baton('queue', 'create', 'q', '-d', $conninfo);
is($code, 0, 'it can be used as it says');
baton('send', 'q', '"kept"', '-d', $conninfo);
is(ask($conninfo, 'show fsync'), 'on', 'it is durable');
is(ask($conninfo, 'show listen_addresses'), '', 'it listens nowhere but on its socket');
is(ask($conninfo, 'show data_checksums'), 'on', 'it has checksums');
foreach my $path ('socket', 'data', 'log')
{
	is((stat("$dir/$path"))[2] & 07777, 0700, "$path is closed to others");
}
is((stat("$dir/pgpass"))[2] & 07777, 0600, 'the password is closed to others');

($code, $out, $err) = baton('up', '-D', $dir, @here);
is($code, 1, 'a second one on the same directory is refused');
like($err, qr/runs already in \Q$dir\E \(process $up->{pid}\)/, '... and told why');
($code, $out) = baton('up', '-D', $dir, @here, '--background');
is($code, 0, 'with --background it is as good as done');
is(conninfo($out), $conninfo, '... and says how to connect');

my ($url) = $up->{out} =~ /HTTP: (http:\S+)/;
($code, $out) = baton('up', '-D', $dir, @here, '--background', '--json');
is_deeply(decode_json($out), { directory => $dir, conninfo => $conninfo, http => $url }, '... also as JSON');

# The HTTP server beside it.
sub healthy { return (run_command([ 'curl', '-s', '--max-time', 5, "$url/v1/queues/q" ]))[0] =~ /"name"/; }
ok(healthy(), 'the HTTP server answers its own user');
my ($serve) = grep { slurp("/proc/$_/cmdline") =~ /serve/ } split(/ /, slurp("/proc/$up->{pid}/task/$up->{pid}/children"));
kill('KILL', $serve);
ok(wait_until('it is started again', \&healthy, $up), '... is started again when it is killed');
($serve) = grep { slurp("/proc/$_/cmdline") =~ /serve/ } split(/ /, slurp("/proc/$up->{pid}/task/$up->{pid}/children"));

my $server = postmaster();
is(stop_baton($up, 'INT'), 0, 'Ctrl-C stops it');
ok(!alive($server), '... the server too');
ok(!alive($serve), '... and the HTTP server');
ok(!-e "$dir/data/postmaster.pid", '... in good order');
$up = start_baton('up', '-D', $dir, @here);
wait_until('it is ready', sub { $up->{out} =~ /Ctrl-C/ }, $up);
($code, $out) = baton('receive', 'q', '--complete', '--payload', '-d', $conninfo);
is($out, "\"kept\"\n", 'started again it goes on with what it had');

# Its server is killed: it starts it again.
$server = postmaster();
baton('send', 'q', '"crash"', '-d', $conninfo);
kill('KILL', $server);
ok(wait_until('it is started again', sub {
			my ($c, $o) = baton('receive', 'q', '--complete', '--payload', '-d', $conninfo);
			return $c == 0 && $o eq "\"crash\"\n"; }, $up), 'a server that was killed comes back with its data');
isnt(postmaster(), $server, '... as another process');

# It is killed itself: the server must not be left behind, and can be had again.
$server = postmaster();
($serve) = grep { slurp("/proc/$_/cmdline") =~ /serve/ } split(/ /, slurp("/proc/$up->{pid}/task/$up->{pid}/children"));
is(stop_baton($up, 'KILL'), 128 + 9, 'up is killed');
ok(wait_until('the HTTP server ends', sub { return !alive($serve); }), '... its HTTP server ends');
($code, $out, $err) = baton('up', '-D', $dir, @here, '--background');
is($code, 0, 'it can be started again at once') or diag($err);
isnt(postmaster(), $server, '... with a server of its own');
ok(!alive($server), '... the other one has ended');

# Down.
$server = postmaster();
($code) = baton('down', '-D', $dir);
is($code, 0, 'down');
ok(!alive($server), '... the server has ended');
($code, $out, $err) = baton('down', '-D', $dir);
is($code, 4, 'down where nothing runs');

# With TCP, and a setting of one's own.
my $port = PostgreSQL::Test::Cluster::get_free_port();
append_to_file("$dir/data/postgresql.conf", "work_mem = '7MB'\n");
($code, $out, $err) = baton('up', '-D', $dir, @here, '-b', '-p', $port);
is($code, 0, 'with a port') or diag($err);
my ($tcp) = $out =~ /by TCP: "(.*)"/;
is(ask($tcp, 'show work_mem'), '7MB', 'a connection by TCP, and settings of one\'s own');
isnt(system("psql -XAtw -d '$tcp passfile=/dev/null' -c '' 2>/dev/null"), 0, '... not without the password');
($code) = baton('down', '-D', $dir);

# Found without being named, in the default directory.
($code, $out, $err) = baton('queue');
is($code, 3, 'no server of this user runs');
like($err, qr/^hint: .*baton up/m, '... the hint has the way');
($code, $out, $err) = baton('up', @here, '-b');
is($code, 0, 'up in the default directory') or diag($err);
like($out, qr/find this server without -d/, '... says that it is found');
($code) = baton('queue', 'create', 'mine');
is($code, 0, '... and it is');
($code, $out) = baton('queue');
like($out, qr/^mine /m, '... again');
($code) = baton('down');
is($code, 0, 'down in the default directory');

# Without HTTP, and with a port that is taken.
($code, $out, $err) = baton('up', '-D', $dir, @here, '-b', '--http', 'off');
unlike($out, qr/HTTP/, 'without HTTP');
($code) = baton('down', '-D', $dir);
($code, $out, $err) = baton('up', '-D', $dir, @here, '-b', '--http', '127.0.0.1:1');
is($code, 1, 'a port that can not be had');
like($err, qr/does not start on 127.0.0.1:1/, '... is named');

# What can't be.
($code, $out, $err) = baton('up', '-D', "$dir-2", '--bindir', '/nonexistent');
is($code, 6, 'no PostgreSQL');
like($err, qr{looked at: /nonexistent \(no pg_config\)}, '... says where it looked');
{
	local $ENV{PG_CONFIG} = '/nonexistent/pg_config';
	($code, $out, $err) = baton('up', '-D', "$dir-2");
	is($code, 6, 'PG_CONFIG that is wrong');
}
($code, $out, $err) = baton('up', '-D', "$dir/" . ('x' x 100), @here, '-b');
is($code, 2, 'a name too long for a socket');
like($err, qr/^hint: .*--socket/m, '... the hint has the way');
append_to_file("$dir/data/postgresql.conf", "no_such_setting = 1\n");
($code, $out, $err) = baton('up', '-D', $dir, @here, '-b');
is($code, 1, 'a setting that is wrong');
like($err, qr/no_such_setting/, '... the server\'s words are shown');

done_testing();
