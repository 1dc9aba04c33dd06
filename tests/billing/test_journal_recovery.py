"""What becomes of a journal whose process died: adoption, kill -9, histories replayed."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sub2api.billing import recovery, segments
from sub2api.billing.journal import Journal
from sub2api.clock import Clock

WORKER = """
import asyncio, os, sys
from pathlib import Path
from sub2api.billing.journal import Journal
from sub2api.billing.prices import Price, Rate
from sub2api.billing.records import Close, Open, Progress
from sub2api.clock import Clock
from sub2api.model.tokens import Tokens, Usage
from sub2api.model.usage import UsageRow

PRICE = Price("m", "s", (Rate({"input": 1_000_000}),))

def row(call_id, **fields):
    return UsageRow(call_id=call_id, user_id=1, key_id=2, key_name="k", wire="chat",
                    operation="generate", model="m", started_at=1.0, **fields)

def say(text):
    os.write(1, (text + "\\n").encode())

async def main():
    journal = Journal(Path(sys.argv[1]), Clock(), max_segment_bytes=4096)
    number = 0
    while True:
        number += 1
        call_id = f"{os.getpid()}x{number}"
        journal.open(Open(row=row(call_id), price=PRICE))
        say("open " + call_id)
        if number % 3 == 0:
            journal.progress(Progress(call_id=call_id, usage=Usage(Tokens(input=number))))
            await asyncio.sleep(0)
            say(f"progress {call_id} {number}")
        if number % 5:
            journal.close(Close(row=row(call_id, cost=7)))
            await asyncio.sleep(0)
            say("close " + call_id)
        if number % 7 == 0:
            done = [close.call_id for close in journal.pending(5)]
            say("confirm " + " ".join(done))
            journal.confirm(done)

asyncio.run(main())
"""

ADOPTER = """
import asyncio, sys
from pathlib import Path
from sub2api.billing.journal import Journal
from sub2api.clock import Clock

