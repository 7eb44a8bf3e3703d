# What it would catch: a line of the README that doesn't work as it stands, and a worker in shell
# with nothing but curl that loses messages.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $dir = PostgreSQL::Test::Utils::tempdir_short();

# The server that make run leaves, but at a port of its own.
delete @ENV{qw(PGHOST PGPORT PGDATABASE)};
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $up = start_baton('up', '-D', "$dir/b", '--bindir', dirname_of('postgres'), '--http', "localhost:$port");
ok(wait_until('it is ready', sub { return $up->{out} =~ /Ctrl-C/; }, $up), 'baton up');
my ($conninfo) = $up->{out} =~ /psql  "(.*)"/;

sub dirname_of
{
	my ($name) = @_;
	return (grep { -x "$_/$name" } split(/:/, $ENV{PATH}))[0];
}

# ---- the README's lines ----

my ($lines) = slurp("$root/README.md") =~ /^## Over HTTP\n.*?^```sh\n(.*?)^```/ms;
cmp_ok(scalar(() = $lines =~ /^curl|\| *curl|\(curl/mg), '>=', 6, 'the README has lines with curl');
like($lines, qr/localhost:7654/, '... to the usual port');
$lines =~ s/localhost:7654/localhost:$port/g;
my ($out, $err) = ('', '');
# Each must succeed, with an answer that is no error.
IPC::Run::run([ 'sh', '-eu', '-c', "curl() { command curl -sS --fail-with-body --max-time 60 \"\$\@\"; echo; }\n$lines" ],
	'<', \'', '>', \$out, '2>', \$err);
is($?, 0, 'they work as they stand') or diag("$out\n$err");
is($err, '', '... without a complaint');
like($out, qr/^\{"id": \d+\}$/m, '... one is sent');
like($out, qr/^\{"sent": 998\}$/m, '... many');
like($out, qr/"completed":1,/, '... one is completed');

# ---- the worker ----

baton('queue', 'create', 'work', '-d', $conninfo);
my @payloads = ('{"a": 1, "headers": {"b": ",\"headers\":"}}', '"text with \"quotes\" and ü"', '[1, 2]', 'null', '"fail"', map { "{\"n\": $_}" } 1 .. 15);
baton_in(join('', map { "$_\n" } @payloads), 'send', 'work', '-', '-d', $conninfo);
my @workers = map {
	my $n = $_;
	my %w = (out => '', err => '');
	local $ENV{BATON_URL} = "http://localhost:$port";
	$w{run} = IPC::Run::start([ 'sh', "$root/program/demo/curl-worker.sh", 'work', 'read -r p; [ "$p" != \'"fail"\' ] && echo "{\"got\": $p}"' ],
		'<', \'', '>', \$w{out}, '2>', \$w{err}, IPC::Run::timeout(120));
	\%w;
} 1 .. 2;
sub ask { return (run_command([ 'psql', '-XAt', '-d', $conninfo, '-c', $_[0] ]))[0]; }
ok(wait_until('the worker is done', sub { return ask(q{select count(*) from baton.message where queue = 'work' and status = 'completed'}) eq '19'; }, @workers),
	'a worker with nothing but curl');
is(ask(q{select count(*) from baton.message where queue = 'work' and status = 'completed' and result -> 'got' is distinct from payload}), '0',
	'... gets each payload as it was sent, and its result is kept');
is(ask(q{select count(*) > 0 from baton.queue_log where queue = 'work' and action = 'failed'}), 't', '... a command that fails fails the message');
$_->{run}->kill_kill foreach @workers;

is(stop_baton($up, 'INT'), 0, 'the end');
done_testing();
