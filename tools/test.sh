#!/bin/sh
# The whole suite with coverage, then the floors: 90 % overall; every branch of protocols and billing.
set -eu
cd "$(dirname "$0")/.."
rm -f .coverage .coverage.*
.venv/bin/python -m coverage run -m pytest -n "${TEST_WORKERS:-2}" "$@"
.venv/bin/python -m coverage combine --quiet
.venv/bin/python -m coverage report --fail-under=90 | tail -n 60
.venv/bin/python -m coverage report --include='sub2api/protocols/*,sub2api/billing/*' --fail-under=100
