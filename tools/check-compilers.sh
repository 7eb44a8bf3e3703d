#!/bin/sh
# tools/check-compilers.sh [FILE...]
#	No warning from the compiler that the build does not use: clang, where it is
#	installed (Debian's postgresql-server-dev-15 brings it).  Release and test build.

. "$(dirname "$0")/lib.sh"
cd "$repo"

clang=$(command -v clang || command -v clang-14 || true)
[ -n "$clang" ] || exit 0

# Without arguments: all files, two at a time.
if [ $# = 0 ]; then
	find extension/src program bench -name '*.c' 2>/dev/null | sort |
		xargs -P 2 -n 4 sh "$repo/tools/check-compilers.sh"
	exit
fi

PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
server=$("$PG_CONFIG" --includedir-server)
client=$("$PG_CONFIG" --includedir)

compile() {
	"$clang" -fsyntax-only -Wall -Wextra -Wmissing-prototypes -Werror -Wno-unused-parameter \
		-Wno-sign-compare -Wno-missing-field-initializers -isystem "$server" -isystem "$client" "$@"
}

bad=0
for file in "$@"; do
	case $file in
		extension/*)
			compile -std=gnu99 -D_GNU_SOURCE -Iextension/src "$file" || bad=1
			compile -std=gnu99 -D_GNU_SOURCE -DBATON_TEST -Iextension/src "$file" || bad=1
			;;
		program/*)
			compile -std=c11 -D_GNU_SOURCE -DBATON_VERSION='""' -Iprogram "$file" || bad=1
			;;
		*) compile -std=gnu99 -Ibench "$file" || bad=1 ;;
	esac
done
exit "$bad"
