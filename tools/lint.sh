#!/bin/sh
# tools/lint.sh
#	All checks: those of `make check`, and those that only list or take a tool more.

. "$(dirname "$0")/lib.sh"

bad=0
for check in layers banned headers compilers callbacks settings versions expected format scripts; do
	if sh "$repo/tools/check-$check.sh"; then
		say "check-$check: ok"
	else
		say "check-$check: FAILED"
		bad=1
	fi
done
sh "$repo/tools/check-size.sh"
exit "$bad"
