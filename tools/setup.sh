#!/bin/sh
# Make .venv ready: `setup.sh run` for running, `setup.sh dev` for developing and testing.
# Needs Python 3.11 or newer. Does nothing when nothing has changed since the last time.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-dev}

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, and none was found. Install it, or name it:" \
        "make PYTHON=/path/to/python3 ..." >&2
    return 1
}

has() { command -v "$1" >/dev/null 2>&1; }

make_venv() {
    rm -rf .venv
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian and Ubuntu ship Python without the parts that make a complete venv.
        if [ "$(id -u)" = 0 ] && has apt-get; then
            install_venv
        elif make_venv_with_debians_pip; then
            return
        else
            rm -rf .venv
            echo "Python's venv module is not complete here. Run this once, then again what you" \
                "ran: sudo apt-get install $(venv_package)" >&2
            return 1
        fi
    fi
    "$python" -m venv .venv
}

venv_package() { "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'; }

install_venv() {
    apt-get update -qq
    for package in "$(venv_package)" python3-venv; do
        if DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null; then
            return
        fi
    done
    return 1
}

# Without root: apt-get may download (and verify) a package, and that of pip holds a wheel of it.
make_venv_with_debians_pip() {
    has apt-get && has dpkg-deb && "$python" -c 'import venv' 2>/dev/null || return 1
    unpacked=$(mktemp -d)
    mkdir -p "$unpacked/lists/partial" "$unpacked/cache/archives/partial"
    set -- -qq -o "Dir::State::Lists=$unpacked/lists" -o "Dir::Cache=$unpacked/cache"
    made=1
    if (
        cd "$unpacked"
        apt-get -qq download python3-pip-whl || {
            apt-get "$@" update && apt-get "$@" download python3-pip-whl
        }
        dpkg-deb -x python3-pip-whl_*.deb .
    ) >/dev/null 2>&1; then
        wheel=$(echo "$unpacked"/usr/share/python-wheels/pip-*.whl)
        "$python" -m venv --without-pip .venv &&
            .venv/bin/python "$wheel/pip" install --quiet --no-index "$wheel" &&
            made=0
    fi
    rm -rf "$unpacked"
    return "$made"
}

python=$(find_python)
wanted=$({ pwd; cat "$0" pyproject.toml locks/runtime.txt locks/dev.txt; } | cksum)
stamp=".venv/.setup-$kind"
if [ -x .venv/bin/sub2api ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

# A venv does not survive its directory's move, nor the removal of the Python it was made with.
place=$(cat .venv/.place 2>/dev/null || pwd)
if [ "$place" != "$(pwd)" ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    make_venv
fi
pwd >.venv/.place

echo "Installing what is needed; the first time takes a minute ..."
rm -f .venv/.setup-run .venv/.setup-dev
if [ "$kind" = dev ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c locks/dev.txt
    # An SDK of the previous generation, beside the current one: tools in the field still carry it.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
        --target .venv/anthropic-0 anthropic==0.125.0
    echo "$wanted" >.venv/.setup-dev
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e . -c locks/runtime.txt
fi
echo "$wanted" >.venv/.setup-run
