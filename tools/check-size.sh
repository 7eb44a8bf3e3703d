#!/bin/sh
# tools/check-size.sh
#	Lists files of more than 600 lines and functions of more than 60, for a person to
#	look at, and the spread of all.  Never fails.

. "$(dirname "$0")/lib.sh"
cd "$repo"

# shellcheck disable=SC2016
find extension/src program bench -name '*.c' | sort | xargs awk '
	function file_ends() { if (lines > 600) print file ": " lines " lines" }
	FNR == 1 { file_ends(); file = FILENAME; lines = 0 }
	{ lines++ }
	/^[a-zA-Z_][a-zA-Z_0-9]*\(/ { name = $0; sub(/\(.*/, "", name) }
	/^\{/ { start = FNR }
	/^\}/ && start {
		length_of = FNR - start + 1
		print length_of > sizes
		if (length_of > 60) print FILENAME ":" start ": " name " has " length_of " lines"
		start = 0
	}
	END { file_ends() }
' sizes="${TMPDIR:-/tmp}/baton-size.$$" /dev/null
sort -n "${TMPDIR:-/tmp}/baton-size.$$" | awk '
	{ n[NR] = $1; if ($1 <= 60) short++ }
	END {
		if (NR) printf "%d functions: median %d lines, nine of ten up to %d, %d %% up to 60\n",
			NR, n[int((NR + 1) / 2)], n[int(NR * 0.9 + 0.5)], 100 * short / NR
	}'
rm -f "${TMPDIR:-/tmp}/baton-size.$$"
