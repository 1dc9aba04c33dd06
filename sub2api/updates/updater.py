"""The walk of an update: check, download, verify, try, back up, swap; then watch what comes of it.

Nothing that runs is touched before the swap. The restart is not ours: the running gateway sees
that `current` points elsewhere and stops gracefully, and `launch` starts what it points at.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sub2api import __version__
from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.settings import Settings
from sub2api.updates import signing, snapshots
from sub2api.updates.installation import Installation
from sub2api.updates.manifest import (
    Artefact,
    Channel,
    Manifest,
    normal,
    order,
    parse_manifest,
    version_of,
)
from sub2api.updates.source import Source
from sub2api.updates.trial import try_release

Step = Literal["check", "download", "verify", "trial", "backup", "swap", "watch", "done"]
_SPARE = 64 << 20
"""Bytes that stay free beside a download."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One piece of news. `done` of `total` bytes while downloading, else 0."""

    step: Step
    text: str
    done: int = 0
    total: int = 0


Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is. `artefact` fits this machine; `newer` tells whether it is an upgrade."""

    running: str
    version: str
    newer: bool
    manifest: Manifest
    artefact: Artefact


class Updater:
    """Updates one installation. `tell` hears of every step, in order."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        source: Source,
        tell: Tell,
        keys: Sequence[bytes] | None = None,
    ) -> None:
        self.installation = Installation(settings.update.directory)
        self._settings = settings
        self._clock = clock
        self._source = source
        self._tell = tell
        self._keys = signing.shipped_keys() if keys is None else keys

    async def check(self, channel: Channel, version: str = "") -> Offer:
        """Return the newest release of a channel, or the one asked for; verified, not fetched."""
        self._tell(Progress("check", "looking for releases"))
        if version:
            wanted = normal(version)
        else:
            versions = await self._source.versions(channel)
            if not versions:
                raise MistakeError(f"there is no release on the {channel} channel")
            wanted = versions[0]
        sums = signing.verify(
            await self._source.file(wanted, "checksums.txt"),
            await self._source.file(wanted, "checksums.txt.sig"),
            self._keys,
        )
        data = await self._source.file(wanted, "release.json")
        manifest = parse_manifest(signing.check(data, "release.json", sums), wanted)
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        machine = platform.machine().lower()
        artefact = manifest.artefact_for(python, platform.system().lower(), machine)
        signing.require(artefact.sha256, artefact.name, sums)
        return Offer(__version__, wanted, order(wanted) > order(__version__), manifest, artefact)

    async def update(self, offer: Offer, *, downgrade: bool = False) -> None:
        """Put an offered release in place, on trial. Raises before anything has changed, or not.

        A release that is older than the running one needs `downgrade`.
        """
        if order(offer.version) < order(__version__) and not downgrade:
            raise MistakeError(
                f"{offer.version} is older than {__version__}, which runs: sub2api rollback goes "
                "back to a release that was here, --downgrade takes this one all the same"
            )
        with self.installation.alone():
            self.installation.current()  # raises where nothing is installed
            if self.installation.pending() is not None:
                raise MistakeError("the last update is still on its trial: wait a minute")
            with _disk(self.installation.releases):
                await self._fetch(offer)
            await self.adopt(offer.artefact.name, offer.version)

    async def adopt(self, name: str, version: str) -> None:
        """Try a verified file that is in `releases`, back up, and make it the current one."""
        self._tell(Progress("trial", f"starting {version} on a copy of the data"))
        database = self._database()
        with _disk(self._settings.data_dir):
            await try_release(self.installation.releases / name, version, self._settings, database)
        if database is not None:
            stamp = f"{version}-{self._clock.today():%Y%m%d-%H%M%S}"
            directory = self._settings.data_dir / "backups"
            backup = await asyncio.to_thread(snapshots.back_up, database, directory, stamp)
            self._tell(Progress("backup", f"database copied to {backup}"))
        with _disk(self.installation.releases):
            await asyncio.to_thread(self.installation.swap, name)
        self._tell(Progress("swap", f"{version} is what the next start runs"))

    async def roll_back(self, version: str = "") -> str:
        """Make an earlier release, still on disk, the current one; return its version."""
        with self.installation.alone():
            if self.installation.pending() is not None and not version:
                return version_of(self.installation.take_back())
            name = self._earlier(version)
            await self.adopt(name, version_of(name))
            return version_of(name)

    async def watch(self, seconds: float) -> None:
        """Wait until the release on trial has stayed, or was taken back: then MistakeError."""
        new = self.installation.current()
        version = version_of(new)
        self._tell(Progress("watch", f"waiting for {version} to prove itself"))
        deadline = self._clock.monotonic() + seconds
        while self._clock.monotonic() < deadline:
            if self.installation.current() != new:
                failed = self.installation.rolled_back()
                why = failed.why if failed is not None else "somebody rolled it back"
                raise MistakeError(
                    f"{version} did not stand its trial ({why}); "
                    f"{version_of(self.installation.current())} runs again"
                )
            if self.installation.pending() is None:
                self._tell(Progress("done", f"{version} runs"))
                return
            await asyncio.sleep(0.5)
        raise MistakeError(
            f"{version} has not proved itself within {seconds:.0f} s. The launcher still watches "
            "it: look at the service's log"
        )

    async def _fetch(self, offer: Offer) -> None:
        """Download and verify; an interrupted download goes on, a damaged one begins anew once."""
        artefact = offer.artefact
        target = self.installation.releases / artefact.name
        if target.exists() and (
            await asyncio.to_thread(signing.sha256_of, target) == artefact.sha256
        ):
            return
        part = target.with_name(f".{artefact.name}.part")
        _require_room(part, artefact.size)
        resumed = part.exists()
        await self._download(offer, part)
        found = await asyncio.to_thread(signing.sha256_of, part)
        if resumed and found != artefact.sha256:
            part.unlink()  # the first half may have been of another file
            await self._download(offer, part)
            found = await asyncio.to_thread(signing.sha256_of, part)
        self._tell(Progress("verify", f"checking {artefact.name}"))
        if found != artefact.sha256:
            part.unlink()
        signing.require(found, artefact.name, {artefact.name: artefact.sha256})
        part.chmod(0o755)
        part.replace(target)

    async def _download(self, offer: Offer, part: Path) -> None:
        artefact = offer.artefact

        def tell(done: int, total: int) -> None:
            self._tell(Progress("download", artefact.name, done, total))

        await self._source.download(offer.version, artefact.name, artefact.size, part, tell)

    def _database(self) -> Path | None:
        """Return the SQLite file, None while there is none."""
        url = self._settings.database.url
        path = Path(url.removeprefix("sqlite:///"))
        return path if url.startswith("sqlite:///") and path.is_file() else None

    def _earlier(self, version: str) -> str:
        current = self.installation.current()
        others = [name for name in self.installation.all() if name != current]
        if version:
            others = [name for name in others if version_of(name) == normal(version)]
        else:
            previous = self.installation.previous()
            older = [n for n in others if order(version_of(n)) < order(version_of(current))]
            others = [previous] if previous in others else older
        if not others or others[0] is None:
            raise MistakeError(
                "that release is not here any more: "
                "sub2api upgrade --version X --downgrade fetches one"
            )
        return others[0]


def _require_room(part: Path, size: int) -> None:
    begun = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(part.parent).free
    if free < size - begun + _SPARE:
        raise MistakeError(
            f"the release needs {(size - begun + _SPARE) >> 20} MB in {part.parent}, and "
            f"{free >> 20} MB are free. Nothing was changed; make room and run it again"
        )


@contextmanager
def _disk(directory: Path) -> Iterator[None]:
    """Turn what a disk or its permissions say into a sentence."""
    try:
        yield
    except OSError as error:
        raise MistakeError(
            f"{directory} does not take it: {error.strerror or error}. What ran still runs"
        ) from error
