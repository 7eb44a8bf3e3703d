# What it would catch: a follower that, reading what it has missed, shows events once more because compaction has copied
# them to another segment, so that other transactions have written their rows; or one that takes every copy for an old one, and
# doesn't show what happened while it was away and was copied before it came back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use JSON::PP;
use Test::More;

my $node = baton_node('log', "baton.segment_age = 0\nautovacuum = off\n");

sub query { return $node->safe_psql('postgres', shift); }
sub shown { my ($follower) = @_; return join(' ', map { my $e = decode_json($_); "$e->{action}:$e->{detail}{error}" } split(/\n/, $follower->{out})); }
sub fail_next { return query("select baton.fail(receipt, payload #>> '{}', '1 h') from baton.receive('kept')"); }
sub places { return query(q{select string_agg(distinct tableoid::regclass::text, ' ') from baton.event_log where action = 'failed'}); }

# A segment full of what is finished, in which a few messages are not.
query($_) foreach q{select baton.create_queue('full', retention => '0'), baton.create_queue('kept')},
	q{select count(*) from baton.send_batch('full', array_fill('0'::jsonb, array[150]))},
	q{select count(*) from baton.send_batch('kept', array['"a"', '"b"', '"c"', '"d"']::jsonb[])},
	q{select count(*) from baton.send_batch('full', array_fill('0'::jsonb, array[150]))},
	q{select count(baton.complete(receipt)) from baton.receive('full', 10000)};

fail_next();
my $follower = start_baton('log', 'kept', '--follow', '--json', '-n', '5', '-v');
ok(wait_until('what is there', sub { return shown($follower) eq 'failed:a'; }, $follower), 'what is there');
fail_next();
ok(wait_until('what comes', sub { return shown($follower) eq 'failed:a failed:b'; }, $follower), 'what comes');

# Away, and meanwhile: another one fails, all are copied, and the server restarts.
signal_baton($follower, 'STOP');
fail_next();
my $before = places();
query('call baton.cleanup_queue()');
my $after = places();
isnt($after, $before, 'events have been copied');
unlike($after, qr/ /, '... and count once');
is(query(q{select count(*), count(xid) from baton.event_log where action = 'failed'}), '3|3', '... with their transactions');
is(query(q{select count(*), count(distinct xid::text) from baton.queue_log where queue = 'kept'}), '3|3', '... as the log says');
$node->restart;
signal_baton($follower, 'CONT');
ok(wait_until('back', sub { return $follower->{err} =~ /event=catching_up/; }, $follower), 'it reads what it has missed');
wait_sql($node, q{select ready from baton.queue where name = 'kept'}, 1);
fail_next();
ok(wait_until('the last', sub { return shown($follower) =~ /failed:d/; }, $follower), '... and goes on');
is(shown($follower), 'failed:a failed:b failed:c failed:d', 'each is shown, once');
stop_baton($follower, 'TERM');

done_testing();
