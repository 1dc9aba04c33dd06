from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sub2api.billing import segments
from sub2api.billing.journal import Journal
from sub2api.billing.segments import Segment
from sub2api.clock import Clock
from sub2api.errors import ClientError, SettingsError


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    made = Journal(tmp_path / "journal", clock)
    yield made
    if not made._closed:
        await made.aclose()


def files(journal: Journal) -> list[Path]:
    return sorted(journal.directory.glob("*.journal"))


def on_disk(journal: Journal) -> list[Any]:
    return [record for path in files(journal) for record in segments.read(Segment(path, -1))[0]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def ids(closes: Any) -> list[str]:
    return [close.call_id for close in closes]


async def test_an_opened_call_is_on_disk_when_open_returns(journal: Journal, calls: Any) -> None:
    record = calls.open("a")
    journal.open(record)
    assert on_disk(journal) == [record]


async def test_the_records_of_a_loop_turn_are_one_write(
    journal: Journal, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(fd) or write(fd, data))
    records = [calls.progress("a", 1), calls.close("a"), calls.open("b")]
    journal.progress(records[0])
    journal.close(records[1])
    assert writes == []
    journal.open(records[2])
    assert len(writes) == 1
    assert on_disk(journal) == records
    journal.progress(calls.progress("b", 2))
    journal.close(calls.close("b"))
    await asyncio.sleep(0)
    assert len([fd for fd in writes if fd == journal._active.fd]) == 2
    assert len(on_disk(journal)) == 5


async def test_a_close_is_pending_until_it_is_confirmed(journal: Journal, calls: Any) -> None:
    for name in ("a", "b", "c"):
        journal.open(calls.open(name))
        journal.close(calls.close(name))
    assert journal.backlog == 3
    assert ids(journal.pending()) == ["a", "b", "c"]
    assert ids(journal.pending(2)) == ["a", "b"]
    journal.confirm(["b", "unknown"])
    assert ids(journal.pending()) == ["a", "c"]


async def test_waiting_ends_with_the_first_close(journal: Journal, calls: Any) -> None:
    waiter = asyncio.get_running_loop().create_task(journal.wait_pending())
    await asyncio.sleep(0)
    assert not waiter.done()
    journal.close(calls.close("a"))
    await asyncio.wait_for(waiter, 1)
    await asyncio.wait_for(journal.wait_pending(), 1)
    journal.confirm(["a"])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(journal.wait_pending(), 0.01)


async def test_a_call_closed_twice_keeps_its_first_close(
    journal: Journal, calls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    journal.close(calls.close("a"))
    journal.close(calls.close("a", status=500))
    assert [close.row.status for close in journal.pending()] == [200]
    assert "closed twice" in caplog.text


async def test_what_is_pending_is_what_a_reader_of_the_file_would_get(
    journal: Journal, calls: Any
) -> None:
    journal.close(calls.close("a", model="m\ud800"))
    await asyncio.sleep(0)
    assert journal.pending() == on_disk(journal)


async def test_a_closed_journal_leaves_only_what_is_unconfirmed(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    clean = Journal(tmp_path, clock)
    clean.open(calls.open("a"))
    clean.close(calls.close("a"))
    clean.confirm(["a"])
    await clean.aclose()
    assert files(clean) == []
    dirty = Journal(tmp_path, clock)
    dirty.close(calls.close("b"))
    await dirty.aclose()
    assert len(files(dirty)) == 1
    heir = Journal(tmp_path, clock)
    assert await heir.adopt() == 1
    assert ids(heir.pending()) == ["b"]
    heir.confirm(["b"])
    await heir.aclose()
    assert files(heir) == []


async def test_a_closed_journal_takes_nothing(journal: Journal, calls: Any) -> None:
    await journal.aclose()
    with pytest.raises(ClientError, match="shutting down") as refused:
        journal.open(calls.open("a"))
    assert refused.value.status == 503
    with pytest.raises(RuntimeError):
        journal.close(calls.close("a"))


async def test_a_directory_that_cannot_be_used_stops_the_start(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"journal directory .* cannot be written"):
        Journal(tmp_path / "file" / "journal", clock)


async def test_the_directory_is_private(journal: Journal) -> None:
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700


# Files come and go


async def test_a_full_segment_is_followed_by_a_new_one_and_deleted_when_done(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    journal = Journal(tmp_path, clock, max_segment_bytes=1000)
    names = [calls.new_id() for _ in range(12)]
    for name in names:
        journal.open(calls.open(name))
        journal.close(calls.close(name))
        await until(lambda: not journal._background)
    count = len(files(journal))
    assert count > 3
    journal.confirm(names[:-1])
    await until(lambda: not journal._background)
    assert 1 <= len(files(journal)) < count
    journal.confirm(names[-1:])
    await until(lambda: not journal._background)
    assert files(journal) == [journal._active.path]
    assert journal._total == journal._active.size
    await journal.aclose()


async def test_a_segment_stays_while_any_call_in_it_is_unconfirmed(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    journal = Journal(tmp_path, clock, max_segment_bytes=600)
    journal.open(calls.open("long"))
    first = journal._active.path
    journal.open(calls.open("short"))
    await until(lambda: journal._active.path != first and not journal._background)
    journal.progress(calls.progress("long", 1))
    journal.close(calls.close("short"))
    await asyncio.sleep(0)
    second = journal._active.path
    journal.open(calls.open("other"))
    await until(lambda: journal._active.path != second and not journal._background)
    journal.close(calls.close("other"))
    await asyncio.sleep(0)
    journal.confirm(["short", "other"])
    await until(lambda: not journal._background)
    assert {first, second} <= set(files(journal))  # both hold a record of the long call
    journal.close(calls.close("long"))
    await asyncio.sleep(0)
    journal.confirm(["long"])
    await until(lambda: not journal._background)
    assert files(journal) == [journal._active.path]
    await journal.aclose()


async def test_a_call_confirmed_before_its_close_was_written_pins_nothing(
    journal: Journal, calls: Any
) -> None:
    journal.open(calls.open("a"))
    journal.close(calls.close("a"))
    journal.confirm(["a"])
    await asyncio.sleep(0)
    assert not journal._active.live


async def test_a_new_file_that_cannot_be_made_is_tried_again_a_second_later(
    tmp_path: Path,
    clock: Any,
    calls: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = Journal(tmp_path, clock, max_segment_bytes=100)
    made = []

    def refuse(*arguments: object) -> Segment:
        made.append(arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "create", refuse)
    for name in ("a", "b"):
        journal.open(calls.open(name))
        await until(lambda: not journal._background)
    assert len(made) == 1
    assert "cannot start a new file" in caplog.text
    monkeypatch.undo()
    clock.seconds += 2
    journal.open(calls.open("c"))
    await until(lambda: len(files(journal)) == 2 and not journal._background)
    assert len(on_disk(journal)) == 3
    await journal.aclose()


async def test_a_file_that_cannot_be_synced_or_deleted_is_only_a_log_line(
    tmp_path: Path,
    clock: Clock,
    calls: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = Journal(tmp_path, clock, max_segment_bytes=100)

    def refuse(segment: Segment) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Segment, "sync", refuse)
    monkeypatch.setattr(Segment, "remove", refuse)
    first = journal._active
    journal.open(calls.open("a"))
    await until(lambda: journal._active is not first and not journal._background)
    journal.close(calls.close("a"))
    await asyncio.sleep(0)
    journal.confirm(["a"])
    await until(lambda: not journal._background)
    assert "cannot be synced" in caplog.text
    assert "cannot be deleted" in caplog.text
    monkeypatch.undo()
    first.release()
    await journal.aclose()


# Bounds and full disks


async def test_a_full_journal_refuses_new_calls_until_the_ledger_catches_up(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    journal = Journal(tmp_path, clock, max_segment_bytes=500, max_total_bytes=3000)
    names: list[str] = []
    while journal._total < 3000:
        names.append(calls.new_id())
        journal.open(calls.open(names[-1]))
        await until(lambda: not journal._background)
    with pytest.raises(ClientError, match="journal is full") as refused:
        journal.open(calls.open("refused"))
    assert refused.value.status == 503
    size = sum(path.stat().st_size for path in files(journal))
    assert 3000 <= size == journal._total < 4000
    journal.progress(calls.progress(names[0], 1))
    await asyncio.sleep(0)
    assert journal._total == size  # progress is dropped, a close is not
    for name in names:
        journal.close(calls.close(name))
    await asyncio.sleep(0)
    assert journal._total > size
    journal.confirm(names)
    await until(lambda: not journal._background)
    journal.open(calls.open("next"))
    await journal.aclose()


async def test_too_many_pending_closes_refuse_new_calls(
    tmp_path: Path, clock: Clock, calls: Any
) -> None:
    journal = Journal(tmp_path, clock, max_pending=2)
    journal.close(calls.close("a"))
    journal.close(calls.close("b"))
    with pytest.raises(ClientError, match="journal is full"):
        journal.open(calls.open("c"))
    assert await journal.adopt() == 0
    journal.confirm(["a"])
    journal.open(calls.open("c"))
    await journal.aclose()


async def test_a_full_disk_refuses_new_calls_and_loses_no_close(
    journal: Journal, calls: Any, file_size_limit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    journal.open(calls.open("a"))
    journal.open(calls.open("b"))
    size = journal._active.size
    with file_size_limit(size + 20):
        journal.progress(calls.progress("a", 1))
        journal.close(calls.close("a"))
        with pytest.raises(ClientError, match="disk refuses") as refused:
            journal.open(calls.open("c"))
        with pytest.raises(ClientError, match="disk refuses"):
            journal.open(calls.open("a", attempts=2))
        await asyncio.sleep(0)
    assert refused.value.status == 503
    assert str(journal.directory) not in str(refused.value)
    assert files(journal)[0].stat().st_size == size
    assert ids(journal.pending()) == ["a"]
    assert set(journal._calls) == {"a", "b"}
    assert caplog.text.count("cannot be written") == 1
    journal.open(calls.open("d"))
    assert "can be written again" in caplog.text
    assert journal.size > 0
    assert [record.call_id for record in on_disk(journal)] == ["a", "b", "a", "d"]


async def test_a_close_that_the_disk_refused_is_written_later(
    journal: Journal, calls: Any, file_size_limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sub2api.billing.journal._RETRY_SECONDS", 0.01)
    journal.open(calls.open("a"))
    with file_size_limit(journal._active.size + 20):
        journal.close(calls.close("a"))
        await asyncio.sleep(0.03)
        assert len(on_disk(journal)) == 1
    await until(lambda: len(on_disk(journal)) == 2)


async def test_closes_that_cannot_be_written_at_shutdown_are_named(
    journal: Journal, calls: Any, file_size_limit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    journal.open(calls.open("a"))
    with file_size_limit(journal._active.size + 20):
        journal.close(calls.close("a"))
        await journal.aclose()
    assert "could not be written at shutdown" in caplog.text
