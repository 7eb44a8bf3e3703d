# An error while a segment is cleaned up is followed by another try: after a minute, then after twice as long each time.
#
# Would catch: a segment that is left alone for an hour because its cleaner was cancelled once; one that is tried again and again
# though it fails each time; one that is as slow with the next error when all had gone well meanwhile.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $node = new_node('main', conf => small_segments());
my $clock = 0;
my $seen = 0;

sub wait_for_error
{
	my ($name) = @_;

	$seen = $node->wait_for_log(qr/test point "reclaim-counted" failed/, $seen);
	return pass($name);
}

# Time passes, and the cleaner has had its chance: it is started once a second where there is something to do.
sub let_pass
{
	my ($seconds) = @_;

	$clock += $seconds;
	set_clock($node, "$clock s");
	return;
}

add_filler($node);
$node->safe_psql('postgres', q{select baton.send('filler', '1')});
foreach my $round (1, 2)
{
	my $number = open_segment($node);

	fail_at($node, 'reclaim-counted');
	rotate($node);
	wait_for_error("round $round: an error");
	fail_at($node, 'reclaim-counted');
	let_pass(61);
	wait_for_error("round $round: once more after a minute");
	let_pass(61);
	rotate($node);
	is(state_of($node, $number), 'closed', "round $round: left alone for longer then");
	let_pass(60);
	wait_for_state($node, $number, 'free', "round $round: emptied after two minutes");
}
check_memory($node);
$node->stop;
done_testing();
