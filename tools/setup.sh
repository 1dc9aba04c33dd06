#!/bin/sh
# Make .venv ready: `setup.sh run` for running, `setup.sh dev` for developing and testing.
# Needs Python 3.11 or newer. Does nothing when nothing has changed since the last time.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-dev}

python=
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed, and none was found. Install it, or name it: make PYTHON=/path/to/python3 ..." >&2
    exit 1
fi

wanted=$(cat pyproject.toml locks/runtime.txt locks/dev.txt | cksum)
stamp=".venv/.setup-$kind"
if [ -x .venv/bin/sub2api ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" ||
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
    else
        echo "Python's venv module is not complete here. Run this once, then again what you ran: sudo apt-get install $package" >&2
        exit 1
    fi
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
if [ "$kind" = dev ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c locks/dev.txt
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e . -c locks/runtime.txt
fi
printf '%s\n' "$wanted" > "$stamp"
if [ "$kind" = dev ]; then
    printf '%s\n' "$wanted" > .venv/.setup-run
fi
