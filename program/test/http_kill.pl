# What it would catch: a message that was answered with 201 and is lost, or sent twice, when the
# program or PostgreSQL is killed under load; one that is delivered to a second worker while the first one's
# lease holds; a service that doesn't come back by itself.
#
# The ledger is outside: each client writes what it was told to a file of its own.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

use constant { KILLS => 20, SENDERS => 3, WORKERS => 3, LEASE => 6 };

my $node = baton_node('kill', "restart_after_crash = on\nlog_min_messages = fatal\n");
my $dir = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $server;

$node->safe_psql('postgres', q{select baton.create_queue('q', max_attempts => 1000, max_crashes => 1000)});

# At the same place each time, as its clients know it; others may need a moment to let go of the port.
sub start_server
{
	$server = start_baton('serve', '--listen', "127.0.0.1:$port", '--local-user');
	wait_until('it listens', sub { return $server->{out} =~ /^http/m; }, $server) or die $server->{err};
	$server->{url} = "http://127.0.0.1:$port";
}

# ---- clients: processes of their own ----

my $json = JSON::PP->new;

# One request: (status, body); status 0: no answer.
sub http
{
	my ($path, $body, @headers) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2) or return (0, '');

	local $SIG{PIPE} = 'IGNORE';
	print $socket join("\r\n", "POST $path HTTP/1.1", 'Host: localhost', 'Connection: close', 'Content-Type: application/json',
		'Content-Length: ' . length($body), @headers, '', $body);
	my $got = raw_read($socket, undef, 20);
	return $got =~ m{^HTTP/1\.1 (\d+) .*?\r\n\r\n(.*)}s ? ($1, $2) : (0, '');
}

sub note_down { my ($out, @words) = @_; print $out "@words\n"; $out->flush; }
sub done { return -e "$dir/$_[0]"; }

# Sends under a key until it is told that it was done.
sub sender
{
	my ($me, $out) = @_;

	for (my $n = 0; !done('stop-sending'); $n++)
	{
		my ($status, $body) = (0, '');

		until ($status == 201)
		{
			($status, $body) = http('/v1/queues/q/messages', "{\"payload\": \"$me/$n\"}", "Idempotency-Key: $me/$n");
			last if $status == 0 && done('give-up');
			select(undef, undef, undef, 0.02) if $status != 201;
		}
		note_down($out, 'sent', "$me/$n", $json->decode($body)->{id}) if $status == 201;
	}
}

# Takes, works a little, completes; what it is told about the claim it notes down.
sub worker
{
	my ($me, $out) = @_;

	until (done('stop-working'))
	{
		my $asked = time;
		my ($status, $body) = http('/v1/queues/q/receive?wait=1&max=3&lease=' . LEASE, '');
		my $answer = eval { $json->decode($body) };

		if ($status != 200 || !$answer) { select(undef, undef, undef, 0.02); next; }
		foreach my $m (@{ $answer->{messages} })
		{
			note_down($out, 'got', $m->{id}, $m->{payload}, $asked, time);
			my ($settled) = http("/v1/claims/$m->{receipt}/complete", '{"result": "' . $me . '"}');
			note_down($out, $settled == 204 ? 'completed' : $settled == 409 ? 'lost' : 'unknown', $m->{id}, $m->{payload}, $asked, time);
		}
	}
}

sub start_client
{
	my ($what, $me) = @_;
	my $pid = fork();

	return $pid if $pid;
	open(my $out, '>', "$dir/$me") or die $!;
	eval { $what->($me, $out) };
	print $out "died $@\n" if $@;
	close($out);
	require POSIX;
	POSIX::_exit(0);
}

# ---- the story ----

start_server();
my @senders = map { start_client(\&sender, "s$_") } 1 .. SENDERS;
my @workers = map { start_client(\&worker, "w$_") } 1 .. WORKERS;
END { local $?; kill('KILL', @senders, @workers) if @workers; }

sub completed { return scalar(() = join('', map { slurp("$dir/w$_") } 1 .. WORKERS) =~ /^completed/mg); }
sub progress { my $before = completed(); return wait_until('work goes on', sub { return completed() > $before + 20; }, $server); }
sub alive_again { return wait_until('it is ready', sub { return (curl("$server->{url}/readyz"))[0] == 200; }, $server); }

