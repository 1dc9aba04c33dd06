"""What fuzzing once broke stays whole, and the fuzzers themselves still run."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.fuzz import engine, fuzz_requests, fuzz_streams
from tests.fuzz.engine import Report, Target

TARGETS = {each.name: each for each in [*fuzz_requests.TARGETS, *fuzz_streams.TARGETS]}
_MUTANTS = 150


@pytest.mark.parametrize("path", sorted(engine.CRASHES.glob("*-*")), ids=lambda path: path.name)
async def test_an_input_that_broke_something_does_so_no_more(path: Path) -> None:
    TARGETS[path.name.rpartition("-")[0]].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
async def test_a_few_mutants_pass(name: str) -> None:
    target = TARGETS[name]
    rng = random.Random(1)
    shapes = {
        target.check(raw) for raw in rng.sample(list(target.seeds), min(14, len(target.seeds)))
    }
    for _ in range(_MUTANTS):
        shapes.add(target.check(engine.mutated(rng, target.seeds, target.words)))
    assert len(shapes) > 3


def test_what_breaks_is_kept_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CRASHES", tmp_path / "crashes")
    monkeypatch.setattr(engine, "MOST_SECONDS", 0.05)

    def check(data: bytes) -> int:
        if b"x" in data:
            raise ValueError(data)
        while b"y" in data:
            time.sleep(0.01)
        return len(data)

    report = engine.run(Target("t", check, [b"abc", b"axc", b"y"], [b"z"]), seconds=0.2, seed=1)
    kept = {path.read_bytes() for path in report.crashes}
    assert {b"axc", b"y"} <= kept
    assert report.iterations > len(report.crashes)
    assert report.signatures >= {3}
    assert " crashes" in report.line("t")


def test_the_same_seed_gives_the_same_mutants() -> None:
    seeds = [b"abcdef", b"0123456789"]
    runs = []
    for _ in range(2):
        rng = random.Random(7)
        runs.append([engine.mutated(rng, seeds, [b"word"]) for _ in range(50)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 20
    for data in runs[0]:
        assert engine.cuts_of(data) == engine.cuts_of(data)
        for cuts in engine.cuts_of(data):
            assert b"".join(engine.pieces(data, cuts)) == data


def test_a_report_of_nothing_is_a_line_too() -> None:
    assert Report().line("t").startswith("t: 0 inputs")
