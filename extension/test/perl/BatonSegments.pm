# BatonSegments.pm
#	What tests of rotation, retention and reclaim share.
#
#	my $node = new_node('main', conf => small_segments());
#	add_filler($node);
#	my $number = open_segment($node);
#	rotate($node);								# the next one is open
#	wait_for_state($node, $number, 'free');		# open, sealed, closed, free
#	no_lock_waits($node);						# a test of its own

package BatonSegments;

use strict;
use warnings FATAL => 'all';

use BatonTest;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(small_segments add_filler open_segment rotate state_of wait_for_state
  complete_all complete_all_of no_lock_waits kill_postmaster);

# Segments as small as they may be, and a line in the log for whoever waits longer than 10 ms for a lock.
sub small_segments
{
	return <<'CONF';
baton.segment_size = 64kB
baton.segment_age = 0
log_lock_waits = on
deadlock_timeout = 10ms
CONF
}

# A queue whose messages fill segments and never keep one.
sub add_filler
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{select baton.create_queue('filler', retention => '0')});
	return;
}

sub open_segment
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		q{select number from baton.segment where state = 'open' and not survivors});
}

# Fills the open segment, until the keeper has opened another one.
sub rotate
{
	my ($node) = @_;
	my $before = open_segment($node);

	$node->safe_psql('postgres', q{
		select count(*) from baton.send_batch('filler',
			array(select to_jsonb(repeat(md5(i::text), 30)) from generate_series(1, 100) i))});
	complete_all($node, 'filler');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($node,
		qq{select number <> $before from baton.segment, baton_test.wake() where state = 'open' and not survivors}, 't')
	  || fail('a segment that is full is followed by another one');
}

sub state_of
{
	my ($node, $number) = @_;
	return $node->safe_psql('postgres', "select state from baton.segment where number = $number");
}

sub wait_for_state
{
	my ($node, $number, $state, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(
		wait_until($node, "select state from baton.segment, baton_test.wake() where number = $number", $state),
		$name // "segment $number is $state");
}

# Receives and completes what a queue has; the payloads in the order of their delivery.
sub complete_all
{
	my ($node, $queue) = @_;
	return $node->safe_psql('postgres', qq{
		select string_agg(r.payload #>> '{}', ' ' order by r.id)
		from baton.receive('$queue', 1000) r, lateral (select baton.complete(r.receipt)) c});
}

# The same after a start, where the loader may still be at work: until it has.
sub complete_all_of
{
	my ($node, $queue) = @_;

	wait_until($node, "select ready > 0 and not spilled from baton.queue where name = '$queue'", 't');
	return complete_all($node, $queue);
}

# Nobody but maintenance itself has waited for a lock for longer than deadlock_timeout since the test began.
sub no_lock_waits
{
	my ($node, $name) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# One cleanup waits for another: that lock is on an object, and nobody else takes it.  Writers of any table take
	# turns to make it longer, which may take 10 ms on a busy machine.
	return unlike($log, qr/still waiting for \w+ on (?!object |extension of )/,
		$name // 'nobody has waited for a lock');
}

# SIGKILL to the postmaster; returns when all its processes are gone.
sub kill_postmaster
{
	my ($node) = @_;
	my @pids =
	  split(/\n/, $node->safe_psql('postgres', 'select pid from pg_stat_activity where pid <> pg_backend_pid()'));

	$node->kill9;
	wait_for_end($_) foreach @pids;
	return;
}

1;
