"""Ships closed calls from the journal to the database: in batches, once per call, patiently.

Nothing is lost on the way: a close leaves the journal only after its transaction committed, and the
store ignores a call id it has. A database that is away is waited for. A row that the database will
never take is parked as a file, so that it cannot hold up the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Protocol

import msgspec

from sub2api.billing.journal import Journal
from sub2api.billing.records import Close
from sub2api.clock import Clock
from sub2api.errors import StoreError
from sub2api.store import accounts, api_keys, attempts, bindings, spending, usage
from sub2api.store.database import Database

log = logging.getLogger(__name__)

BATCH_ROWS = 500
LARGE_BATCH_ROWS = 2000
"""A batch's size once more than this waits: a busy process catches up in few transactions."""
BATCH_SECONDS = 0.05
"""A batch is shipped when it is full, or this long after the one before."""

ADOPT_SECONDS = 10.0
_BACKOFF_FIRST = 0.2
_BACKOFF_MOST = 5.0


class UsageSink(Protocol):
    """Where closed calls end up."""

    async def write(self, closes: Sequence[Close]) -> None:
        """Book all of these calls, or none; calls booked before are passed over.

        Raises StoreError: transient, when the same may work later; not transient, when at least
        one of them can never be booked.
        """
        ...


class StoreSink:
    """The database: usage, spending, failed attempts, bindings, last-used times, at one go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, closes: Sequence[Close]) -> None:
        """Book all of these calls, or none. Raises StoreError."""
        # Beside other shippers: each of these statements is safe by itself.
        async with self._database.transaction(alone=False) as connection:
            new = await usage.insert(connection, [close.row for close in closes])
            booked = _first_of_each(closes, new)
            await spending.book(connection, [close.row for close in booked])
            await attempts.insert_many(
                connection, {close.call_id: close.attempts for close in booked if close.attempts}
            )
            await bindings.insert_many(connection, _last_bindings(closes))
            await accounts.touch(
                connection,
                _latest((close.row.account_id, close.row.started_at) for close in closes),
            )
            await api_keys.touch(
                connection, _latest((close.row.key_id, close.row.started_at) for close in closes)
            )


class Shipper:
    """Moves closes from a journal to a sink: `run()` in a task, `drain()` before it is stopped."""

    def __init__(self, journal: Journal, sink: UsageSink, clock: Clock) -> None:
        self._journal = journal
        self._sink = sink
        self._clock = clock
        self._shipping = asyncio.Lock()
        self._backoff = 0.0

    async def run(self) -> None:
        """Ship closes as they come and adopt dead processes' journals, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._adopt_forever())
            tasks.create_task(self._ship_forever())

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109  a whole shutdown's share, not one await
        """Ship everything pending, now; tell whether that was done within `timeout` seconds.

        What is left stays in the journal, for the next start or for another process.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._journal.backlog:
                    await self._ship()
                    await asyncio.sleep(self._backoff)
        except TimeoutError:
            log.warning("usage is left in the journal", extra={"rows": self._journal.backlog})
            return False
        return True

    async def _adopt_forever(self) -> None:
        while True:
            await self._journal.adopt()
            await asyncio.sleep(ADOPT_SECONDS)

    async def _ship_forever(self) -> None:
        while True:
            await self._journal.wait_pending()
            began = self._clock.monotonic()
            await self._ship()
            if self._backoff or self._journal.backlog < BATCH_ROWS:
                rest = BATCH_SECONDS - (self._clock.monotonic() - began)
                await asyncio.sleep(max(self._backoff, rest))

    async def _ship(self) -> None:
        async with self._shipping:
            behind = self._journal.backlog > LARGE_BATCH_ROWS
            batch = self._journal.pending(LARGE_BATCH_ROWS if behind else BATCH_ROWS)
            if not batch:  # shipped by `run` while `drain` waited, or the other way round
                return
            try:
                parked_all = await self._book(batch)
            except Exception as error:  # noqa: BLE001  whatever a driver throws, the journal holds the rows
                self._set_back(error)
            else:
                if parked_all:
                    self._recovered()

    async def _book(self, batch: list[Close]) -> bool:
        """Book a batch; halve it to find rows that can never be booked, and park those.

        Returns False when such a row could not even be parked. Raises StoreError (transient).
        """
        try:
            await self._sink.write(batch)
        except StoreError as error:
            if error.transient:
                raise
            if len(batch) == 1:
                return await self._park(batch[0], error)
            half = len(batch) // 2
            first = await self._book(batch[:half])
            return await self._book(batch[half:]) and first
        self._journal.confirm(close.call_id for close in batch)
        return True

    async def _park(self, close: Close, reason: StoreError) -> bool:
        """Put a row aside as a JSON file for an operator to look at, out of the journal's way."""
        fields = {"call": close.call_id, "reason": str(reason)}
        try:
            await asyncio.to_thread(_write_parked, self._journal.directory / "parked", close)
        except OSError as error:
            log.error("a usage row can neither be saved nor parked", extra=fields)  # noqa: TRY400  the reason is in the fields
            self._set_back(error)
            return False
        log.error("a usage row cannot be saved and was parked", extra=fields)
        self._journal.confirm([close.call_id])
        return True

    def _set_back(self, error: Exception) -> None:
        if not self._backoff:
            log.error("usage cannot be saved, it waits in the journal", exc_info=error)
        self._backoff = min(_BACKOFF_MOST, max(_BACKOFF_FIRST, self._backoff * 2))

    def _recovered(self) -> None:
        if self._backoff:
            log.warning("usage can be saved again")
        self._backoff = 0.0


def _write_parked(directory: Path, close: Close) -> None:
    """Write a close as JSON, whole or not at all. Blocks."""
    directory.mkdir(mode=0o700, exist_ok=True)
    name = re.sub(r"[^0-9A-Za-z_-]", "_", close.call_id)[:100]
    unfinished = directory / f"{name}.tmp"
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(close))
        file.flush()
        os.fsync(fd)
    unfinished.rename(directory / f"{name}.json")


def _first_of_each(closes: Iterable[Close], new: Set[str]) -> list[Close]:
    """Return the closes whose rows were inserted: of these calls, the first close of each."""
    firsts: dict[str, Close] = {}
    for close in closes:
        call_id = close.row.call_id
        if call_id in new:
            firsts.setdefault(call_id, close)
    return list(firsts.values())


def _last_bindings(closes: Iterable[Close]) -> list[bindings.Binding]:
    """Return the bindings of all calls, the last one where an id was bound twice."""
    last = {(each.key_id, each.bound_id): each for close in closes for each in close.bindings}
    return [
        bindings.Binding(each.key_id, each.bound_id, each.account_id, each.expires_at)
        for each in last.values()
    ]


def _latest(uses: Iterable[tuple[int | None, float]]) -> dict[int, float]:
    latest: dict[int, float] = {}
    for used_id, at in uses:
        if used_id is not None:
            latest[used_id] = max(at, latest.get(used_id, at))
    return latest
