#!/bin/sh
# tools/check-kinds.sh SCRATCH [KIND...]
#	Runs the tests of the tree it is in, as an ordinary user; tools/check.sh calls
#	it.  Quick kinds first; a failing kind doesn't stop the next; the last line is
#	the sum, `N passed, N failed`.

# The kinds are called by name.
# shellcheck disable=SC2317

. "$(dirname "$0")/lib.sh"

scratch=$1
shift
kinds=${*:-lint unit regress isolation tap}

log=$scratch/log
stage=$scratch/pg
jobs=${JOBS:-2}
passed=0
failed=0

PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
LC_ALL=C.UTF-8
PGISOLATIONTIMEOUT=${PGISOLATIONTIMEOUT:-60}
export PG_CONFIG LC_ALL PGISOLATIONTIMEOUT
# What the caller's shell says about servers is not meant for these.
unset PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSERVICE PGOPTIONS PGDATA || true

rm -rf "$log"
mkdir -p "$log"

# ----------------------------------------------------------------
#	Counting
# ----------------------------------------------------------------

# count KIND PASSED FAILED
count() {
	passed=$((passed + $2))
	failed=$((failed + $3))
	say "== $1: $2 passed, $3 failed ($(($(date +%s) - started)) s)"
}

begin() {
	started=$(date +%s)
	say "== $1"
}

# ----------------------------------------------------------------
#	Kinds
# ----------------------------------------------------------------

lint() {
	begin lint
	ok=0
	bad=0
	for check in layers banned headers compilers callbacks settings versions expected; do
		if sh "$repo/tools/check-$check.sh" >"$log/lint-$check" 2>&1; then
			ok=$((ok + 1))
		else
			bad=$((bad + 1))
			say "check-$check:"
			sed 's/^/    /' "$log/lint-$check"
		fi
	done
	count lint "$ok" "$bad"
}

# tap KIND FILE...: files that speak TAP, scripts or programs.
run_tap() {
	kind=$1
	shift
	perl "$repo/tools/tap.pl" --jobs="$jobs" --log="$log/$kind" --counts="$log/$kind.counts" "$@" ||
		true
	if read -r ok bad <"$log/$kind.counts"; then
		count "$kind" "$ok" "$bad"
	else
		count "$kind" 0 1
	fi
}

