#!/bin/sh
# tools/check-scripts.sh
#	Runs shellcheck over all shell scripts, perl -c over the Perl ones of tools/.

. "$(dirname "$0")/lib.sh"
cd "$repo"

bad=0
# shellcheck disable=SC2046
shellcheck -x -P SCRIPTDIR -s sh tools/*.sh $(find program bench -name '*.sh' 2>/dev/null) || bad=1
shellcheck .ci/run || bad=1
for file in tools/*.pl; do
	perl -wc "$file" 2>/dev/null || {
		perl -wc "$file" || true
		bad=1
	}
done
exit "$bad"
