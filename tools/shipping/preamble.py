"""Runs at each start of the one file, after it was unpacked: removes unpacked copies of others.

A copy that a process uses is locked for as long as the process lives, and stays; so do the two
started most recently, for a quick way back. What cannot be written (a read-only cache) is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

KEPT = 2


def hold(copy: Path) -> None:
    """Mark a copy as in use by this process, until it ends: the descriptor stays open."""
    mark = os.open(copy / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(mark, fcntl.LOCK_SH)
    os.utime(mark)


def remove_if_unused(copy: Path) -> None:
    """Remove a copy that no process holds."""
    mark = os.open(copy / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Out of the way in one step: nobody may find half a copy.
        condemned = copy.with_name(f".{copy.name}.gone")
        copy.rename(condemned)
        shutil.rmtree(condemned, ignore_errors=True)
        copy.with_name(f".{copy.name}_lock").unlink(missing_ok=True)
    finally:
        os.close(mark)


def last_start(copy: Path) -> float:
    """Return when a copy was last started, 0 for never."""
    try:
        return (copy / ".in-use").stat().st_mtime
    except OSError:
        return 0.0


def clean(current: Path) -> None:
    """Hold our own copy and remove old ones."""
    hold(current)
    others = [
        each
        for each in current.parent.glob("sub2api-*.pyz_*")
        if each.is_dir() and each != current and not each.name.endswith(".tmp")
    ]
    others.sort(key=last_start, reverse=True)
    for copy in others[KEPT:]:
        with contextlib.suppress(OSError):
            remove_if_unused(copy)


if "site_packages" in globals():  # given by the bootstrap
    with contextlib.suppress(OSError):
        clean(Path(globals()["site_packages"]).parent)