async def main():
    journal = Journal(Path(sys.argv[1]), Clock())
    print("ready", flush=True)
    sys.stdin.readline()
    await journal.adopt()
    print(" ".join(close.call_id for close in journal.pending()), flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    made = Journal(tmp_path / "journal", clock)
    yield made
    if not made._closed:
        await made.aclose()


def files(journal: Journal) -> list[Path]:
    return sorted(journal.directory.glob("*.journal"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def settled(journal: Journal) -> None:
    await until(lambda: not journal._background)


async def test_adopting_moves_a_dead_process_s_calls_here(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    dead = Journal(tmp_path, clock)
    dead.open(calls.open("open"))
    dead.progress(calls.progress("open", 4))
    dead.open(calls.open("closed"))
    dead.close(calls.close("closed"))
    await dead.aclose()
    journal = Journal(tmp_path, clock)
    assert await journal.adopt() == 2
    assert await journal.adopt() == 0
    assert [
        (close.call_id, close.row.settled_by, close.row.cost) for close in journal.pending()
    ] == [
        ("closed", "observed", 5),
        ("open", "recovered", 18),
    ]
    await asyncio.wait_for(journal.wait_pending(), 1)
    assert len(files(journal)) == 2
    journal.confirm(["open"])
    await until(lambda: not journal._background)
    assert len(files(journal)) == 2
    journal.confirm(["closed"])
    await until(lambda: not journal._background)
    assert files(journal) == [journal._active.path]
    await journal.aclose()


async def test_adopting_again_after_a_crash_finds_the_same_calls(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    dead = Journal(tmp_path, clock)
    dead.open(calls.open("a"))
    await dead.aclose()
    for _ in range(3):
        heir = Journal(tmp_path, clock)
        await heir.adopt()
        assert [close.row.settled_by for close in heir.pending()] == ["recovered"]
        await heir.aclose()


async def test_an_empty_dead_journal_is_deleted(tmp_path: Path, clock: Clock) -> None:
    segments.create(tmp_path, "dead", 1).release()
    journal = Journal(tmp_path, clock)
    assert await journal.adopt() == 0
    await until(lambda: not journal._background)
    assert files(journal) == [journal._active.path]
    await journal.aclose()


async def test_an_adoption_whose_caller_is_gone_is_finished(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    dead = Journal(tmp_path, clock)
    dead.open(calls.open("a"))
    await dead.aclose()
    journal = Journal(tmp_path, clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await journal.adopt()
    await until(lambda: journal.backlog == 1)
    await journal.aclose()


async def test_an_adoption_that_fails_is_a_log_line(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(directory: Path) -> list[recovery.Adopted]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(recovery, "adopt", refuse)
    assert await journal.adopt() == 0
    assert "cannot be adopted" in caplog.text


def spawn(script: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def told(output: str) -> dict[str, set[str]]:
    """Read a worker's account of itself; its last line may be torn."""
    known: dict[str, set[str]] = {
        "open": set(),
        "close": set(),
        "progress": set(),
        "confirm": set(),
    }
    for line in output.splitlines(keepends=True):
        if line.endswith("\n"):
            word, _, rest = line.strip().partition(" ")
            known[word] |= {rest} if word == "progress" else set(rest.split())
    return known


@pytest.mark.parametrize("round_number", range(4))
async def test_kill_9_at_any_moment_loses_no_call(
    tmp_path: Path, clock: Clock, round_number: int
) -> None:
    with spawn(WORKER, tmp_path) as worker:
        assert worker.stdout is not None
        first = worker.stdout.readline()
        reader = asyncio.create_task(asyncio.to_thread(worker.stdout.read))
        await asyncio.sleep(random.Random(round_number).uniform(0.01, 0.25))
        worker.kill()
        known = told(first + await reader)
    journal = Journal(tmp_path, clock)
    await journal.adopt()
    closes = {close.call_id: close.row for close in journal.pending()}
    assert len(closes) == journal.backlog
    assert known["open"] - known["confirm"] <= closes.keys()
    assert all(closes[name].cost == 7 for name in known["close"] - known["confirm"])
    for call_id, tokens in (line.split() for line in known["progress"]):
        if call_id in closes and closes[call_id].settled_by == "recovered":
            assert closes[call_id].cost == int(tokens)
    surplus = closes.keys() - known["open"]  # its own last word, cut off in the pipe
    assert len(surplus) <= 1
    await journal.aclose()


async def test_of_two_adopters_each_call_goes_to_exactly_one(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    for _ in range(10):
        dead = Journal(tmp_path, clock, max_segment_bytes=300)
        for _ in range(3):
            dead.open(calls.open(calls.new_id()))
            await settled(dead)
        await dead.aclose()
    adopters = [spawn(ADOPTER, tmp_path) for _ in range(3)]
    for adopter in adopters:
        assert adopter.stdout is not None
        assert adopter.stdout.readline() == "ready\n"
    for adopter in adopters:
        assert adopter.stdin is not None
        adopter.stdin.write("\n")
        adopter.stdin.flush()
    got = [adopter.stdout.readline().split() for adopter in adopters if adopter.stdout]
    for adopter in adopters:
        adopter.communicate("\n", timeout=10)
    everything = [call_id for part in got for call_id in part]
    assert sorted(everything) == sorted(f"call{number}" for number in range(1, 31))


VERBS = ["open", "progress", "close", "confirm", "turn"]


def check_recovery(directory: Path, calls: Any, history: list[tuple[str, int]]) -> None:
    expected = asyncio.run(live_through(directory, calls, history))
    adopted = recovery.adopt(directory)
    found = {close.call_id: close.row for each in adopted for close in each.closes}
    for each in adopted:
        for segment in each.segments:
            segment.release()
    assert expected.keys() <= found.keys()
    for call_id, (settled_by, output) in expected.items():
        assert (found[call_id].settled_by, found[call_id].output_tokens) == (settled_by, output)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 30)), max_size=200))
def test_any_history_is_recovered_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, make_calls: Any, history: list[tuple[str, int]]
) -> None:
    check_recovery(tmp_path_factory.mktemp("history"), make_calls(), history)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_records_are_recovered_as_they_were(
    tmp_path: Path, calls: Any, seed: int
) -> None:
    chance = random.Random(seed)
    history = [(chance.choice(VERBS), chance.randrange(150)) for _ in range(3000)]
    check_recovery(tmp_path, calls, history)


async def live_through(
    directory: Path, calls: Any, history: list[tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    """Play a history into a journal; return how every unconfirmed call must come out of it."""
    journal = Journal(directory, Clock(), max_segment_bytes=2000)
    expected: dict[str, tuple[str, int]] = {}
    closed: set[str] = set()
    for verb, number in history:
        call_id = f"call{number}"
        if verb == "turn":
            await asyncio.sleep(0)
        elif verb == "confirm" and call_id in closed:
            journal.confirm([call_id])
            expected.pop(call_id, None)
        elif call_id in closed or verb == "confirm":
            continue
        elif verb == "open":
            journal.open(calls.open(call_id))
            expected[call_id] = ("recovered", 0)
        elif verb == "progress" and call_id in expected:
            journal.progress(calls.progress(call_id, number + 1))
            expected[call_id] = ("recovered", number + 1)
        elif verb == "close":
            journal.close(calls.close(call_id, output_tokens=number))
            expected[call_id] = ("observed", number)
            closed.add(call_id)
    await journal.aclose()
    return expected
