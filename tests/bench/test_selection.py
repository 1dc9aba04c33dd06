"""The measurement of selection works; what it finds is for a quiet machine."""

from __future__ import annotations

import pytest

from tests.bench.selection import Case, main

EFFORT = ("--rounds", "1", "--calls", "50")


def test_it_prints_a_row_per_case_and_judges_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    easy = Case("one", 1, bar_us=1e6), Case("busy beside others", 1_200, groups=3, resting=10)
    assert main(EFFORT, easy) == 0
    assert main(EFFORT, [Case("impossible", 20, models=2, bar_us=1e-6)]) == 1
    printed = capsys.readouterr().out
    assert "| one |" in printed
    assert "| busy beside others |" in printed
    assert "| **missed** |" in printed
