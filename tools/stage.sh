#!/bin/sh
# tools/stage.sh DIRECTORY [MAKE-VARIABLE...]
#	A server of one's own with Baton in it, without touching the system's: copies
#	PostgreSQL's programs, libraries and data files under DIRECTORY, builds the
#	extension and installs it there.  PostgreSQL finds its files relative to its
#	programs, so the copy is complete.  Prints the copy's directory of programs.
#
#	Run it in a tree that the caller may write; PG_CONFIG says which PostgreSQL.

. "$(dirname "$0")/lib.sh"

PG_CONFIG=${PG_CONFIG:-$(command -v /usr/lib/postgresql/15/bin/pg_config || echo pg_config)}
export PG_CONFIG
stage=$1
shift

if [ ! -e "$stage/complete" ]; then
	for what in bindir pkglibdir sharedir; do
		from=$("$PG_CONFIG" "--$what")
		mkdir -p "$stage$from"
		cp -R --preserve=mode,timestamps "$from/." "$stage$from"
	done
	# The system may have another Baton.
	rm -rf "$stage$("$PG_CONFIG" --pkglibdir)/baton.so" "$stage$("$PG_CONFIG" --pkglibdir)"/bitcode
	rm -f "$stage$("$PG_CONFIG" --sharedir)"/extension/baton*
	touch "$stage/complete"
fi

make -s -j2 -C "$repo/extension" PG_CONFIG="$PG_CONFIG" with_llvm=no "$@" >&2
make -s -C "$repo/extension" PG_CONFIG="$PG_CONFIG" with_llvm=no DESTDIR="$stage" "$@" install >&2

# Functions that only a test build has are an extension of their own.
test_sql=$repo/extension/test/baton_test.sql
case " $* " in
	*' BATON_TEST=1 '*)
		if [ -e "$test_sql" ]; then
			extensions=$stage$("$PG_CONFIG" --sharedir)/extension
			cp "$test_sql" "$extensions/baton_test--1.sql"
			# versions that are no longer installed, to upgrade from
			cp "$repo"/extension/upgrade/baton--*.sql "$extensions"
			printf '%s\n' "comment = 'test points of Baton'" "default_version = '1'" \
				"relocatable = false" >"$extensions/baton_test.control"
		fi
		;;
esac

say "$stage$("$PG_CONFIG" --bindir)"
