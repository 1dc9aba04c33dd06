"""What is kept of health beyond this process: written in the background, told to the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from sub2api.errors import StoreError
from sub2api.model.health import Cooldown, UsageWindow

log = logging.getLogger(__name__)

CHANNEL = "health"
FLUSH_SECONDS = 0.5
"""At most two writes a second, however many rests begin."""


class Changes(msgspec.Struct, frozen=True):
    """What one flush writes, in one transaction.

    `cooldowns` by (account, model), the last of each. `out_of_use` is the message of accounts whose
    status becomes `error`.
    """

    cooldowns: tuple[Cooldown, ...] = ()
    windows: dict[int, tuple[UsageWindow, ...]] = {}
    out_of_use: dict[int, str] = {}


class Records(Protocol):
    """Where health survives a restart. All of them may raise StoreError."""

    async def cooldowns(self) -> Sequence[Cooldown]:
        """Return all rests that are stored."""
        ...

    async def windows(self) -> Mapping[int, tuple[UsageWindow, ...]]:
        """Return the usage windows of all accounts, by account id."""
        ...

    async def save(self, changes: Changes) -> None:
        """Write changes in one transaction."""
        ...


class Wire(Protocol):
    """What is needed of live state: telling all processes."""

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell every process, this one included."""
        ...

    def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with every message from now on."""
        ...


class News(msgspec.Struct, frozen=True):
    """What one process tells the others of rests. `origin` names the process."""

    origin: str
    cooldowns: tuple[Cooldown, ...] = ()
    out_of_use: tuple[Cooldown, ...] = ()


class Writer:
    """The one writer of a process: gathers changes, tells them, then saves them.

    What cannot be saved is tried again with what has come since; a rest that is never saved is
    only forgotten by a restart.
    """

    def __init__(self, records: Records, wire: Wire, origin: str) -> None:
        self._records = records
        self._wire = wire
        self._origin = origin
        self._something = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._cooldowns: dict[tuple[int, str], Cooldown] = {}
        self._windows: dict[int, tuple[UsageWindow, ...]] = {}
        self._out_of_use: dict[int, str] = {}
        self._untold: list[Cooldown] = []
        self._untold_out: list[Cooldown] = []
        self._failing = False

    def rest(self, row: Cooldown) -> None:
        """Save and tell a rest, or its end."""
        self._cooldowns[row.account_id, row.model] = row
        self._untold.append(row)
        self._something.set()

    def out_of_use(self, row: Cooldown) -> None:
        """Set the account's status to `error`, and tell it."""
        self._out_of_use[row.account_id] = row.detail
        self._untold_out.append(row)
        self._something.set()

    def windows(self, account_id: int, windows: tuple[UsageWindow, ...]) -> None:
        """Save an account's windows."""
        self._windows[account_id] = windows
        self._something.set()

    async def run(self) -> None:
        """Write as changes come, until cancelled."""
        while True:
            await self._something.wait()
            await self.flush()
            await asyncio.sleep(FLUSH_SECONDS)

    async def flush(self) -> None:
        """Tell and save everything that is pending, now."""
        async with self._flushing:
            self._something.clear()
            await self._tell()
            changes = Changes(tuple(self._cooldowns.values()), self._windows, self._out_of_use)
            if not (changes.cooldowns or changes.windows or changes.out_of_use):
                return
            self._cooldowns, self._windows, self._out_of_use = {}, {}, {}
            try:
                await self._save(changes)
            except asyncio.CancelledError:
                self._put_back(changes)
                raise
            except Exception as error:  # noqa: BLE001  whatever a driver throws, the rests are still felt here
                self._put_back(changes)
                self._note_failure(error)
            else:
                self._failing = False

    async def _save(self, changes: Changes) -> None:
        """Save changes together; one by one if there is something the store never takes.

        Raises StoreError (transient) and whatever else may pass: all of them can be tried again.
        """
        try:
            await self._records.save(changes)
        except StoreError as error:
            if error.transient:
                raise
            parts = _single(changes)
            if len(parts) < 2:
                log.exception("the health of an account can never be saved")
                return
            for part in parts:
                await self._save(part)

    async def _tell(self) -> None:
        rests, out = tuple(self._untold), tuple(self._untold_out)
        if not rests and not out:
            return
        self._untold, self._untold_out = [], []
        try:
            await self._wire.publish(CHANNEL, msgspec.json.encode(News(self._origin, rests, out)))
        except Exception:  # others find it in the store, or find out for themselves
            log.exception("rests could not be told to other processes")

    def _put_back(self, changes: Changes) -> None:
        """Keep what was not saved, below what has come since."""
        for row in changes.cooldowns:
            self._cooldowns.setdefault((row.account_id, row.model), row)
        self._windows = {**changes.windows, **self._windows}
        self._out_of_use = {**changes.out_of_use, **self._out_of_use}
        self._something.set()

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            log.error("the health of accounts cannot be saved, it is tried again", exc_info=error)
        self._failing = True


def _single(changes: Changes) -> list[Changes]:
    """Return the same changes, one at a time."""
    return [
        *(Changes(cooldowns=(row,)) for row in changes.cooldowns),
        *(Changes(windows={each: windows}) for each, windows in changes.windows.items()),
        *(Changes(out_of_use={each: message}) for each, message in changes.out_of_use.items()),
    ]
