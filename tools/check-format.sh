#!/bin/sh
# tools/check-format.sh [--fix]
#	What clang-format 14 would change; with --fix, changes it.

. "$(dirname "$0")/lib.sh"
cd "$repo"

format=$(command -v clang-format-14 || command -v clang-format) || die "no clang-format: make lint installs it"
find extension program bench -name '*.[ch]' | sort >"${TMPDIR:-/tmp}/baton-format.$$"
trap 'rm -f "${TMPDIR:-/tmp}/baton-format.$$"' EXIT

if [ "${1:-}" = --fix ]; then
	xargs "$format" -i <"${TMPDIR:-/tmp}/baton-format.$$"
	exit 0
fi
bad=0
while read -r file; do
	lines=$("$format" "$file" | diff "$file" - | grep -c '^[<>]') || true
	if [ "$lines" != 0 ]; then
		say "$file: $lines lines"
		bad=1
	fi
done <"${TMPDIR:-/tmp}/baton-format.$$"
exit "$bad"
