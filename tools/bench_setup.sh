#!/bin/sh
# What the benchmark needs: nginx and Go from Debian where they are missing, and its Go programs
# in build/bench. Installing needs root.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/usr/local/go/bin

has() { command -v "$1" >/dev/null 2>&1; }

missing=
has nginx || missing="nginx-light"
has go || missing="$missing golang-go"
has taskset || missing="$missing util-linux"

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! has apt-get; then
        echo "The benchmark needs: $missing. Install them, on Debian with: sudo apt-get install $missing" >&2
        exit 1
    fi
    # Debian would start nginx on port 80 at once; a machine that is measured has no use for that.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    apt-get update -qq
    # shellcheck disable=SC2086  a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

mkdir -p build/bench
out=$(pwd)/build/bench/
cd tests/bench/go
GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -trimpath -o "$out" ./cmd/upstream ./cmd/load ./cmd/proxy
