"""An installation on disk, and the one step that changes which release runs.

    DIRECTORY/launch            starts releases/current; a shell script, never updated by itself
    DIRECTORY/releases/
        sub2api-1.2.3-....pyz   the last few releases
        current                 link to the one that runs
        previous                link to the one before
        pending.json            {new, old, attempts} while `new` has still to prove itself
        rolled-back.json        {new, old, why} of the last one that did not

`launch` reads and writes these too: change both together. A power cut between any two steps of
`swap` leaves a release that runs: `pending.json` counts only when `current` is its `new`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from sub2api.errors import MistakeError
from sub2api.updates.manifest import is_release_file, order, version_of

T = TypeVar("T")
KEPT = 3
"""Releases that stay on disk."""


class Pending(msgspec.Struct, frozen=True):
    """A release on trial: names of files, and how often it was started."""

    new: str
    old: str
    attempts: int = 0


class RolledBack(msgspec.Struct, frozen=True):
    """A release that did not stand its trial."""

    new: str
    old: str
    why: str


@dataclass(frozen=True, slots=True)
class Installation:
    """The installation in `directory`."""

    directory: Path

    @property
    def releases(self) -> Path:
        """Where the releases are."""
        return self.directory / "releases"

    def current(self) -> str:
        """Return the file name of the release that runs. Raises MistakeError without one."""
        return self._pointed("current") or self._none()

    def previous(self) -> str | None:
        """Return the one before, None when it is gone."""
        return self._pointed("previous")

    def all(self) -> list[str]:
        """Return the releases on disk, newest version first."""
        names = [each.name for each in self.releases.glob("sub2api-*.pyz")]
        found = (name for name in names if is_release_file(name))
        return sorted(found, key=lambda name: order(version_of(name)), reverse=True)

    def pending(self) -> Pending | None:
        """Return the release on trial, None without one."""
        found = self._read("pending.json", Pending)
        return found if found is not None and found.new == self._pointed("current") else None

    def rolled_back(self) -> RolledBack | None:
        """Return the last release that did not stand its trial."""
        return self._read("rolled-back.json", RolledBack)

    def swap(self, new: str) -> None:
        """Make `new`, a file in `releases`, what the next start runs, on trial.

        Raises MistakeError when it is not there, OSError when the disk says no.
        """
        if not is_release_file(new) or not (self.releases / new).is_file():
            raise MistakeError(f"{new} is not in {self.releases}")
        old = self.current()
        (self.releases / "rolled-back.json").unlink(missing_ok=True)
        self._write("pending.json", msgspec.json.encode(Pending(new, old)))
        self._point("previous", old)
        self._point("current", new)

    def take_back(self) -> str:
        """End a trial by pointing at the old release again; return its name."""
        pending = self.pending()
        if pending is None:
            raise MistakeError("no release is on trial")
        self._point("current", pending.old)
        (self.releases / "pending.json").unlink(missing_ok=True)
        return pending.old

    def confirm(self) -> None:
        """The release on trial has proved itself; older ones than the last few are removed."""
        (self.releases / "pending.json").unlink(missing_ok=True)
        self._sync()
        stays = {self._pointed("current"), self._pointed("previous")}
        others = [name for name in self.all() if name not in stays]
        for name in others[max(0, KEPT - len(stays)) :]:
            (self.releases / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep everybody else from updating. Raises MistakeError when somebody is at it."""
        try:
            lock = os.open(self.releases / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise MistakeError(
                f"{self.releases} cannot be written ({error.strerror}): run this as its owner"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise MistakeError("another update is running: wait for its end") from None
        finally:
            os.close(lock)

    def _none(self) -> str:
        raise MistakeError(
            f"{self.releases}/current names no release, so nothing is installed there: "
            "update the way it was installed (git pull, docker pull, pipx), or run install.sh"
        )

    def _pointed(self, link: str) -> str | None:
        try:
            name = str((self.releases / link).readlink())
        except OSError:
            return None
        return name if is_release_file(name) and (self.releases / name).is_file() else None

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode((self.releases / name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def _write(self, name: str, data: bytes) -> None:
        part = self.releases / f".{name}.part"
        with part.open("wb") as file:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.releases / name)
        self._sync()

    def _point(self, link: str, name: str) -> None:
        part = self.releases / f".{link}.part"
        part.unlink(missing_ok=True)
        part.symlink_to(name)
        part.replace(self.releases / link)
        self._sync()

    def _sync(self) -> None:
        directory = os.open(self.releases, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
