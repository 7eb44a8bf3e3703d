#!/bin/sh
# tools/check-versions.sh
#	The version is the same everywhere.

. "$(dirname "$0")/lib.sh"
cd "$repo"

[ -e extension/baton.control ] || exit 0
version=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" extension/baton.control)
bad=0

same() {
	if [ "$2" != "$version" ]; then
		say "$1 says ${2:-nothing}, extension/baton.control says $version"
		bad=1
	fi
}

versions=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' META.json | sort -u)
for found in $versions; do
	case $found in
		"$version" | "$version".*) ;;
		1.0.0) ;; # of the META.json specification
		*) same META.json "$found" ;;
	esac
done
same CHANGELOG.md "$(sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)"
for file in program/*.h program/base/*.h extension/src/*.h; do
	[ -e "$file" ] || continue
	found=$(sed -n 's/^#define BATON_VERSION "\([^"]*\)".*/\1/p' "$file")
	[ -z "$found" ] || same "$file" "$found"
done
exit "$bad"
