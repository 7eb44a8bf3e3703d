#!/bin/sh
# tools/deps.sh GROUP...
#	Installs what is missing from Debian's packages, and touches nothing where
#	nothing is missing.  Groups: run, check, bench, lint.

. "$(dirname "$0")/lib.sh"

build='make gcc libc6-dev postgresql-15 postgresql-server-dev-15 libpq-dev libjansson-dev libncurses-dev
	libmicrohttpd-dev libgnutls28-dev libssl-dev'

packages_of() {
	case $1 in
		run) echo "$build" ;;
		check) echo "$build perl libipc-run-perl libio-socket-ssl-perl libcmocka-dev groff-base
			prometheus curl openssl pgbouncer" ;;
		bench) echo "$build python3 postgresql-15-pgq3 pgqd wrk" ;;
		lint) echo "$build clang-format shellcheck" ;;
		*) die "tools/deps.sh: no such group: $1" ;;
	esac
}

installed() {
	case $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) in
		*' ok installed') true ;;
		*) false ;;
	esac
}

missing=
for group in "$@"; do
	for package in $(packages_of "$group"); do
		case " $missing " in
			*" $package "*) ;;
			*) installed "$package" || missing="$missing $package" ;;
		esac
	done
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null ||
	die "this is not Debian: please install what corresponds to$missing"
say "installing:$missing"

# Debian's postgresql-15 makes and starts a cluster "main" where it is new.  Nobody
# asked for one here.
no_main=/etc/postgresql-common/createcluster.d/baton-install.conf
ours=
trap '[ -z "$ours" ] || as_root rm -f $ours' EXIT
if ! installed postgresql-15; then
	as_root mkdir -p "${no_main%/*}"
	echo 'create_main_cluster = false' | as_root tee "$no_main" >/dev/null
	ours=$no_main
fi

# The tests run servers of their own; those of the packages are not to start, now
# (policy-rc.d) or at the next boot.
no_start=/usr/sbin/policy-rc.d
if [ ! -e "$no_start" ]; then
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_start" >/dev/null
	as_root chmod 755 "$no_start"
	ours="$ours $no_start"
fi

log=$(mktemp)
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@"; }
# shellcheck disable=SC2086
install_all() { apt update && apt install --no-install-recommends $missing; }
if ! install_all </dev/null >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	die "could not install:$missing (log: $log)"
fi
for service in prometheus pgbouncer; do
	case " $missing " in
		*" $service "*) as_root systemctl disable "$service.service" >/dev/null 2>&1 || true ;;
	esac
done
rm -f "$log"
