# Finished messages go when their queue's retention is over, not before: completed, dead, expired ones, and those of a dropped queue;
# also when the retention is changed later, one way or the other.
#
# Forbids: a message that is still retained, or unfinished, and gone with its segment; one that stays for ever after its
# retention was shortened; expired messages that are events, or that are kept because nobody received them
# (finding 35); segments counted anew whenever a queue is paused.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => small_segments());

sub query { return $node->safe_psql('postgres', shift); }

# Cleans up, and waits until the log has exactly these: queue and number of messages.
sub remains
{
	my ($when, %expected) = @_;
	my $wanted = join(' ', map { "$_:$expected{$_}" } sort keys %expected);

	query('call baton.cleanup_queue()');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(
		wait_until($node, q{
			select coalesce(string_agg(queue || ':' || n, ' ' order by queue), '')
			from (select coalesce(m.queue, 'none') as queue, count(*) as n from baton.message m
				where queue is distinct from 'filler' group by 1) x, baton_test.wake()}, $wanted),
		"$when: $wanted");
}

add_filler($node);
query(q{
	select baton.create_queue('zero', retention => '0');
	select baton.create_queue('hour', retention => '1 h');
	select baton.create_queue('dead', retention => '1 h', max_attempts => 1);
	select baton.create_queue('expired', retention => '1 h');
	select baton.create_queue('longer', retention => '1 h');
	select baton.create_queue('shorter', retention => '1 day');
	select baton.create_queue('dropped', retention => '1 day');
	select baton.create_queue('pending', retention => '0')});
# Each has a segment for itself: so many that they are not worth moving.
foreach my $queue (qw(zero hour dead expired longer shorter dropped pending))
{
	my $number = open_segment($node);
	my $expires = $queue eq 'expired' ? q{interval '1 s'} : 'null::interval';

	query(qq{select count(*) from baton.send_batch('$queue',
		array(select to_jsonb(i || repeat(md5(i::text), 30)) from generate_series(1, 120) i), expires_in => array[$expires])});
	complete_all($node, $queue) unless $queue =~ /^(dead|expired|pending)$/;
	query(q{select count(baton.fail(receipt, 'no')) from baton.receive('dead', 200)}) if $queue eq 'dead';
	wait_until($node, "select number <> $number from baton.segment, baton_test.wake() where state = 'open'", 't');
}
my %left = map { $_ => 120 } qw(hour dead expired longer shorter dropped pending);

set_clock($node, '10 seconds');
remains('after ten seconds', %left);
is(query(q{select status || ' ' || count(*) from baton.message where queue = 'expired' group by status}), 'expired 120',
	'expired ones are shown as such');
is(query(q{select count(*) from baton.queue_log where queue = 'expired'}), 0, 'without events');
is(query(q{select status || ' ' || count(*) from baton.message where queue = 'dead' group by status}), 'dead 120',
	'dead ones are readable');

# A pause is no reason to count.
ok(wait_until($node, q{select count(*) from pg_stat_activity where backend_type = 'baton cleaner'}, 0), 'all is done');
my $counts = query(q{select string_agg(counted_at::text, ' ' order by number) from baton.segment where state = 'closed'});
query(q{select baton.pause_queue('hour'); select baton.resume_queue('hour')});
rotate($node);
is(query(q{select string_agg(counted_at::text, ' ' order by number) from baton.segment where state = 'closed'}),
	$counts, 'a pause has nothing counted again');

query(q{select baton.alter_queue('shorter', retention => '1 s'), baton.alter_queue('longer', retention => '3 h')});
delete $left{shorter};
remains('a shorter retention holds at once', %left);
query(q{select baton.drop_queue('dropped')});
delete $left{dropped};
remains('those of a dropped queue go', %left);

set_clock($node, '30 minutes');
remains('after half an hour', %left);
set_clock($node, '61 minutes');
delete @left{qw(hour dead expired)};
remains('after an hour', %left);
set_clock($node, '4 hours');
delete $left{longer};
remains('after a longer one', %left);
my @pending = split(/ /, complete_all($node, 'pending'));
is(scalar(@pending), 120, 'what is unfinished is delivered, whatever has gone');
remains('and then all is gone');
is(query(q{select sum(pg_relation_size(format('baton.message_log_%s', number)::regclass)) from baton.segment where state = 'free'}),
	0, 'and takes no space');

# What was moved to the segment for survivors goes from there, too.
query(q{select baton.create_queue('few', retention => '1 h'); select baton.send('few', to_jsonb(i)) from generate_series(1, 3) i});
complete_all($node, 'few');
rotate($node);
query('call baton.cleanup_queue()');
is(query(q{select count(*) from baton.segment where survivors}), 1, 'a few are moved');
remains('and readable', few => 3);
set_clock($node, '6 hours');
remains('until their time has come');

check_memory($node);
$node->stop;
done_testing();
