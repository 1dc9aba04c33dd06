"""CI's files: readable, bounded, with no more rights than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_is_bounded_and_starts_with_reading_only(path: Path) -> None:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text())
    assert loaded["permissions"] == {"contents": "read"}
    for job in loaded["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            # What a stranger may have written (a tag, a branch) must not become shell text.
            assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_words_they_make_exist(path: Path) -> None:
    words = set(re.findall(r"(?m)^([a-z-]+):.*## ", (ROOT / "Makefile").read_text()))
    assert set(re.findall(r"\bmake ([a-z-]+)", path.read_text())) <= words


def test_a_release_runs_the_checks_first() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["release"]
    runs = [step.get("run", "") for step in steps["steps"]]
    assert runs.index("make test-install") < next(
        index for index, run in enumerate(runs) if "make release" in run
    )
