#!/bin/sh
# As root: does `make run` work for an ordinary user on a bare Debian 12 with python3 and make?
# A debootstrap'ed chroot, a fresh clone, the four printed requests, and their cost checked to the
# nanodollar with arithmetic of its own. BARE_DIR keeps the base system for the next time.
set -eu
cd "$(dirname "$0")/.."
source_dir=$(pwd)
base=${BARE_DIR:-/var/tmp/sub2api-bare}
root=$base/root
port=${BARE_PORT:-18080}
[ "$(id -u)" = 0 ] || { echo "test-bare needs root: it makes a chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap
}

cleanup() {
    set +e
    # Whatever still runs in the chroot is ours: end it by its process id.
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/root" 2>/dev/null)" = "$root" ] && kill "${process#/proc/}" 2>/dev/null
    done
    sleep 1
    for point in dev proc; do umount "$root/$point" 2>/dev/null; done
    rm -rf "$root"
}
trap cleanup EXIT INT TERM

mkdir -p "$base"
if [ ! -f "$base/base.tar" ]; then
    debootstrap --variant=minbase --include=python3,make,ca-certificates,curl bookworm "$base/fresh" >"$base/debootstrap.log" 2>&1 ||
        { tail -n 20 "$base/debootstrap.log" >&2; exit 1; }
    tar -C "$base/fresh" -cf "$base/base.tar" .
    rm -rf "$base/fresh"
fi
rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$base/base.tar"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
# The network works in there as it does out here: names, certificates, pip's own settings.
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp /etc/hosts "$root/etc/hosts" 2>/dev/null || true
[ -f /etc/pip.conf ] && cp /etc/pip.conf "$root/etc/pip.conf"
mkdir -p "$root/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf.d/*proxy*; do
    [ -f "$file" ] && { mkdir -p "$root$(dirname "$file")"; cp "$file" "$root$file"; }
done
pip_settings=$(env | grep -E '^(PIP_[A-Z_]+|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)=' | grep -v '^PIP_FIND_LINKS=' || true)
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$1" LANG=C.UTF-8 $pip_settings chroot $2 "$root" sh -c "$3"; }

useradd --root "$root" -m dev 2>/dev/null || chroot "$root" useradd -m dev
git clone -q --no-hardlinks "$source_dir" "$root/home/dev/sub2api"
chroot "$root" chown -R dev:dev /home/dev
user="--userspec=dev:dev"

echo "== as an ordinary user: what make run says where venv is missing"
if inside /home/dev "$user" 'cd sub2api 2>/dev/null || cd /home/dev/sub2api; make setup' >"$base/first.log" 2>&1; then
    echo "venv is there already"
else
    grep -o 'sudo apt-get install .*' "$base/first.log" || { cat "$base/first.log" >&2; exit 1; }
    package=$(grep -o 'apt-get install .*' "$base/first.log" | awk '{print $3}')
    inside /root "" "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $package" >"$base/apt.log" 2>&1 ||
        { tail -n 20 "$base/apt.log" >&2; exit 1; }
fi

echo "== make run"
began=$(date +%s)
inside /home/dev "$user" "cd /home/dev/sub2api && SERVER_PORT=$port make run" >"$base/run.log" 2>&1 &
for _ in $(seq 300); do
    curl -sf "http://127.0.0.1:$port/ready" >/dev/null 2>&1 && break
    sleep 1
done
curl -sf "http://127.0.0.1:$port/ready" >/dev/null || { tail -n 40 "$base/run.log" >&2; exit 1; }
echo "ready after $(($(date +%s) - began)) s"

grep '^curl ' "$base/run.log" >"$base/requests"
[ "$(wc -l <"$base/requests")" = 4 ] || { cat "$base/run.log" >&2; exit 1; }
while read -r request; do
    answer=$(printf '%s\n' "$request" | sh)
    pieces=$(printf '%s\n' "$answer" | grep -c '^data:')
    printf '%s\n' "$answer" | grep -q Hello || { echo "no text from: $request" >&2; exit 1; }
    [ "$pieces" -ge 5 ] || { echo "not streamed: $request" >&2; exit 1; }
    echo "answered in $pieces events"
done <"$base/requests"

sleep 1
inside /home/dev "$user" "cd /home/dev/sub2api && .venv/bin/sub2api usage --recent 10 --json" >"$base/usage.json"
python3 - "$base/usage.json" sub2api/billing/prices.json <<'CHECK'
import json, sys
from decimal import Decimal

rows = json.load(open(sys.argv[1]), parse_float=Decimal, parse_int=Decimal)["items"]
prices = json.load(open(sys.argv[2]))["models"]
assert len(rows) == 4, rows


def unit(model, name):
    standard = next(rate for rate in prices[model]["rates"] if not rate.get("tier"))
    return Decimal(standard.get("units", standard)[name])


for row in rows:
    tokens = {"input": row["input_tokens"], "output": row["output_tokens"]}
    exact = sum(count * unit(row["model"], name) for name, count in tokens.items()) / 10**6
    nano = exact.quantize(Decimal(1), rounding="ROUND_HALF_EVEN")
    assert row["cost"] * 10**9 == nano, (row, nano)
    print(f"{row['model']}: {row['input_tokens']} in, {row['output_tokens']} out, ${row['cost']}")
CHECK
echo "4 passed, 0 failed"
