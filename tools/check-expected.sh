#!/bin/sh
# tools/check-expected.sh
#	Every regression test and spec has its expected output, and no output is left
#	without a test; each test says at its top what it would catch.

. "$(dirname "$0")/lib.sh"
cd "$repo/extension/test"
bad=0

complain() {
	say "$*"
	bad=1
}

for file in sql/*.sql specs/*.spec; do
	[ -e "$file" ] || continue
	name=$(basename "${file%.*}")
	[ -e "expected/$name.out" ] || complain "$file has no expected/$name.out"
	case $file in
		sql/*) [ ! -e "specs/$name.spec" ] || complain "$file and specs/$name.spec share a name" ;;
	esac
done
for file in expected/*.out; do
	[ -e "$file" ] || continue
	name=$(basename "$file" .out)
	# An alternative is NAME_1.out.
	[ -e "sql/$name.sql" ] || [ -e "specs/$name.spec" ] ||
		[ -e "sql/${name%_[0-9]}.sql" ] || [ -e "specs/${name%_[0-9]}.spec" ] ||
		complain "$file is of no test"
done
for file in sql/*.sql specs/*.spec t/*.pl; do
	[ -e "$file" ] || continue
	head -n 3 "$file" | grep -q '^\(--\|#\)' || complain "$file doesn't say what it would catch"
done
exit "$bad"
