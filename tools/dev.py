"""Run `sub2api ...` and start it again whenever a source file changes.

python tools/dev.py serve --demo
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

SOURCES = Path(__file__).resolve().parent.parent / "sub2api"
WATCHED = {".py", ".json"}
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10.0

State = frozenset[tuple[Path, int]]


def state() -> State:
    """Return which source files there are, and when each was last changed."""
    found = set()
    for path in SOURCES.rglob("*"):
        if path.suffix in WATCHED:
            try:
                found.add((path, path.stat().st_mtime_ns))
            except FileNotFoundError:
                continue  # an editor's temporary file, gone by now
    return frozenset(found)


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the child: politely, then not."""
    child.terminate()
    try:
        child.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """Make SIGTERM end us as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Watch until interrupted. A child that ended by itself is started at the next change."""
    command = [sys.executable, "-m", "sub2api", *sys.argv[1:]]
    signal.signal(signal.SIGTERM, interrupted)
    seen = state()
    child = subprocess.Popen(command)
    try:
        while True:
            time.sleep(LOOK_SECONDS)
            now = state()
            if now != seen:
                seen = now
                print("The source changed: starting again.", flush=True)
                stop(child)
                child = subprocess.Popen(command)
    except KeyboardInterrupt:
        stop(child)
        return 0


if __name__ == "__main__":
    sys.exit(main())
