# shellcheck shell=sh
# tools/lib.sh
#	Sourced by the other scripts.  Says where things are and who runs them.

set -eu

repo=$(cd "$(dirname "$0")/.." && pwd)
export repo

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
	warn "$*"
	exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root, and there is no sudo; as root, run: $*"
	fi
}

# PostgreSQL refuses to run as root: who runs it when root started us.
ordinary_user() {
	if id -u postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

# Runs a command as an ordinary user, with the given home directory: directly if
# that is what we are.  The command line is kept as it is, the environment too.
as_ordinary_user() {
	home=$1
	shift
	if [ "$(id -u)" = 0 ]; then
		user=$(ordinary_user)
		runuser -u "$user" -- env HOME="$home" USER="$user" LOGNAME="$user" "$@"
	else
		"$@"
	fi
}

# Makes a directory that the ordinary user owns.
ordinary_directory() {
	mkdir -p "$1"
	if [ "$(id -u)" = 0 ]; then
		chown "$(ordinary_user):" "$1"
	fi
}

# Copies the sources, and nothing that was built from them, to a directory of the
# ordinary user, who may not be able to read this one.  Modification times are
# kept, so that what was built there before is built again only where it must.
copy_sources() {
	ordinary_directory "$1"
	(cd "$repo" && tar --create --exclude=./.git --exclude=./build --exclude='*.o' \
		--exclude='*.bc' --exclude='*.so' --exclude=.build-flags --exclude=./program/baton \
		--exclude=./program/baton-sanitized --exclude=./program/fuzz \
		--exclude=tmp_check .) |
		as_ordinary_user "$1" tar --extract --no-same-owner --directory="$1"
}