my @restarts;	# of PostgreSQL: claims before are void
my @back;
my $ok = progress();
foreach my $n (1 .. KILLS)
{
	my $kind = $n % 10 == 0 ? 'postmaster' : $n % 2 ? 'program' : 'backend';

	if ($kind eq 'program')
	{
		stop_baton($server, 'KILL');
		start_server();
	}
	elsif ($kind eq 'backend')
	{
		my $epoch = $node->safe_psql('postgres', 'select pg_postmaster_start_time()');
		my $victim = $node->safe_psql('postgres', q{select pid from pg_stat_activity where application_name = 'baton serve' order by random() limit 1});
		push @restarts, time;
		kill('KILL', $victim);
		wait_until('PostgreSQL is back', sub { return eval { !$node->psql('postgres', 'select 1 where not exists (select from pg_stat_activity where pid = ' . $victim . ')') }; });
	}
	else
	{
		push @restarts, time;
		my @pids = split(/\n/, $node->safe_psql('postgres', 'select pid from pg_stat_activity'));
		$node->kill9;
		wait_until('its processes end', sub { return !grep { kill(0, $_) } @pids; });
		$node->start;
	}
	my $since = time;
	$ok &&= alive_again();
	push @back, time - $since;
	$ok &&= progress();
	last unless $ok;
}
ok($ok, KILLS . ' kills: each time it came back by itself, and work went on');
diag(sprintf('service back after PostgreSQL, or its own start: at most %.2f s', (sort { $a <=> $b } @back)[-1]));

open(my $mark, '>', "$dir/stop-sending");
waitpid($_, 0) foreach @senders;
ok(wait_sql($node, q{select count(*) from baton.message where status not in ('completed')}, 0, $server), 'all is completed in the end');
open($mark, '>', "$dir/stop-working");
waitpid($_, 0) foreach @workers;
@senders = @workers = ();

# ---- the ledger ----

my (%sent, %got, %completed, @doubles);
foreach my $file (glob("$dir/s*"))
{
	next unless $file =~ m{/s\d+$};
	foreach (split(/\n/, slurp($file)))
	{
		my ($what, $payload, $id) = split / /;
		$what eq 'sent' ? ($sent{$payload} = $id) : fail("a sender: $_");
	}
}
foreach my $file (glob("$dir/w*"))
{
	foreach (split(/\n/, slurp($file)))
	{
		my ($what, $id, $payload, $asked, $at) = split / /;
		push @{ $got{$id} }, [ $asked, $at ] if $what eq 'got';
		$completed{$id}++ if $what eq 'completed';
		fail("a worker: $_") if $what eq 'died';
	}
}
cmp_ok(scalar(keys %sent), '>', 20 * KILLS, 'there was load: ' . scalar(keys %sent) . ' messages');
my %in_database = map { my ($payload, $count, $id) = split /\|/; ($payload => [ $count, $id ]) }
  split(/\n/, $node->safe_psql('postgres', q{select payload #>> '{}', count(*), min(id) from baton.message group by 1}));
is(scalar(grep { !$in_database{$_} } keys %sent), 0, 'none that was answered is lost');
is(scalar(grep { $in_database{$_} && $in_database{$_}[1] != $sent{$_} } keys %sent), 0, '... and the answer had its id');
is(scalar(grep { $_->[0] > 1 } values %in_database), 0, 'none was sent twice');
is($node->safe_psql('postgres', q{select count(*) from (select from baton.queue_log where action = 'completed' group by message_id having count(*) > 1) x}), 0,
	'none was completed twice');
is(scalar(grep { $_ > 1 } values %completed), 0, '... also by what workers were told');

# Twice in the hands of workers while the lease held: unless PostgreSQL was restarted in between.
foreach my $id (keys %got)
{
	my @times = sort { $a->[1] <=> $b->[1] } @{ $got{$id} };
	foreach my $n (1 .. $#times)
	{
		my ($before, $after) = ($times[ $n - 1 ], $times[$n]);
		next if $after->[1] >= $before->[0] + LEASE;
		next if grep { $_ >= $before->[0] - 1 && $_ <= $after->[1] } @restarts;
		push @doubles, "$id: @$before, @$after";
	}
}
is("@doubles", '', 'none was delivered twice while its lease held');
is(stop_baton($server, 'TERM'), 0, 'it ends in good order');

done_testing();
