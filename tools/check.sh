#!/bin/sh
# Everything that can be said about the code without running the product.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
for script in tools/*.sh; do sh -n "$script"; done
bash -n .ci/run
.venv/bin/python -m pytest -q tests/architecture
