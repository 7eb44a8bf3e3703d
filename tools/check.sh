#!/bin/sh
# tools/check.sh [KIND...]
#	All tests, or those of the kinds named: lint, unit, regress, isolation, tap.
#	Installs what is missing, copies the tree to a scratch directory of an ordinary
#	user, and has tools/check-kinds.sh run them there.
#
#	T='name ...'	only the tests with these names (regress, isolation, tap)
#	SCRATCH=dir		use that directory and keep it: later runs build only what changed
#	PG_CONFIG=file	another PostgreSQL than Debian's 15

. "$(dirname "$0")/lib.sh"

sh "$repo/tools/deps.sh" check

keep=${SCRATCH:+yes}
scratch=${SCRATCH:-$(mktemp -d /var/tmp/baton-check.XXXXXX)}
[ -n "$keep" ] || trap 'cd / && rm -rf "$scratch"; exit 130' INT TERM
ordinary_directory "$scratch"
copy_sources "$scratch/tree"

cd "$scratch"
status=0
as_ordinary_user "$scratch" sh tree/tools/check-kinds.sh "$scratch" "$@" || status=$?

# The closing line has been printed: nothing is said from here on.
if [ "$status" = 0 ] && [ -z "$keep" ]; then
	cd /
	rm -rf "$scratch"
fi
exit "$status"