unit() {
	begin unit
	if ! make -s -j"$jobs" -C "$repo/extension/test/unit" >"$log/unit-build" 2>&1; then
		cat "$log/unit-build"
		count unit 0 1
		return
	fi
	# Nothing under test allocates; and looking for leaks fails where /proc is hidden.
	ASAN_OPTIONS=detect_leaks=0 CMOCKA_MESSAGE_OUTPUT=TAP run_tap unit "$repo"/build/unit/*
}

# The servers that the kinds below test: a test build, in a copy of PostgreSQL.
build() {
	[ -z "${bindir:-}" ] || return 0
	begin build
	if bindir=$(sh "$repo/tools/stage.sh" "$stage" BATON_TEST=1 2>"$log/build") &&
		make -s -j"$jobs" -C "$repo/program" PG_CONFIG="$PG_CONFIG" >>"$log/build" 2>&1 &&
		sanitized >>"$log/build" 2>&1; then
		cat "$log/build"
		say "== build: done ($(($(date +%s) - started)) s)"
		return 0
	fi
	cat "$log/build"
	count build 0 1
	bindir=failed
}

# The program once more, with AddressSanitizer and UBSan: what the tests of HTTP run.
sanitized() {
	make -s -j"$jobs" -C "$repo/program" PG_CONFIG="$PG_CONFIG" SANITIZE=1 TEST=1 BIN=baton-sanitized all fuzz
}

# The names of the tests of a folder, or those of $T that are among them.
names() {
	for file in "$repo/extension/test/$1"/*."$2"; do
		name=$(basename "$file" ".$2")
		case " ${T:-$name} " in
			*" $name "*) [ ! -e "$file" ] || echo "$name" ;;
		esac
	done
}

# driver NAME DRIVER OPTION...: pg_regress or pg_isolation_regress on its own server.
driver() {
	kind=$1
	out=$scratch/$1
	driver=$pgxs_test/$2
	shift 2
	rm -rf "$out"
	mkdir -p "$out"
	[ ! -e "$repo/extension/test/baton_test.sql" ] || set -- --load-extension=baton_test "$@"
	# What one of the two wants set otherwise.
	[ ! -e "$repo/extension/test/$kind.conf" ] ||
		set -- --temp-config="$repo/extension/test/$kind.conf" "$@"
	set -- --load-extension=baton "$@"
	"$driver" --bindir="$bindir" --dlpath="$("$PG_CONFIG" --pkglibdir)" \
		--inputdir="$repo/extension/test" --outputdir="$out" \
		--temp-instance="$out/instance" --temp-config="$repo/extension/test/test.conf" \
		--no-locale --encoding=UTF8 "$@"
}

# Counts what a driver printed, and shows what differed.  From 16 on drivers speak TAP.
driver_result() {
	grep '\.\.\. \|^\(not \)\?ok \|ERROR\|FATAL\|failed' "$log/$1" || true
	ok=$(grep -c '^\(test\|    \) .*\.\.\. ok \|^ok ' "$log/$1" || true)
	bad=$(grep -c '^\(test\|    \) .*\.\.\. FAILED\|^not ok ' "$log/$1" || true)
	if [ "$2" != 0 ] && [ "$bad" = 0 ]; then
		bad=1
		tail -n 30 "$log/$1" "$scratch/$1"/log/*.log 2>/dev/null || true
	fi
	[ ! -s "$scratch/$1/regression.diffs" ] || head -n 200 "$scratch/$1/regression.diffs"
	count "$1" "$ok" "$bad"
}

# Starts a driver in the background; finish_driver waits for it.
start_regress() {
	start_driver regress regress/pg_regress "$(names sql sql)"
}

start_isolation() {
	start_driver isolation isolation/pg_isolation_regress "$(names specs spec)"
}

start_driver() {
	eval "${1}_pid=none"
	[ -n "$3" ] || return 0
	(
		status=0
		# shellcheck disable=SC2086
		driver "$1" "$2" "--dbname=$1" $3 >"$log/$1" 2>&1 || status=$?
		echo "$status" >"$log/$1.status"
	) &
	eval "${1}_pid=$!"
}

finish_driver() {
	eval "pid=\${${1}_pid:-}"
	if [ -z "$pid" ]; then
		"start_$1"
		eval "pid=\$${1}_pid"
	fi
	[ "$pid" != none ] || { count "$1" 0 0 && return; }
	wait "$pid" || true
	driver_result "$1" "$(cat "$log/$1.status")"
}

# The two spend most of their time waiting, so they run at once.
regress() {
	begin regress
	case " $kinds " in *' isolation '*) start_isolation ;; esac
	finish_driver regress
}

isolation() {
	begin isolation
	finish_driver isolation
}

tap() {
	begin tap
	files=
	for file in "$repo"/extension/test/t/*.pl "$repo"/program/test/*.pl; do
		name=$(basename "$file" .pl)
		case " ${T:-$name} " in
			*" $name "*) [ ! -e "$file" ] || files="$files $file" ;;
		esac
	done
	[ -n "$files" ] || { count tap 0 0 && return; }
	# shellcheck disable=SC2086
	PATH="$bindir:$repo/program:$PATH" \
		PERL5LIB="$repo/extension/test/perl:$perl_modules" \
		PG_REGRESS="$pgxs_test/regress/pg_regress" \
		PG_TEST_PORT_DIR="$scratch/ports" \
		BATON="$repo/program/baton" \
		BATON_SANITIZED="$repo/program/baton-sanitized" \
		BATON_FUZZ="$repo/program/fuzz" \
		run_tap tap $files
}

# ----------------------------------------------------------------

pgxs_test=$(dirname "$("$PG_CONFIG" --pgxs)")/../../src/test
perl_modules=$pgxs_test/perl
# A PostgreSQL built without its TAP tests hasn't got the modules; Debian's will do.
[ -d "$perl_modules" ] || perl_modules=/usr/lib/postgresql/15/lib/pgxs/src/test/perl

for kind in $kinds; do
	case $kind in
		lint | unit) "$kind" ;;
		regress | isolation | tap)
			build
			[ "$bindir" = failed ] || "$kind"
			;;
		*) die "tools/check-kinds.sh: no such kind of test: $kind" ;;
	esac
done

[ "$failed" = 0 ] || say "logs are in $log"
say "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
