from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sub2api.billing import lines, segments

HOLDER = """
import sys, time
from pathlib import Path
from sub2api.billing import segments
held = [segments.create(Path(sys.argv[1]), "held", number) for number in (1, 2)]
print("ready", flush=True)
time.sleep(60)
"""


def names(claimed: list[list[segments.Segment]]) -> list[list[str]]:
    return [[segment.path.name for segment in instance] for instance in claimed]


def release(claimed: list[list[segments.Segment]]) -> None:
    for instance in claimed:
        for segment in instance:
            segment.release()


def test_a_segment_is_private_to_its_owner(tmp_path: Path) -> None:
    segment = segments.create(tmp_path, "a", 7)
    assert segment.path == tmp_path / "a-00000007.journal"
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o600
    segment.remove()
    assert not segment.path.exists()


def test_a_segment_is_never_made_over_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "a-00000001.journal").write_bytes(b"money")
    with pytest.raises(FileExistsError):
        segments.create(tmp_path, "a", 1)


def test_a_held_segment_is_not_claimed_and_a_released_one_is(tmp_path: Path) -> None:
    one, two = segments.create(tmp_path, "a", 1), segments.create(tmp_path, "b", 1)
    assert segments.claim(tmp_path) == []
    one.append(b"12345")
    one.release()
    claimed = segments.claim(tmp_path)
    assert names(claimed) == [["a-00000001.journal"]]
    assert claimed[0][0].size == 5
    assert segments.claim(tmp_path) == []
    claimed[0][0].append(b"678")
    assert claimed[0][0].path.read_bytes() == b"12345678"
    release(claimed)
    two.release()


def test_an_instance_is_claimed_whole_and_in_order_or_not_at_all(tmp_path: Path) -> None:
    held = [segments.create(tmp_path, "a", number) for number in (1, 2, 10)]
    held[0].release()
    assert segments.claim(tmp_path) == []
    held[2].release()
    assert segments.claim(tmp_path) == []
    held[1].release()
    claimed = segments.claim(tmp_path)
    assert names(claimed) == [["a-00000001.journal", "a-00000002.journal", "a-00000010.journal"]]
    release(claimed)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", "a-1.journal", "a-00000001.journal.bak", ".journal"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "parked").mkdir()
    assert segments.claim(tmp_path) == []


def test_a_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"x")
    (tmp_path / "a-00000002.journal").symlink_to(target)
    segments.create(tmp_path, "a", 1).release()
    assert segments.claim(tmp_path) == []
    assert "cannot be taken over" in caplog.text
    (tmp_path / "a-00000002.journal").unlink()
    claimed = segments.claim(tmp_path)
    assert len(claimed) == 1
    release(claimed)


def test_a_killed_process_lets_go_of_all_its_segments(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    assert segments.claim(tmp_path) == []
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    claimed = segments.claim(tmp_path)
    assert names(claimed) == [["held-00000001.journal", "held-00000002.journal"]]
    release(claimed)


def test_a_write_that_does_not_fit_leaves_the_file_as_it_was(
    tmp_path: Path, file_size_limit: Any
) -> None:
    segment = segments.create(tmp_path, "a", 1)
    segment.append(b"first\n")
    with file_size_limit(10), pytest.raises(OSError, match="too large"):
        segment.append(b"second line\n")
    assert segment.path.read_bytes() == b"first\n"
    assert segment.size == 6
    segment.append(b"third\n")
    assert segment.path.read_bytes() == b"first\n\nthird\n"
    assert segment.size == segment.path.stat().st_size
    segment.append(b"fourth\n")
    assert segment.path.read_bytes() == b"first\n\nthird\nfourth\n"
    segment.release()


def test_a_line_that_stays_torn_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: Any, file_size_limit: Any
) -> None:
    segment = segments.create(tmp_path, "a", 1)
    one, two, three = (lines.encode(calls.close(name)) for name in ("one", "two", "three"))
    segment.append(one)

    def refuse(fd: int, length: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", refuse)
    with file_size_limit(len(one) + 9), pytest.raises(OSError, match="too large"):
        segment.append(two)
    segment.append(three)
    records, damaged = segments.read(segment)
    assert [record.row.call_id for record in records] == ["one", "three"]  # type: ignore[union-attr]  # both are closes
    assert damaged == 1
    segment.release()


def test_a_torn_last_line_is_not_counted_as_damage_at_any_length(
    tmp_path: Path, calls: Any
) -> None:
    whole = [lines.encode(calls.close(f"call{number}")) for number in range(3)]
    text = b"".join(whole)
    segment = segments.create(tmp_path, "a", 1)
    ends = [len(b"".join(whole[: count + 1])) - 1 for count in range(3)]
    for length in range(len(text) + 1):
        segment.path.write_bytes(text[:length])
        records, damaged = segments.read(segment)
        assert len(records) == sum(length >= end for end in ends)
        assert damaged == 0
    segment.release()


def test_damage_in_the_middle_costs_only_its_own_line(tmp_path: Path, calls: Any) -> None:
    whole = [lines.encode(calls.close(f"call{number}")) for number in range(3)]
    segment = segments.create(tmp_path, "a", 1)
    segment.path.write_bytes(whole[0] + b"\x00" * 50 + b"\n\n" + whole[1][5:] + whole[2])
    records, damaged = segments.read(segment)
    assert len(records) == 2
    assert damaged == 2
    segment.release()


def test_a_segment_can_be_synced(tmp_path: Path) -> None:
    segment = segments.create(tmp_path, "a", 1)
    segment.sync()
    segment.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        segment.sync()
