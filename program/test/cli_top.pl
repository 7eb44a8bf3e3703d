# What it would catch: a frame that isn't what the views say, or breaks where there is no terminal; rates that are
# not of the interval; a view that doesn't end on q, doesn't give the terminal back, or dies with the server.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use IPC::Run qw(start finish timeout);
use JSON::PP;
use Test::More;

my $node = baton_node('top');
my ($code, $out, $err);

sub query { return $node->safe_psql('postgres', shift); }

($code, $out, $err) = baton('top', '-i', '0.01');
is($code, 0, 'without queues') or diag($err);
like($out, qr/^baton top  postgres  \d\d:\d\d:\d\d  rates over 0\.01 s\n/, '... the head');
unlike($out, qr/\033/, '... a plain frame, where there is no terminal');

my $odd = "a \033[31m\nb";
query("select baton.create_queue('q'), baton.create_queue(E'a \\033[31m\\nb'), baton.create_queue('" . ('x' x 60) . "')");
query(q{select baton.send_batch('q', array_fill('0'::jsonb, array[5])), baton.pause_queue('q')});
($code, $out) = baton('top', '--once', '-i', '0.01');
like($out, qr/^\|\| q +5 +5 +0 +0 +\d+s +0\.0 +0\.0 +0\.0 +0\.0 +0$/m, 'a paused queue with five messages');
unlike($out, qr/\033/, 'no name can move the cursor');
like($out, qr/^a  \[31m b /m, '... nor break a line');
like($out, qr/^x+\.\.\. /m, '... nor the columns');
query(q{select baton.resume_queue('q')});

# Who holds, and what.
my $worker = start_baton('work', 'q', '-c', '2', '-e', 'exec tail -f /dev/null');
wait_sql($node, q{select in_flight from baton.queue where name = 'q'}, 2, $worker);
($code, $out) = baton('top', '--json', '-i', '0.01');
my $frame = decode_json($out);
my ($queue) = grep { $_->{name} eq 'q' } @{ $frame->{queues} };
is("$queue->{ready} $queue->{in_flight} $queue->{sent}", '3 2 5', 'JSON: a queue');
is(scalar(@{ $frame->{holders} }), 1, '... its holder');
my $holder = $frame->{holders}[0];
is("$holder->{application} $holder->{queue} $holder->{messages}", 'baton work q q 2', '... with what it holds');
is($holder->{process_id}, query(q{select distinct process_id from baton.in_flight}), '... its session');

# Rates: what happens between the two looks.
my $top = start_baton('top', '--json', '-i', '3');
ok(wait_sql($node, q{select count(*) from pg_stat_activity where application_name = 'baton top'
	and query like 'select current_database%' and state = 'idle'}, 1, $top), 'after the first look');
query(q{select baton.send_batch('q', array_fill('0'::jsonb, array[30]))});
is(stop_baton($top), 0, '... and the second');
$frame = decode_json($top->{out});
($queue) = grep { $_->{name} eq 'q' } @{ $frame->{queues} };
my $expected = 30 / $frame->{seconds};
ok(abs($queue->{per_second}{sent} - $expected) < 0.01, 'the rate of sending') or diag($top->{out});
is($queue->{per_second}{completed}, 0, '... and of completing');

# On a terminal: script(1) makes one.
sub live
{
	my $self = { in => '', out => '', err => '' };
	local $ENV{TERM} = 'xterm';

	$self->{run} = start([ 'script', '-qec', "stty cols 90 rows 20; $program top -i 0.1", '/dev/null' ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, timeout(120));
	return $self;
}

SKIP:
{
	skip('no script(1)', 7) if system('command -v script >/dev/null') != 0;
	my $live = live();
	ok(wait_until('a frame', sub { return $live->{out} =~ /QUEUE.*PROCESS.*postgres/s; }, $live), 'a live view');
	like($live->{out}, qr/^\033\[\?1049h/, '... on a screen of its own');
	like($live->{out}, qr/\033\[0;1m|\033\[1m/, '... with headings');
	$live->{out} = '';
	query(q{select baton.send_batch('q', array_fill('0'::jsonb, array[1234]))});
	ok(wait_until('the new number', sub { return $live->{out} =~ /1267/; }, $live), '... that goes on');
	$node->restart;
	query(q{select baton.create_queue('zebra')});
	ok(wait_until('the new queue', sub { return $live->{out} =~ /zebra/; }, $live), '... over a restart');
	stop_baton($worker, 'KILL');	# its commands never end
	$live->{in} .= 'q';
	finish($live->{run});
	is($? >> 8, 0, 'q ends it');
	like($live->{out}, qr/\033\[\?1049l/, '... and the terminal is as it was');
}

# Rights, and no server.
query('create role watcher login in role pg_monitor; create role plain login; grant usage on schema baton to watcher, plain');
($code, $out, $err) = baton('top', '-i', '0.01', '-d', 'user=watcher dbname=postgres');
is($code, 0, 'pg_monitor may look') or diag($err);
($code, $out, $err) = baton('top', '-i', '0.01', '-d', 'user=plain dbname=postgres');
is($code, 1, 'others may not');
like($err, qr/\(42501\)/, '... with SQLSTATE');

done_testing();
