"""A shell on a data directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.shell import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return Shell(tmp_path / "data")


@pytest.fixture
def ready(shell: Shell) -> Shell:
    assert shell("setup", "--mode", "simple").exit_code == 0
    return shell
