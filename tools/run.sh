#!/bin/sh
# tools/run.sh
#	The demonstration, as an ordinary user: program/demo/run.sh has the story.
#
#	Its queue server is left usable, in a directory that survives: BATON_DATA, or
#	~/.local/share/baton; where root started us, in the home of the user postgres.

. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" = 0 ]; then
	home=$(getent passwd "$(ordinary_user)" | cut -d: -f6)
	# nobody has no home.
	[ -d "$home" ] || home=/var/tmp/baton-home
	ordinary_directory "$home"
else
	home=$HOME
fi

# The ordinary user may not be able to read this tree.
scratch=$(mktemp -d /var/tmp/baton-run.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
ordinary_directory "$scratch"
cp "$repo"/program/demo/* "$scratch"
chmod 755 "$scratch"/*.sh

cd "$scratch"
as_ordinary_user "$home" env BATON="${BATON:-/usr/local/bin/baton}" \
	PATH="$("${PG_CONFIG:-pg_config}" --bindir):/usr/local/bin:$PATH" sh ./run.sh
