# What it would catch: a send with an Idempotency-Key that happens twice, when it is repeated, when
# two come at once, or when the program or PostgreSQL dies between; a key that silently stands
# for another request; keys that pile up for ever.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonHttp;
use BatonProgram;
use Test::More;

my $node = baton_node('idempotency');
my $server = serve('--local-user');

sub sql { return $node->safe_psql('postgres', @_); }
sub send_by
{
	my ($key, $body, @more) = @_;
	return api($server, undef, 'POST', '/v1/queues/q/messages', $body, '-H', "Idempotency-Key: $key", @more);
}
sub count { return sql('select count(*) from baton.message'); }
sub stream
{
	my ($key, $lines) = @_;
	my @answer = curl('-H', 'Content-Type: application/x-ndjson', '-H', "Idempotency-Key: $key", '--data-binary', $lines, "$server->{url}/v1/queues/q/messages");
	return ($answer[0], json($answer[1]), $answer[2]);
}

sql(q{select baton.create_queue('q'), baton.create_queue('r')});

# ---- again ----

my ($status, $first) = send_by('a', { payload => 1 });
is($status, 201, 'a send with a key');
foreach my $n (1 .. 3)
{
	my ($again, $body) = send_by('a', { payload => 1 });
	is_deeply([ $again, $body ], [ 201, $first ], "again: the same answer ($n)");
}
is(count(), 1, 'one message');
is_problem([ send_by('a', { payload => 2 }) ], 422, qr/another request/, 'the key for another request');
is_problem([ send_by('a', [ { payload => 1 } ]) ], 422, qr/another request/, '... for the same in an array');
is_problem([ stream('a', "{\"payload\": 1}\n") ], 422, qr/another request/, '... for the same in a stream');
is((api($server, undef, 'POST', '/v1/queues/r/messages', { payload => 1 }, '-H', 'Idempotency-Key: a'))[0], 201, '... in another queue it is another key');
is(count(), 2, 'nothing more was sent');
($status, $first) = send_by('b', [ { payload => 1 }, { payload => 2 } ]);
is_deeply((send_by('b', [ { payload => 1 }, { payload => 2 } ]))[1], $first, 'an array');
is(scalar @{ $first->{ids} }, 2, '... all its ids');
is_problem([ send_by('c', { payload => 1, priority => 99 }) ], 400, undef, 'a send that fails');
is((send_by('c', { payload => 1, priority => 9 }))[0], 201, '... has not used its key');
my $count = count();
my $lines = join('', map { "{\"payload\": $_}\n" } 1 .. 1200);
is_deeply((stream('d', $lines))[1], { sent => 1200 }, 'a stream');
is_deeply((stream('d', $lines))[1], { sent => 1200 }, '... again');
is_problem([ stream('d', $lines . "{\"payload\": 0}\n") ], 422, undef, '... another one');
is_problem([ stream('e', $lines . "{\"paylod\": 0}\n") ], 400, qr/^line 1201/, '... one that is wrong at its end');
is_deeply((stream('e', "{\"payload\": 0}\n"))[1], { sent => 1 }, '... has not used its key');
is(count(), $count + 1201, 'each was sent once');

# ---- at once ----

$count = count();
my @curls = map { start_curl('--json', '{"payload": "once"}', '-H', 'Idempotency-Key: x', "$server->{url}/v1/queues/q/messages") } 1 .. 20;
my %answers;
foreach my $curl (@curls)
{
	my ($s, $b) = curl_answer($curl);
	$answers{"$s $b"}++;
}
is(scalar(keys %answers), 1, 'twenty at once: one answer') or diag(join('', %answers));
is(count(), $count + 1, '... one message');
# While the first is still open, the others are told so.
my $open = $node->background_psql('postgres');
$open->query_safe(q{begin; select from baton.once_find('q', 'y')});
is_problem([ send_by('y', { payload => 1 }) ], 409, undef, 'one whose twin takes long');
$open->query_safe('rollback');
is((send_by('y', { payload => 1 }))[0], 201, '... later');
$open->quit;

# ---- through crashes ----

