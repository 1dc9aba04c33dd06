"""kill -9 at every step of a swap: the next start always runs a whole release."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.install.launching import CONFIRMS, NEW, OLD, Installed

SWAP = """
import os, signal, sys
from pathlib import Path
from sub2api.updates.installation import Installation
steps = int(sys.argv[2])
def hook(event, arguments):
    # Whatever touches the disk: opening (also of directories, for fsync), renames, links, removals.
    global steps
    if event in {"open", "os.rename", "os.symlink", "os.remove"} and DIRECTORY in str(arguments):
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps -= 1
DIRECTORY = sys.argv[1]
sys.addaudithook(hook)
Installation(Path(DIRECTORY)).ACTION
"""


def cut(installed: Installed, action: str, steps: int) -> bool:
    """Do it in a process that dies before disk step `steps`; return whether it came to its end."""
    code = SWAP.replace("ACTION", action)
    command = [sys.executable, "-c", code, str(installed.directory), str(steps)]
    done = subprocess.run(command, check=False).returncode
    assert done in {0, -signal.SIGKILL}
    return done == 0


def run_through(tmp_path: Path, action: str, *, swapped: bool) -> set[str]:
    """Kill at each step in turn; return which releases were run afterwards."""
    ran = set()
    for steps in range(100):
        installed = Installed(tmp_path / str(steps), CONFIRMS)
        if swapped:
            installed.swap()
        ended = cut(installed, action, steps)
        installed.start(NOTIFY_SOCKET="@nobody")
        installed.until(lambda installed=installed: installed.started)
        (first,) = installed.started
        installed.until(
            lambda installed=installed: not (installed.releases / "pending.json").exists()
        )
        assert installed.current == first
        installed.end()
        ran.add(first)
        if ended:
            assert steps >= 2
            return ran
    raise AssertionError("it never came to its end")


def test_at_each_step_of_a_swap(tmp_path: Path) -> None:
    assert run_through(tmp_path, f"swap('{NEW}')", swapped=False) == {OLD, NEW}


def test_at_each_step_of_taking_it_back(tmp_path: Path) -> None:
    assert run_through(tmp_path, "take_back()", swapped=True) == {OLD, NEW}


def test_at_each_step_of_a_confirmation(tmp_path: Path) -> None:
    assert run_through(tmp_path, "confirm()", swapped=True) == {NEW}
