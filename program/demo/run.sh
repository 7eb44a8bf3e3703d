#!/bin/sh
# demo/run.sh
#	From nothing to a working queue, on real input: a server of one's own, a message for
#	each file under /usr/share/doc, workers that compute its checksum, and one of them
#	killed on the way.  Ends by itself and leaves the server running.
#
#	BATON			the program (beside this folder, else by PATH)
#	BATON_DATA		the server's directory (~/.local/share/baton)
#	BATON_FILES		at most so many files (10000)

set -eu

here=$(cd "$(dirname "$0")" && pwd)
baton=${BATON:-$([ -x "$here/../baton" ] && echo "$here/../baton" || echo baton)}
most=${BATON_FILES:-10000}
queue=files
workers=3
concurrency=2
patience=300	# seconds for all of it, should something be wrong

# What each worker runs for each message: the file's name is on standard input.
# shellcheck disable=SC2016
work='IFS= read -r file; sum=$(sha256sum <"$file") && echo "{\"sha256\": \"${sum%% *}\"}"'

scratch=$(mktemp -d)
pids=
cleanup() {
	for pid in $pids; do kill -TERM "$pid" 2>/dev/null || true; done
	rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

step() { printf '\n== %s\n' "$*"; }
shown() { printf '   $ %s\n' "$*"; }
row() { printf '   %-12s %s\n' "$1" "$2"; }
fail() {
	echo "demo: $*" >&2
	exit 1
}

# One value, or rows with | between columns.
sql() { psql -XAtq -v ON_ERROR_STOP=1 -d "$db" "$@"; }

# ---- a server ----

step "a queue server of your own"
shown "baton up --background"
"$baton" up --background ${BATON_DATA:+-D "$BATON_DATA"} >"$scratch/up" || fail "baton up failed"
sed 's/^/   /' "$scratch/up"
db=$(sed -n 's/^  psql  "\(.*\)"$/\1/p' "$scratch/up")
http=$(sed -n 's/^  HTTP: //p' "$scratch/up")
"$baton" queue create "$queue" --if-not-exists -d "$db"
since=$(sql -c 'select coalesce(max(id), 0) from baton.message')

# ---- messages ----

# Names that are not UTF-8, or hold control characters, can't be JSON lines so simply.
names() {
	find "$@" -type f -readable 2>/dev/null | LC_ALL=C.UTF-8 grep -ax '[^[:cntrl:]]*'
}

names /usr/share/doc | head -n "$most" >"$scratch/names" || true
where=/usr/share/doc
if [ "$(wc -l <"$scratch/names")" -lt 1000 ]; then
	# Containers often leave documentation out.
	names /usr/share | head -n 5000 >"$scratch/names" || true
	where=/usr/share
fi
files=$(wc -l <"$scratch/names")

step "a message for each file under $where"
shown "find $where -type f | sed 's/[\\\\\"]/\\\\&/g; s/.*/\"&\"/' | baton send $queue -"
begin=$(date +%s.%N)
sed 's/[\\"]/\\&/g; s/.*/"&"/' "$scratch/names" | "$baton" send "$queue" - -d "$db" >"$scratch/sent"
sending=$(echo "$begin $(date +%s.%N)" | awk '{ print $2 - $1 }')
row sent "$files messages in $(printf '%.2f' "$sending") s"

# ---- workers ----

start_worker() {
	"$baton" work "$queue" --text -c "$concurrency" --exec "$work" -d "$db" 2>"$scratch/worker.$1" &
	pids="$pids $!"
	eval "worker_$1=$!"
}

step "$workers workers, $concurrency commands each"
shown "baton work $queue --text -c $concurrency --exec '$work'"
n=0
while [ "$n" -lt "$workers" ]; do
	n=$((n + 1))
	start_worker "$n"
done

# What isn't finished yet of this queue.
left() { sql -c "select ready + delayed + in_flight + blocked from baton.queue where name = '$queue'"; }

deadline=$(($(date +%s) + patience))
wait_for() {
	what=$1
	shift
	until "$@"; do
		[ "$(date +%s)" -lt "$deadline" ] || fail "waited in vain for $what: $(tail -n 3 "$scratch"/worker.*)"
		sleep 0.05
	done
}

below() { [ "$(left)" -le "$1" ]; }
third() { below $((files * 2 / 3)); }
none_left() { below 0; }

# ---- one is killed ----

# Its session is in its log; what that session holds is in baton.in_flight.
session_of() { sed -n 's/.* event=started .* session=\([0-9]*\).*/\1/p' "$scratch/worker.$1"; }
holds() { [ "$(sql -c "select count(*) from baton.in_flight where process_id = $(session_of "$1")")" != 0 ] || below 0; }
vanished() {
	sql -c "select count(*) from baton.queue_log where action = 'vanished' and message_id > $since"
}

wait_for 'a third of the work' third
victim=1
held=0
while [ "$held" = 0 ] && ! none_left; do
	[ -n "$(session_of "$victim")" ] || fail "worker $victim did not start: $(cat "$scratch/worker.$victim")"
	wait_for "worker $victim to hold something" holds "$victim"
	eval "pid=\$worker_$victim"
	killed_at=$(date +%s.%N)
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null || true
	# Between two messages it holds nothing, and the next one has to show it.
	tries=0
	while [ "$held" = 0 ] && [ "$tries" -lt 10 ]; do
		sleep 0.02
		held=$(vanished)
		tries=$((tries + 1))
	done
	killed=$victim
	n=$((n + 1))
	start_worker "$n"
	victim=$((victim + 1))
done
shown "kill -KILL $pid"
row killed "worker $killed, while it works; another is started in its place"

wait_for 'the end of the work' none_left
for pid in $pids; do kill -TERM "$pid" 2>/dev/null || true; done
for pid in $pids; do wait "$pid" 2>/dev/null || true; done
pids=

# ---- what happened ----

report() {
	sql -F ' ' -v since="$since" -v killed_at="$killed_at" <<'SQL'
with taken as (
	-- The claim after the one that vanished, of the same message.
	select extract(epoch from next.claimed_at) - :killed_at as after
	from baton.queue_log lost
	join baton.queue_log next on next.message_id = lost.message_id and next.attempt = lost.attempt + 1
	where lost.action = 'vanished' and lost.message_id > :since
), done as (
	select count(*) as n, count(*) filter (where attempt = 1) as first,
		extract(epoch from max(finished_at) - min(claimed_at)) as seconds
	from baton.message where id > :since and status = 'completed'
)
select n, first, round(seconds::numeric, 2), round(n / seconds),
	(select count(*) from baton.queue_log where action = 'vanished' and message_id > :since),
	(select count(*) from taken),
	(select coalesce(round((1000 * percentile_cont(0.5) within group (order by after))::numeric, 1), 0) from taken),
	(select coalesce(round((1000 * max(after))::numeric, 1), 0) from taken)
from done;
SQL
}

step "what happened"
row "in the logs" "of the other workers:"
sed -n 's/\(.*\) info event=\(claimed_again .*\)/                \1 \2/p' "$scratch"/worker.* | head -n 6
report >"$scratch/report"
read -r completed first seconds speed held taken median slowest <"$scratch/report"
row sent "$files"
row completed "$completed, each with its result; $first of them at the first attempt"
row "taken over" "$taken of the $held messages that the killed worker held"
row "" "claimed by others $median ms after the kill in the middle, the last after $slowest ms"
row speed "$speed messages/s ($completed in $seconds s; each starts two processes)"

step "how to look further"
cat <<EOT
   psql "$db"
     select id, status, payload, result, attempt from baton.message order by id desc limit 5;
     select * from baton.queue_log where action = 'vanished';
   baton queue -d "$db"
   baton send $queue '"/etc/hostname"' -d "$db"
   curl ${http:-http://localhost:7654}/v1/queues/$queue

   The server runs on; baton down${BATON_DATA:+ -D "$BATON_DATA"} stops it, baton up${BATON_DATA:+ -D "$BATON_DATA"} starts it again.
EOT

[ "$completed" = "$files" ] || fail "sent $files, completed $completed"
[ "$held" != 0 ] || fail "the killed worker held nothing"
[ "$taken" = "$held" ] || fail "of $held messages held, $taken were taken over"