# The send commits, but nobody hears of it: the program is killed before it can answer.
$count = count();
my $locker = $node->background_psql('postgres');
foreach my $what ('the program', 'PostgreSQL')
{
	my $key = $what =~ s/\W//gr;
	$locker->query_safe('begin; lock table baton.idempotency_key in share mode');
	my $curl = start_curl('--json', "{\"payload\": \"$key\"}", '-H', "Idempotency-Key: $key", "$server->{url}/v1/queues/q/messages");
	ok(wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton serve' and wait_event_type = 'Lock'}, 1), 'a send is under way');
	if ($what eq 'the program')
	{
		# Stopped, it can't answer; the statement goes on and commits.
		signal_baton($server, 'STOP');
		$locker->query_safe('commit');
		wait_sql($node, "select count(*) from baton.message where payload = '\"$key\"'", 1);
		stop_baton($server, 'KILL');
		$server = serve('--local-user');
	}
	else
	{
		$node->stop('immediate');
		eval { $locker->quit };
		$node->start;
		wait_until('it is back', sub { return (curl("$server->{url}/readyz"))[0] == 200; }, $server);
	}
	isnt((curl_answer($curl))[0], 201, "$what is killed: no answer");
	my ($again) = curl('--json', "{\"payload\": \"$key\"}", '-H', "Idempotency-Key: $key", "$server->{url}/v1/queues/q/messages");
	is($again, 201, '... sent again with its key');
	is(sql("select count(*) from baton.message where payload = '\"$key\"'"), 1, '... it is there once');
}

# ---- growing old ----

sub keys_kept { return sql('select count(*) from baton.idempotency_key'); }

my $kept = keys_kept();
sql('call baton.cleanup_idempotency_keys()');
is(keys_kept(), $kept, "today's keys stay");
sql('update baton.idempotency_key set turn = (turn + 2) % 3');
$count = count();
is((send_by('a', { payload => 1 }))[0], 201, 'yesterday\'s are known');
is(count(), $count, '... and nothing is sent again');
sql('update baton.idempotency_key set turn = (turn + 2) % 3');
is(sql('call baton.cleanup_idempotency_keys()'), 't', 'those of two days ago are forgotten');
is(keys_kept(), 0, '... all of them');
is(sql('call baton.cleanup_idempotency_keys()'), 'f', '... once');
stop_baton($server, 'TERM');

# ---- privileges ----

# A role that has only what docs/http.md says can serve.
sql(q{create role serving login;
	grant usage on schema baton to serving;
	grant select on baton.token, baton.queue, baton.health, baton.queue_log to serving;
	grant select, insert on baton.idempotency_key to serving;
	grant select, truncate on baton.idempotency_key_0, baton.idempotency_key_1, baton.idempotency_key_2 to serving;
	grant execute on function baton.create_queue, baton.alter_queue, baton.drop_queue, baton.pause_queue, baton.resume_queue to serving});
my $all = token('all', '--scopes', 'send,receive,inspect,manage');
{
	local $ENV{PGUSER} = 'serving';
	$server = serve();
}
sub request { return api($server, $all, @_); }
is((request('POST', '/v1/queues', { name => 's' }))[0], 201, 'create');
is((request('PATCH', '/v1/queues/s', { max_attempts => 2 }))[0], 204, 'alter');
is((request('POST', '/v1/queues/s/messages', { payload => 1 }, '-H', 'Idempotency-Key: k'))[0], 201, 'send');
is((request('POST', '/v1/queues/s/messages', { payload => 1 }, '-H', 'Idempotency-Key: k'))[0], 201, '... again');
my $receipt = (request('POST', '/v1/queues/s/receive'))[1]{messages}[0]{receipt};
is((request('POST', "/v1/claims/$receipt/complete"))[0], 204, 'complete');
is((request('GET', '/v1/queues'))[0], 200, 'list');
is((request('GET', '/v1/stats'))[0], 200, 'stats');
is((request('GET', '/v1/queues/s/messages/1'))[0], 404, 'look');
is((request('DELETE', '/v1/queues/s'))[0], 204, 'drop');
is(stop_baton($server, 'TERM'), 0, 'it ends');

done_testing();
