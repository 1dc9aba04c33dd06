"""The launcher always ends on a release that runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.launching import (
    CONFIRMS,
    CRASHES,
    HANGS,
    IGNORES_TERM,
    LAUNCH,
    NEW,
    OLD,
    Installed,
)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    made = Installed(tmp_path / "a place")
    yield made
    made.end()


def test_it_is_short_and_checks_clean() -> None:
    assert len(LAUNCH.read_text().splitlines()) <= 100
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", LAUNCH], check=True)


def test_without_an_update_a_service_manager_gets_the_program_itself(installed: Installed) -> None:
    process = installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started)
    assert installed.parent_of_last() == os.getpid()
    assert installed.stop() == 0
    assert process.pid


def test_without_a_service_manager_it_is_the_parent_and_goes_over_to_another_release(
    installed: Installed,
) -> None:
    process = installed.start()
    installed.until(lambda: installed.started == [OLD])
    assert installed.parent_of_last() == process.pid
    installed.swap()
    installed.until(lambda: installed.started == [OLD, NEW])
    assert installed.current == NEW
    assert installed.stop() == 0


def test_a_new_release_that_confirms_stays(installed: Installed) -> None:
    installed.swap()
    installed.start(NOTIFY_SOCKET="@nobody", patience=2)
    installed.until(lambda: installed.started == [NEW])
    with pytest.raises(AssertionError):
        installed.until(lambda: installed.current == OLD, seconds=4)
    assert not (installed.releases / "pending.json").exists()
    assert installed.stop() == 0


def test_a_release_that_crashes_at_start_is_tried_twice_and_taken_back(
    installed: Installed,
) -> None:
    installed.release(NEW, CRASHES)
    installed.swap()
    installed.start()
    installed.until(lambda: installed.started == [NEW, NEW, OLD])
    assert installed.current == OLD
    assert not (installed.releases / "pending.json").exists()
    assert installed.read("rolled-back.json") == {
        "new": NEW, "old": OLD, "why": "it did not start twice",
    }  # fmt: skip


@pytest.mark.parametrize(("new", "patience"), [(CRASHES, 60), (HANGS, 2)])
def test_under_a_service_manager_it_ends_with_its_child_and_is_started_anew(
    installed: Installed, new: str, patience: int
) -> None:
    """Systemd 252 takes STOPPING=1 for the end of the whole service, and kills what follows it."""
    installed.release(NEW, new)
    installed.swap()
    starts = 2 if new == CRASHES else 1
    for _ in range(starts):
        assert installed.start(NOTIFY_SOCKET="@nobody", patience=patience).wait(30) == 1
        installed.end()
    installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started == [NEW] * starts + [OLD])
    assert installed.current == OLD
    assert installed.parent_of_last() == os.getpid()


def test_under_a_service_manager_it_ends_when_a_confirmed_release_is_replaced(
    installed: Installed,
) -> None:
    installed.swap()
    process = installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started == [NEW])
    installed.until(lambda: not (installed.releases / "pending.json").exists())
    installed.point(OLD)
    assert process.wait(30) in {0, 1}
    assert installed.started == [NEW]


@pytest.mark.parametrize("new", [HANGS, IGNORES_TERM])
def test_a_release_that_is_not_healthy_in_time_is_taken_back(
    installed: Installed, new: str
) -> None:
    installed.release(NEW, new)
    installed.swap()
    installed.start(patience=2)
    installed.until(lambda: installed.started == [NEW, OLD])
    assert "not healthy within 2 s" in installed.read("rolled-back.json")["why"]
    assert installed.stop() == 0


def test_a_release_that_is_killed_by_a_watchdog_counts(installed: Installed) -> None:
    installed.release(NEW, HANGS)
    installed.swap()
    for attempt in (1, 2):
        process = installed.start(NOTIFY_SOCKET="@nobody")
        installed.until(lambda attempt=attempt: len(installed.started) == attempt)
        os.killpg(process.pid, signal.SIGKILL)
        installed.end()
    installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started == [NEW, NEW, OLD])


def test_being_stopped_during_a_trial_is_no_failed_start(installed: Installed) -> None:
    installed.release(NEW, HANGS)
    installed.swap()
    for _ in range(3):
        installed.start()
        before = len(installed.started)
        installed.until(lambda before=before: len(installed.started) == before + 1)
        assert installed.stop() == 0
        installed.end()
    assert installed.read("pending.json")["attempts"] == 0
    assert installed.current == NEW


def test_power_cut_between_the_steps_of_a_swap_leaves_the_old_release(installed: Installed) -> None:
    pending = json.dumps({"new": NEW, "old": OLD, "attempts": 0})
    (installed.releases / "pending.json").write_text(pending)
    installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started == [OLD])
    assert not (installed.releases / "pending.json").exists()


@pytest.mark.parametrize("content", ["", "{", '{"new":', '{"new":"../x","old":"/etc/passwd"}'])
def test_a_damaged_pending_file_keeps_what_current_names(
    installed: Installed, content: str
) -> None:
    (installed.releases / "pending.json").write_text(content)
    installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started == [OLD])


@pytest.mark.parametrize("target", ["gone.pyz", "../../etc/passwd", "sub2api-9-cp311-x_y.pyz"])
def test_a_damaged_link_is_repaired_with_the_release_before(
    installed: Installed, target: str
) -> None:
    installed.point(target)
    (installed.releases / "previous").symlink_to(OLD)
    installed.start(NOTIFY_SOCKET="@nobody")
    installed.until(lambda: installed.started == [OLD])
    assert installed.current == OLD


def test_without_any_release_it_says_what_to_do(installed: Installed) -> None:
    (installed.releases / OLD).unlink()
    (installed.releases / NEW).unlink()
    process = installed.start()
    assert process.wait(20) == 78
    assert process.stderr is not None
    assert "run install.sh" in process.stderr.read()


def test_other_commands_go_to_the_current_release(installed: Installed) -> None:
    (installed.releases / OLD).write_text("import sys; print(sys.argv[1:])")
    said = subprocess.run(
        [installed.directory / "launch", "usage", "--since", "7 d"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert said.stdout == "['usage', '--since', '7 d']\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_on_a_full_disk_it_still_ends_on_a_release_that_runs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        full = Installed(disk / "i", CONFIRMS)
        full.swap()
        with (disk / "fill").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 512)
            except OSError:
                pass
        (full.releases / "log").unlink(missing_ok=True)
        (full.releases / "log").symlink_to(tmp_path / "log")
        full.start(NOTIFY_SOCKET="@nobody")
        full.until(lambda: (tmp_path / "log").exists())
        assert full.current in {OLD, NEW}
        full.stop()
        full.end()
    finally:
        subprocess.run(["umount", disk], check=True)
