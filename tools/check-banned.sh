#!/bin/sh
# tools/check-banned.sh
#	Functions that there is a better one for.

. "$(dirname "$0")/lib.sh"
cd "$repo"

bad=0

# ban WHY PATTERN FILE...: the pattern is looked for outside comments, and not in lines
# with a comment `allowed: why`.
ban() {
	why=$1
	pattern=$2
	shift 2
	[ $# != 0 ] || return 0
	found=$(awk -v pattern="$pattern" '
		FNR == 1 { comment = 0 }
		{
			line = $0
			gsub(/\/\*[^*]*\*\//, "", line)
			if (comment) {
				if (!sub(/.*\*\//, "", line)) next
				comment = 0
			}
			if (sub(/\/\*.*/, "", line)) comment = 1
			sub(/(^|[ \t;])(\/\/|--|#[ \t]).*/, "", line)
			if (line ~ pattern && $0 !~ /allowed: /) print FILENAME ":" FNR ": " $0
		}' "$@")
	if [ -n "$found" ]; then
		printf '%s\n    -> %s\n' "$found" "$why"
		bad=1
	fi
}

files() { find "$@" 2>/dev/null | sort; }

c=$(files extension/src program bench -name '*.[ch]')
server=$(files extension/src -name '*.[ch]')
server_without_clock=$(files extension/src -name '*.[ch]' ! -name clock.c)
tests=$(files extension/test/sql extension/test/specs extension/test/t extension/test/perl \
	program/test -name '*.sql' -o -name '*.spec' -o -name '*.pl' -o -name '*.pm')

# shellcheck disable=SC2086
{
	ban 'give the size: snprintf, strlcpy, StringInfo, psprintf' \
		'(^|[^a-zA-Z_])(sprintf|vsprintf|strcpy|strcat|gets)[ ]*\(' $c
	ban 'it keeps state, and merges empty fields: strsep, or by hand' \
		'(^|[^a-zA-Z_])strtok[ ]*\(' $c
	ban 'it takes anything for a number: strtol with a check of its end' \
		'(^|[^a-zA-Z_])(atoi|atol|atoll|atof)[ ]*\(' $c
	ban 'wait on the latch' \
		'(^|[^a-zA-Z_])(usleep|pg_usleep|sleep|nanosleep)[ ]*\(' $server
	ban 'a lock, a latch or a background worker; the server has one thread' \
		'(^|[^a-zA-Z_])pthread_' $server
	ban 'baton_now(), the one clock that tests can move' \
		'(^|[^a-zA-Z_])(gettimeofday|clock_gettime|GetCurrentTimestamp|time)[ ]*\(' \
		$server_without_clock
	ban 'no fixed sleeps in tests: wait for what is to come (BatonTest.pm, wait_until)' \
		'(^|[^a-zA-Z_$>:])(pg_sleep|pg_sleep_for|pg_sleep_until|usleep|sleep)([ ]*\(|[ ]+[0-9])' $tests
}
exit "$bad"
