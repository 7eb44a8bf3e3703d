# Segments that were emptied are sound at once: after a crash before any checkpoint, on a standby, with wal_level =
# minimal, with indexes that somebody has added, and where the emptying is undone.
#
# Would catch: an empty index whose only page isn't in the WAL, or isn't a btree's; an index of another kind that is left
# with its old entries, or with none; new files that stay after an abort; messages that come back.

use strict;
use warnings FATAL => 'all';

use BatonSegments;
use BatonTest;
use Test::More;

my $sound = q{select count(bt_index_check(i.indexrelid, true))
	from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam and a.amname = 'btree'
	where i.indrelid in (select oid from pg_class where relname ~ '^(message|event)_log_\d+$')
		or i.indrelid in (select reltoastrelid from pg_class where relname ~ '^(message|event)_log_\d+$')};

sub query { my $node = shift; return $node->safe_psql('postgres', shift); }

# Fills a segment, its TOAST table and its index by time, and waits until it is empty.
sub use_and_empty
{
	my ($node) = @_;
	my $number = open_segment($node);

	query($node, q{select count(*) from baton.send_batch('q',
		array(select to_jsonb((select string_agg(md5((g * 1000 + h)::text), '') from generate_series(1, 600) h))
			from generate_series(1, 5) g), delay => array[interval '1 ms'])});
	ok(wait_until($node, q{select count(*) from baton.receive('q', 1) r, lateral (select baton.complete(r.receipt)) c}, 1), 'delivered')
	  foreach 1 .. 5;
	rotate($node);
	wait_for_state($node, $number, 'free');
	is(query($node, "select pg_relation_size(oid) + pg_relation_size(reltoastrelid) from pg_class where oid = 'baton.message_log_$number'::regclass"),
		0, 'nothing is left of it');
	is(query($node, "select max(pg_relation_size(indexrelid)) / 8192 from pg_index join pg_class c on c.oid = indexrelid and c.relam = (select oid from pg_am where amname = 'btree')
		where indrelid in (select unnest(array[oid, reltoastrelid]) from pg_class where relname in ('message_log_$number', 'event_log_$number'))"),
		1, 'nor in a btree');
	return;
}

sub goes_on
{
	my ($node, $what) = @_;

	is(query($node, $sound) > 0, 1, "indexes are sound $what");
	use_and_empty($node);
	is(query($node, $sound) > 0, 1, 'and afterwards');
	is(query($node, q{select count(*) from baton.message where queue = 'q'}), 0, 'no message has come back');
	return;
}

sub prepare
{
	my ($node) = @_;

	query($node, q{create extension amcheck; select baton.create_queue('q', retention => '0')});
	add_filler($node);
	return;
}

my $node = new_node('main', conf => small_segments() . "checkpoint_timeout = 1h\nmax_wal_size = 4GB\n", streaming => 1);
prepare($node);
my $standby = new_standby($node, 'standby');

use_and_empty($node) foreach 1 .. 3;
goes_on($node, 'before a checkpoint');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $sound), query($node, $sound), 'indexes are sound on the standby');
is($standby->safe_psql('postgres', 'select count(*) from baton.message'), 0, 'where nothing is either');
$standby->stop;
crash($node);
goes_on($node, 'after a crash');

# ---- undone

my $number = open_segment($node);
query($node, q{select baton.send('q', '"kept"', expires_in => '1 hour')});
is(complete_all($node, 'q'), 'kept', 'one more message');
fail_at($node, 'reclaim-truncated');
rotate($node);
ok($node->wait_for_log(qr/test point "reclaim-truncated" failed on demand/), 'emptying it fails');
clear_points($node);
query($node, 'call baton.cleanup_queue()');
goes_on($node, 'after an abort');

# ---- indexes of other kinds

foreach my $n (split /\n/, query($node, 'select number from baton.segment'))
{
	query($node, "create index on baton.message_log_$n using gin (payload);
		create index on baton.event_log_$n using hash (process_id)");
}
use_and_empty($node) foreach 1 .. 2;
query($node, q{select baton.send('q', '{"a": 1}')});
is(query($node, q{set enable_seqscan = off; select count(*) from baton.message_log where payload @> '{"a": 1}'}), 1, 'an index by hand has what is there');
is(query($node, q{set enable_seqscan = off; select count(*) from baton.message_log where payload @> '{"a": 2}'}), 0, 'and no more');
complete_all($node, 'q');
goes_on($node, 'with others beside them');
check_memory($node);
$node->stop;

# ---- wal_level = minimal: what is new in a transaction is synced, not logged

my $minimal = new_node('minimal', conf => small_segments() . "wal_level = minimal\nmax_wal_senders = 0\ncheckpoint_timeout = 1h\n");
prepare($minimal);
use_and_empty($minimal) foreach 1 .. 2;
crash($minimal);
goes_on($minimal, 'after a crash with little WAL');
check_memory($minimal);
$minimal->stop;
done_testing();
