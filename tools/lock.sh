#!/bin/sh
# Write locks/release.txt anew: the versions of locks/runtime.txt with the hashes of all their wheels.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip compile pyproject.toml --constraint locks/runtime.txt --universal \
    --python-version 3.11 --generate-hashes --only-binary :all: --no-header --no-annotate \
    --quiet --output-file "$work/locked.txt"
{
    echo "# What the released files hold: every wheel with its hashes, for all Pythons and platforms at once."
    echo "# Made by \`make lock\`, from pyproject.toml and the versions in locks/runtime.txt."
    cat "$work/locked.txt"
} >locks/release.txt
