from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sub2api.billing import lines, recovery, segments
from sub2api.billing.records import Open
from sub2api.billing.segments import Segment


def write(directory: Path, instance: str, sequence: int, data: bytes) -> None:
    segment = segments.create(directory, instance, sequence)
    segment.append(data)
    segment.release()


def release(adopted: list[recovery.Adopted]) -> None:
    for each in adopted:
        for segment in each.segments:
            segment.release()


def test_a_closed_call_is_taken_as_it_was_closed(calls: Any) -> None:
    close = calls.close("a")
    assert recovery.replay([calls.open("a"), calls.progress("a", 9), close]) == [close]
    assert recovery.replay([close]) == [close]


def test_an_interrupted_call_is_booked_with_its_last_progress(calls: Any) -> None:
    [close] = recovery.replay([calls.open("a"), calls.progress("a", 1), calls.progress("a", 9)])
    assert (close.row.settled_by, close.row.output_tokens, close.row.cost) == ("recovered", 9, 28)


def test_a_failed_attempts_usage_never_counts(calls: Any) -> None:
    second = calls.open("a", account_id=8, attempts=2)
    [close] = recovery.replay([calls.open("a"), calls.progress("a", 9), second])
    assert (close.row.account_id, close.row.attempts, close.row.cost) == (8, 2, 0)


def test_a_second_close_changes_nothing(calls: Any) -> None:
    first = calls.close("a")
    assert recovery.replay([first, calls.close("a", status=500), calls.open("a")]) == [first]


def test_progress_of_a_call_nobody_opened_is_ignored(calls: Any) -> None:
    assert recovery.replay([calls.progress("a", 9)]) == []


@pytest.mark.parametrize("multiplier", ["many", "-1", "NaN"])
def test_a_call_that_cannot_be_priced_is_booked_at_an_unknown_cost(
    calls: Any, multiplier: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened = calls.open("a", multiplier=multiplier)
    [close] = recovery.replay([opened, calls.progress("a", 9)])
    assert (close.row.cost, close.row.output_tokens) == (None, 9)
    assert "cannot be priced" in caplog.text


def test_a_call_is_followed_through_all_segments_of_its_process(tmp_path: Path, calls: Any) -> None:
    close = calls.close("a")
    write(tmp_path, "x", 1, lines.encode(calls.open("a")))
    write(tmp_path, "x", 2, lines.encode(close))
    write(tmp_path, "y", 1, lines.encode(calls.open("b")))
    adopted = recovery.adopt(tmp_path)
    assert [len(each.segments) for each in adopted] == [2, 1]
    assert adopted[0].closes == [close]
    assert adopted[1].closes[0].row.settled_by == "recovered"
    assert recovery.adopt(tmp_path) == []
    release(adopted)


def test_damaged_lines_are_counted_in_the_log(
    tmp_path: Path, calls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(tmp_path, "x", 1, b"rubbish\n" + lines.encode(calls.close("a")) + b"torn")
    adopted = recovery.adopt(tmp_path)
    assert len(adopted[0].closes) == 1
    counts = [getattr(record, "damaged", None) for record in caplog.records]
    assert counts == [None, 1]
    release(adopted)


def test_an_empty_journal_is_adopted_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(tmp_path, "x", 1, b"")
    adopted = recovery.adopt(tmp_path)
    assert adopted[0].closes == []
    assert not caplog.records
    release(adopted)


def test_a_journal_that_cannot_be_read_is_given_back(
    tmp_path: Path, calls: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "x", 1, lines.encode(calls.close("a")))
    write(tmp_path, "y", 1, lines.encode(calls.close("b")))
    read = segments.read

    def broken(segment: Segment) -> Any:
        if segment.path.name.startswith("x"):
            raise OSError(5, "Input/output error")
        return read(segment)

    monkeypatch.setattr(segments, "read", broken)
    adopted = recovery.adopt(tmp_path)
    assert [close.call_id for each in adopted for close in each.closes] == ["b"]
    assert "cannot be read" in caplog.text
    monkeypatch.undo()
    again = recovery.adopt(tmp_path)
    assert [close.call_id for each in again for close in each.closes] == ["a"]
    release([*adopted, *again])


def test_a_recovered_open_needs_nothing_but_its_line(calls: Any) -> None:
    opened = lines.decode(lines.encode(calls.open("a")))
    assert isinstance(opened, Open)
    assert recovery.replay([opened])[0].row.pricing["source"] == "bundled"
