"""The local record of paid work: written before the upstream is called, kept until it is booked.

What `open` has accepted survives `kill -9`: the process may die, the database may be away, and the
call is still booked, once. Writing goes straight from the event loop (microseconds; a thread would
cost a hundred times that); everything else that touches the disk happens in threads. Bounded: when
the journal or the list of unconfirmed closes is full, or the disk is, `open` refuses new paid
work rather than lose money.

One journal per process, made after any fork, used on one event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from sub2api.billing import lines, recovery, segments
from sub2api.billing.records import Close, Open, Progress
from sub2api.billing.recovery import Adopted
from sub2api.billing.segments import Segment
from sub2api.clock import Clock
from sub2api.errors import OVERLOADED, ClientError, SettingsError

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_SECONDS = 1.0
"""Pause after a failed write or rotation before the next try."""


_Entry = tuple[str, bytes, bool]
"""A call's line that is not written yet. When the disk refuses, only those with True (closes) are
kept for the next try."""


class Journal:
    """Open, progress and close records of this process, and the closes nobody has confirmed yet.

    `max_total_bytes` bounds all files held, adopted ones included; `max_pending` bounds the closes
    held in memory (about 2 KB each: 100 MB).
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        max_segment_bytes: int = 8 << 20,
        max_total_bytes: int = 256 << 20,
        max_pending: int = 50_000,
    ) -> None:
        """Make the directory and the first segment. Raises SettingsError if that is impossible."""
        self.directory = directory
        self.instance = clock.new_id()
        self._clock = clock
        self._max_segment_bytes = max_segment_bytes
        self._max_total_bytes = max_total_bytes
        self._max_pending = max_pending
        self._sequence = itertools.count(1)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._active = segments.create(directory, self.instance, next(self._sequence))
        except OSError as error:
            msg = f"the journal directory {directory} cannot be written: {error.strerror}"
            raise SettingsError(msg) from error
        self._held: set[Segment] = {self._active}
        self._total = 0
        self._calls: dict[str, tuple[Segment, ...]] = {}
        self._pending: dict[str, Close] = {}
        self._arrived = asyncio.Event()
        self._buffer: list[_Entry] = []
        self._flush_handle: asyncio.Handle | None = None
        self._background: set[asyncio.Future[Any]] = set()
        self._rotate_at: float = 0.0
        self._failing = False
        self._closed = False

    def open(self, record: Open) -> None:
        """Record that a call is about to be sent upstream; durable against kill -9 on return.

        Raises ClientError (503) when it cannot be recorded: the call must not be made.
        """
        self.opened(record.call_id, lines.encode(record))

    def opened(self, call_id: str, line: bytes) -> None:
        """Do what `open` does with a record that is a line already (`lines.Opening`)."""
        if self._closed or self._full:
            raise self._refusal()
        known = call_id in self._calls
        if not known:
            self._calls[call_id] = ()
        self._buffer.append((call_id, line, False))
        if not self._write():
            if not known:
                del self._calls[call_id]
            raise _refused("The gateway cannot record usage: its disk refuses writes.")

    def progress(self, record: Progress) -> None:
        """Record what a call has used so far; written before the loop turns.

        Dropped when the journal is full: it only matters if the process dies too.
        """
        if self._total < self._max_total_bytes:
            self._later((record.call_id, lines.encode(record), False))

    def close(self, record: Close) -> None:
        """Record that a call has ended; written before the loop turns, pending until confirmed.

        A call that was never opened (refused before any attempt) may be closed as well. A second
        close of the same call is an error of ours: it is logged and changes nothing.
        """
        if record.call_id in self._pending:
            log.error("a call was closed twice", extra={"call": record.call_id})
            return
        record, line = lines.prepare(record)
        self._calls.setdefault(record.call_id, ())
        self._pending[record.call_id] = record
        self._later((record.call_id, line, True))
        if len(self._pending) == 1:
            self._arrived.set()

    @property
    def _full(self) -> bool:
        return self._total >= self._max_total_bytes or len(self._pending) >= self._max_pending

    def _refusal(self) -> ClientError:
        if self._closed:
            return _refused("The gateway is shutting down.")
        return _refused("The gateway's usage journal is full, because usage cannot be saved.")

    def _later(self, entry: _Entry) -> None:
        if self._closed:
            msg = "the journal is closed"
            raise RuntimeError(msg)
        self._buffer.append(entry)
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        if self._buffer and not self._write():
            self._flush_handle = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._flush)

    def _write(self) -> bool:
        """Write the buffer in one go; tell whether the disk took it (if not, closes stay)."""
        active, buffer = self._active, self._buffer
        data = buffer[0][1] if len(buffer) == 1 else b"".join([line for _, line, _ in buffer])
        before = active.size
        try:
            active.append(data)
        except OSError as error:
            self._buffer = [entry for entry in buffer if entry[2]]
            self._changed(failing=True, reason=error.strerror)
            return False
        if self._failing:
            self._changed(failing=False)
        self._total += active.size - before
        calls, alone = self._calls, active.alone
        for call_id, _, _ in buffer:
            if calls.get(call_id) is not alone:
                self._note(call_id, active)
        buffer.clear()
        if active.size >= self._max_segment_bytes:
            self._rotate()
        return True

    def _note(self, call_id: str, active: Segment) -> None:
        """Remember that a file has a call's record: it stays until all of them are confirmed."""
        where = self._calls.get(call_id)
        if where is not None and active not in where:
            self._calls[call_id] = (*where, active) if where else active.alone
            active.live.add(call_id)

    def _changed(self, *, failing: bool, reason: str | None = None) -> None:
        if failing and not self._failing:
            log.error(
                "the journal cannot be written: new calls are refused", extra={"reason": reason}
            )
        elif self._failing and not failing:
            log.warning("the journal can be written again")
        self._failing = failing

    def pending(self, limit: int | None = None) -> list[Close]:
        """Return closes not confirmed yet, oldest first, at most `limit`."""
        return list(itertools.islice(self._pending.values(), limit))

    @property
    def size(self) -> int:
        """How many bytes all files held have."""
        return self._total

    @property
    def backlog(self) -> int:
        """How many closes are not confirmed yet."""
        return len(self._pending)

    async def wait_pending(self) -> None:
        """Return as soon as there is a close to ship."""
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()

    def confirm(self, call_ids: Iterable[str]) -> None:
        """Forget calls that the ledger has for good; files that hold nothing else are deleted."""
        touched: set[Segment] = set()
        for call_id in call_ids:
            self._pending.pop(call_id, None)
            for segment in self._calls.pop(call_id, ()):
                segment.live.discard(call_id)
                touched.add(segment)
        for segment in touched:
            self._drop_if_done(segment)

    async def adopt(self) -> int:
        """Take over the journals of dead processes; return how many closes that added to `pending`.

        Closes are shipped again (the ledger knows what it has already), interrupted calls are
        booked as recovered. Two processes doing this at once share the work: a file has one owner.
        Does nothing while the list of pending closes is full.
        """
        before = self.backlog
        if before < self._max_pending:
            await asyncio.wait(
                [self._in_thread(lambda: recovery.adopt(self.directory), self._adopted)]
            )
        return self.backlog - before

    def _adopted(self, found: asyncio.Future[list[Adopted]]) -> None:
        if error := found.exception():
            log.error("dead processes' journals cannot be adopted", extra={"reason": str(error)})
            return
        for adopted in found.result():
            for segment in adopted.segments:
                self._held.add(segment)
                self._total += segment.size
                segment.live.update(close.call_id for close in adopted.closes)
            for close in adopted.closes:
                held = self._calls.get(close.call_id, ())
                self._calls[close.call_id] = (*held, *adopted.segments)
                self._pending.setdefault(close.call_id, close)
            for segment in adopted.segments:
                self._drop_if_done(segment)
        self._arrived.set()

    async def aclose(self) -> None:
        """Write what is buffered and let go of the files; unconfirmed ones stay for an adopter."""
        self._closed = True
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        if self._buffer and not self._write():
            log.error("closes could not be written at shutdown", extra={"rows": len(self._buffer)})
        while self._background:
            await asyncio.wait(set(self._background))
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        for segment in self._held:
            if segment.live:
                segment.sync()
                segment.release()
            else:
                segment.remove()
        self._held.clear()

    def _rotate(self) -> None:
        if self._clock.monotonic() >= self._rotate_at:
            self._rotate_at = float("inf")
            number = next(self._sequence)
            self._in_thread(
                lambda: segments.create(self.directory, self.instance, number), self._rotated
            )

    def _rotated(self, made: asyncio.Future[Segment]) -> None:
        self._rotate_at = self._clock.monotonic() + _RETRY_SECONDS
        if error := made.exception():
            log.error("the journal cannot start a new file", extra={"reason": str(error)})
            return
        self._rotate_at = 0.0
        full, self._active = self._active, made.result()
        self._held.add(self._active)
        full.busy = True
        self._in_thread(full.sync, lambda synced: self._synced(full, synced))

    def _synced(self, segment: Segment, synced: asyncio.Future[None]) -> None:
        if error := synced.exception():
            log.error("a journal file cannot be synced to disk", extra={"reason": str(error)})
        segment.busy = False
        self._drop_if_done(segment)

    def _drop_if_done(self, segment: Segment) -> None:
        if segment.live or segment.busy or segment is self._active or segment not in self._held:
            return
        self._held.remove(segment)
        self._total -= segment.size
        self._in_thread(segment.remove, self._removed)

    def _removed(self, removed: asyncio.Future[None]) -> None:
        if error := removed.exception():
            # Harmless: whoever adopts the file ships it again, and the ledger ignores what it has.
            log.error("a journal file cannot be deleted", extra={"reason": str(error)})

    def _in_thread(
        self, work: Callable[[], T], done: Callable[[asyncio.Future[T]], None]
    ) -> asyncio.Future[T]:
        """Run blocking work in a thread, then `done` on the loop, also if the caller is gone."""
        future = asyncio.get_running_loop().run_in_executor(None, work)
        self._background.add(future)

        def finished(future: asyncio.Future[T]) -> None:
            self._background.discard(future)
            done(future)

        future.add_done_callback(finished)
        return future


def _refused(sentence: str) -> ClientError:
    message = f"{sentence} Try again later."
    return ClientError(message, status=503, kind=OVERLOADED, retry_after=_RETRY_SECONDS)
