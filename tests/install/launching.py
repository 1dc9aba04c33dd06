"""A directory with the launcher and small scripts in the place of releases."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAUNCH = Path(__file__).resolve().parents[2] / "systemd" / "launch"
OLD = "sub2api-1.0.0-cp311-linux_x86_64.pyz"
NEW = "sub2api-1.1.0-cp311-linux_x86_64.pyz"

SERVES = """
import os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[0]).parent
with open(here / "log", "a") as log:
    log.write(f"{pathlib.Path(sys.argv[0]).name} {os.getppid()}\\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
AFTER
while True:
    time.sleep(0.05)
    if os.readlink(here / "current") != pathlib.Path(sys.argv[0]).name:
        sys.exit(0)
"""
CONFIRMS = "(here / 'pending.json').unlink(missing_ok=True)"
CRASHES = "sys.exit(7)"
HANGS = ""
IGNORES_TERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


class Installed:
    """An installation whose releases are scripts; `log` tells which were started, in order."""

    def __init__(self, directory: Path, new: str = CONFIRMS) -> None:
        self.directory = directory
        self.releases = directory / "releases"
        self.releases.mkdir(parents=True)
        shutil.copy(LAUNCH, directory / "launch")
        (directory / "python3.11").symlink_to(sys.executable)
        self.release(OLD, HANGS)
        self.release(NEW, new)
        (self.releases / "current").symlink_to(OLD)
        self.process: subprocess.Popen[str] | None = None

    def release(self, name: str, after: str) -> None:
        (self.releases / name).write_text(SERVES.replace("AFTER", after))

    def swap(self, attempts: int = 0) -> None:
        """Do what an update does."""
        pending = {"new": NEW, "old": OLD, "attempts": attempts}
        (self.releases / "pending.json").write_text(json.dumps(pending, separators=(",", ":")))
        self.point(NEW)

    def point(self, name: str) -> None:
        link = self.releases / "link"
        link.symlink_to(name)
        link.replace(self.releases / "current")

    def start(self, patience: int = 60, **environment: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "SUB2API_TRIAL_SECONDS": str(patience), **environment}
        self.process = subprocess.Popen(
            [str(self.directory / "launch"), "serve"], env=environ, text=True,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        return self.process

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            assert self.process.stderr is not None
            self.process.stderr.close()

    @property
    def current(self) -> str:
        return str((self.releases / "current").readlink())

    @property
    def started(self) -> list[str]:
        log = self.releases / "log"
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    def parent_of_last(self) -> int:
        return int((self.releases / "log").read_text().split()[-1])

    def read(self, name: str) -> Any:
        return json.loads((self.releases / name).read_text())

    def until(self, true: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (self.started, self.current)
            time.sleep(0.05)
