#!/bin/sh
# As root on Debian or Ubuntu: prove that `make run` needs a bare machine only.
#
# A Debian 12 with python3 and make, a fresh clone of this repository's HEAD and an ordinary user, in
# a chroot: tools/try_demo.py starts `make run` there and checks what it promises. Leaves nothing
# behind but a tarball of the bare system, for the next time. BARE_DIR says where, BARE_PORT which
# port to use; MIRROR is handed to debootstrap.
set -eu
cd "$(dirname "$0")/.."
suite=bookworm
packages=python3,make,ca-certificates
where=${BARE_DIR:-/var/tmp/sub2api-bare}
base="$where/$suite-$(uname -m).tar"
user=ordinary
home="/home/$user"

outside() {
    if [ "$(id -u)" != 0 ]; then
        echo "This needs root: it makes a chroot. Run: sudo make test-bare" >&2
        exit 1
    fi
    for tool in debootstrap curl git; do
        if ! command -v "$tool" >/dev/null; then
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$tool" >/dev/null
        fi
    done
    mkdir -p "$where"
    box=$(mktemp -d "$where/box.XXXXXX")
    trap 'rm -rf --one-file-system "$box"' EXIT
    trap 'exit 1' INT TERM
    mkdir "$box/system"
    if [ -f "$base" ]; then
        tar -C "$box/system" -xf "$base"
    else
        make_base
    fi
    # In namespaces of their own: mounts and processes are gone when the script is.
    unshare --mount --pid --fork --mount-proc --kill-child sh "$0" inside "$box"
}

make_base() {
    echo "Making a bare Debian ($suite); the next time it comes from $base"
    # shellcheck disable=SC2086  # MIRROR is one word or none
    if ! debootstrap --variant=minbase --include="$packages" "$suite" "$box/system" ${MIRROR:-} \
        >"$where/debootstrap.log" 2>&1; then
        tail -n 20 "$where/debootstrap.log" >&2
        exit 1
    fi
    tar -C "$box/system" -cf "$base.part" .
    mv "$base.part" "$base"
}

inside() {
    system="$box/system"
    mount -t proc proc "$system/proc"
    mount --bind /dev "$system/dev"
    chroot "$system" useradd --create-home "$user"
    share_network
    write_runner
    git clone --quiet --no-local . "$system$home/sub2api"
    git -C "$system$home/sub2api" log -1 --format='Trying %h: %s'
    chroot "$system" chown -R "$user:$user" "$home"
    if "$box/as-user" "python3 -c 'import ensurepip'" 2>/dev/null; then
        echo "Not bare: Python's ensurepip is there already." >&2
        exit 1
    fi
    python3 tools/try_demo.py --through "$box/as-user" --port "${BARE_PORT:-8080}"
    echo "A bare machine is enough."
}

# The way to the network is the host's: names, certificates, and what pip is told.
share_network() {
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt \
        "${PIP_CONFIG_FILE:-}" "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}"; do
        if [ -f "$file" ]; then
            mkdir -p "$system$(dirname "$file")"
            cp -L "$file" "$system$file"
        fi
    done
    for directory in ${PIP_FIND_LINKS:-}; do
        if [ -d "$directory" ]; then
            mkdir -p "$system$directory"
            mount --bind -o ro "$directory" "$system$directory"
        fi
    done
}

# `as-user COMMAND` becomes the command, in the clone, as the ordinary user.
write_runner() {
    names='^(PIP_[A-Z_]+|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)='
    env | grep -E "$names" >"$box/environment" || true
    cat >"$box/as-user" <<END
#!/bin/sh
# A variable a line, so split at line breaks only.
IFS='
'
exec chroot --userspec="$user:$user" "$system" env -i \$(cat "$box/environment") \\
    HOME="$home" USER="$user" PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \\
    sh -c "cd $home/sub2api && exec \$1"
END
    chmod +x "$box/as-user"
}

if [ "${1:-}" = inside ]; then
    box=$2
    inside
else
    outside
fi
