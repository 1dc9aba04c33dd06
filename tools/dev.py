"""Run `sub2api ...` and start it again whenever a source file changes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "sub2api"
PATIENCE_SECONDS = 10.0


def newest() -> float:
    """Return when a source file was last changed."""
    return max(path.stat().st_mtime for path in SOURCES.rglob("*.py"))


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the child: politely, then not."""
    child.terminate()
    try:
        child.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main() -> int:
    """Watch until interrupted."""
    command = [sys.executable, "-m", "sub2api", *sys.argv[1:]]
    seen = newest()
    child = subprocess.Popen(command)
    try:
        while True:
            time.sleep(0.5)
            if newest() <= seen:
                continue
            seen = newest()
            print("source changed: restarting", flush=True)
            stop(child)
            child = subprocess.Popen(command)
    except KeyboardInterrupt:
        stop(child)
        return 0


if __name__ == "__main__":
    sys.exit(main())
