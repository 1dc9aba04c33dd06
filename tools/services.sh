#!/bin/sh
# Make sure that the servers which tests start for themselves are installed: redis-server, Postgres
# (15 or newer) and PgBouncer.
# As root on Debian or Ubuntu it installs what is missing; otherwise it says what to install.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

missing=
has redis-server || missing="$missing redis-server"
has pgbouncer || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
# Debian keeps Postgres' programs out of the path.
has postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
    missing="$missing postgresql"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! has apt-get; then
    echo "Tests need these programs, and they were not found:$missing. Install them, for example:" \
        "sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing what tests need:$missing ..."
apt-get update -qq
# Tests start servers of their own: the packages' services need not run beside them, and Postgres'
# need not make a database.
no_database=/etc/postgresql-common/createcluster.d/sub2api-tests.conf
mkdir -p "${no_database%/*}"
echo "create_main_cluster = false" >"$no_database"
made=$no_database
if [ ! -e /usr/sbin/policy-rc.d ]; then
    made="$made /usr/sbin/policy-rc.d"
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
fi
# shellcheck disable=SC2064,SC2086  # a list of words, as it is now
trap "rm -f $made" EXIT
# shellcheck disable=SC2086  # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
