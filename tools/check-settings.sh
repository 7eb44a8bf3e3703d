#!/bin/sh
# tools/check-settings.sh
#	Every setting that the extension defines is documented.

. "$(dirname "$0")/lib.sh"
cd "$repo"

documents=README.md
[ ! -d docs ] || documents="$documents docs"
[ -e README.md ] || exit 0
bad=0

for setting in $(grep -rhA 2 'DefineCustom[A-Za-z]*Variable' extension/src 2>/dev/null |
	grep -o '"baton\.[a-z_]*"' | tr -d '"' | sort -u); do
	# shellcheck disable=SC2086
	grep -rqF "$setting" $documents || {
		say "$setting is documented nowhere in $documents"
		bad=1
	}
done
exit "$bad"
