"""The journal's files: who owns them, how lines get in, and how a dead process's are taken over.

A segment is `<instance>-<sequence>.journal`, mode 0600. Its owner holds an exclusive `flock` on it
for life, so that an unlocked segment is one whose process died. Segments of one instance belong
together (a call may be opened in one and closed in the next): they are taken over all at once or
not at all. Whoever makes, takes or removes segments holds the directory's own lock for that moment.
Linux and macOS.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sub2api.billing import lines
from sub2api.billing.records import Record

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?P<instance>[0-9A-Za-z_]+)-(?P<sequence>\d{8})\.journal")


@dataclass(eq=False, slots=True)
class Segment:
    """An owned journal file, open for appending.

    `live` are the calls with a record in it that the ledger has not confirmed: while there is one,
    the file stays. `busy` is True while a thread works on it.
    """

    path: Path
    fd: int
    size: int = 0
    live: set[str] = field(default_factory=set)
    busy: bool = False
    alone: tuple[Segment, ...] = ()
    """Itself: the files of a call that has records in this one only."""
    _torn: bool = False

    def __post_init__(self) -> None:
        self.alone = (self,)

    def append(self, data: bytes) -> None:
        """Write whole lines; when this returns they survive the death of the process.

        Raises OSError, with the file as it was before, when they cannot be written.
        """
        if self._torn:
            # Should the repair below fail too, this newline ends the torn line before the next one.
            data = b"\n" + data
        length = len(data)
        try:
            written = os.write(self.fd, data)
            while written < length:
                written += os.write(self.fd, memoryview(data)[written:])
        except OSError:
            self._torn = True
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, self.size)
            raise
        self._torn = False
        self.size += length

    def sync(self) -> None:
        """Wait until the file is on the disk. Blocks: call it in a thread."""
        os.fsync(self.fd)

    def release(self) -> None:
        """Give the file up, but leave it for whoever adopts it."""
        os.close(self.fd)

    def remove(self) -> None:
        """Delete the file. Blocks: call it in a thread."""
        with _directory_lock(self.path.parent):
            self.path.unlink(missing_ok=True)
            os.close(self.fd)


def create(directory: Path, instance: str, sequence: int) -> Segment:
    """Make and lock a new, empty segment. Raises OSError."""
    path = directory / f"{instance}-{sequence:08d}.journal"
    with _directory_lock(directory):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Segment(path, fd)


def claim(directory: Path) -> list[list[Segment]]:
    """Lock every segment that no living process owns; return them by instance, oldest first."""
    with _directory_lock(directory):
        instances: dict[str, list[Path]] = {}
        for path in sorted(directory.iterdir()):
            if match := _NAME.fullmatch(path.name):
                instances.setdefault(match["instance"], []).append(path)
        return [claimed for paths in instances.values() if (claimed := _claim_all(paths))]


def read(segment: Segment) -> tuple[list[Record], int]:
    """Return a segment's records and the number of lines that were damaged.

    A torn last line is what a killed process leaves behind; it is not counted.
    """
    records: list[Record] = []
    damaged = 0
    with segment.path.open("rb") as file:
        for line in file:
            record = lines.decode(line)
            if record is not None:
                records.append(record)
            elif line.endswith(b"\n") and line != b"\n":
                damaged += 1
    return records, damaged


def _claim_all(paths: list[Path]) -> list[Segment]:
    """Lock all of an instance's segments; none if its process lives, or has not quite died yet."""
    claimed: list[Segment] = []
    for path in paths:
        try:
            claimed.append(_claim(path))
        except BlockingIOError:
            _release_all(claimed)
            return []
        except OSError as error:
            log.warning(
                "a journal file cannot be taken over",
                extra={"file": path.name, "reason": error.strerror},
            )
            _release_all(claimed)
            return []
    return claimed


def _claim(path: Path) -> Segment:
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return Segment(path, fd, size=os.fstat(fd).st_size)


def _release_all(segments: list[Segment]) -> None:
    for segment in segments:
        segment.release()


@contextlib.contextmanager
def _directory_lock(directory: Path) -> Iterator[None]:
    fd = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
