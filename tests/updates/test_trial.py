"""A trial with the real program: what `doctor` and `version` print is the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from sub2api import __version__, wiring
from sub2api.errors import MistakeError
from sub2api.settings import load
from sub2api.updates.trial import try_release

PROGRAM = "from sub2api.__main__ import main\nmain()\n"


async def test_this_release_stands_its_own_trial_on_a_copy(tmp_path: Path) -> None:
    environ = {"RUN_MODE": "simple", "DATA_DIR": str(tmp_path / "data")}
    settings = load(environ=environ)
    database, _ = await wiring.open_store(settings)
    await database.close()
    before = database.path.read_bytes()
    file = tmp_path / "program.pyz"
    root = Path(__file__).resolve().parents[2]
    file.write_text(f"import sys\nsys.path.insert(0, {str(root)!r})\n{PROGRAM}")
    await try_release(file, __version__, settings, database.path)
    assert database.path.read_bytes() == before
    assert not list(settings.data_dir.glob(".trial-*"))


async def test_a_database_that_the_release_cannot_read_fails_it(tmp_path: Path) -> None:
    environ = {"RUN_MODE": "simple", "DATA_DIR": str(tmp_path / "data")}
    settings = load(environ=environ)
    database, _ = await wiring.open_store(settings)
    await database.close()
    (settings.data_dir / "sealing.key").write_text("0" * 64)  # not the key it was made with
    file = tmp_path / "program.pyz"
    root = Path(__file__).resolve().parents[2]
    file.write_text(f"import sys\nsys.path.insert(0, {str(root)!r})\n{PROGRAM}")
    with pytest.raises(MistakeError, match="cannot run here: database: "):
        await try_release(file, __version__, settings, database.path)
