#!/bin/sh
# tools/check-headers.sh
#	Every header compiles alone, after postgres.h where it is the server's.

. "$(dirname "$0")/lib.sh"
cd "$repo"

PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
server=$("$PG_CONFIG" --includedir-server)
client=$("$PG_CONFIG" --includedir)
bad=0

for header in $(find extension/src program bench -name '*.h' 2>/dev/null | sort); do
	case $header in
		extension/src/core/*) first='' where=extension/src ;;
		extension/*) first='#include "postgres.h"' where=extension/src ;;
		*) first='' where=${header%%/*} ;;
	esac
	name=${header#"$where"/}
	printf '%s\n#include "%s"\n#include "%s"\n' "$first" "$name" "$name" |
		${CC:-gcc} -std=gnu99 -fsyntax-only -Wall -Wextra -Werror -Wno-unused-function \
			-I"$where" -isystem "$server" -isystem "$client" -x c - || {
		say "$header doesn't compile alone"
		bad=1
	}
done
exit "$bad"
