#!/bin/sh
# The whole suite with coverage, then the floors: 90 % overall; every branch of protocols, billing.
# Arguments go to pytest. Floors are measured on whole runs only.
set -eu
cd "$(dirname "$0")/.."
rm -f .coverage .coverage.*
.venv/bin/python -m coverage run -m pytest -n "${TEST_WORKERS:-2}" "$@"
.venv/bin/python -m coverage combine --quiet
[ $# = 0 ] || exit 0
.venv/bin/python -m coverage report --fail-under=90
.venv/bin/python -m coverage report --fail-under=100 --include='sub2api/protocols/*,sub2api/billing/*'
