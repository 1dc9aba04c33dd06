"""A response while its body is read: what has arrived, what is missing, and what went wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from sub2api.errors import TransportError
from sub2api.transport.decoders import DECODING_ERRORS, Decoder, decoder_for

HIGH_WATER = 131072
"""Bytes held from which on the upstream is not read any more."""
LOW_WATER = 32768
"""Bytes held below which it is read again."""


class Wire(Protocol):
    """What a response needs of its connection."""

    async def wait(self, response: PooledResponse, seconds: float, cause: str) -> None:
        """Wait until something happened to the response; at most `seconds`, 0 = for ever."""
        ...

    def caught_up(self, response: PooledResponse) -> None:
        """Read on."""
        ...

    def abandon(self, response: PooledResponse) -> None:
        """Nobody wants the rest."""
        ...


class PooledResponse:
    """See `messages.Response`. Filled by its connection, owned by one reader.

    `status` is 0 until the head has arrived. `error` is set when the rest will not come; what
    arrived before can still be read.
    """

    # On the class what most responses never set: there is one for each call.
    status = 0
    complete = False
    error: TransportError | None = None
    held = 0
    """Bytes received and not yet read (or decoded)."""
    _decoder: Decoder | None = None
    _decoded: Iterator[bytes] = iter(())
    _seen = False
    sink: Callable[[bytes], bool] | None = None
    """Where what arrives goes at once, while the reader of `flow` sleeps."""
    _behind = False
    _failure: Exception | None = None

    def __init__(self, wire: Wire, idle: float) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}
        self.idle = idle
        self._wire = wire
        self._chunks: deque[bytes] = deque()

    # What the reader calls.

    async def flow(self, take: Callable[[bytes], bool]) -> bool:
        """Give the body to `take` as it arrives, without waking the reader's task each time.

        Returns True when `take` returned False (whoever it writes to is behind): call again once
        that has changed. Returns False at the end. What `take` raises is raised here.
        """
        while True:
            while data := self._take() if self._decoder is None else self._decode():
                if not take(data):
                    return True
            if self.error is not None:
                raise self.error
            if self.complete:
                self._check_decoded()
                return False
            self.sink = take if self._decoder is None else None
            try:
                await self._wire.wait(self, self.idle, "idle_timeout")
            finally:
                self.sink = None
            if self._failure is not None:
                raise self._failure
            if self._behind:
                self._behind = False
                return True

    async def chunk(self) -> bytes:
        """Return the next decoded bytes, b"" at the end."""
        while True:
            if data := self._take() if self._decoder is None else self._decode():
                return data
            if self.error is not None:
                raise self.error
            if self.complete:
                self._check_decoded()
                return b""
            await self._wire.wait(self, self.idle, "idle_timeout")

    async def read(self, limit: int) -> bytes:
        """Return the whole body, `limit` bytes at most."""
        if self.complete and self._decoder is None and self.held <= limit:
            return self._take()
        parts: list[bytes] = []
        size = 0
        while data := await self.chunk():
            size += len(data)
            if size > limit:
                self.close()
                raise TransportError(
                    f"the upstream's body is larger than {limit} bytes",
                    cause="too_large",
                    sent=True,
                )
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of the body, and of the connection unless the body came to its end."""
        if not self.complete:
            self.fail(TransportError("the response was closed", cause="reset", sent=True))
            self._wire.abandon(self)
        if self.held or self._decoder is not None:
            self._drop()

    # What the connection calls.

    def begin(
        self, status: int, headers: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]
    ) -> None:
        """The head has arrived. Raises TransportError for an encoding that nobody can read."""
        if b"content-encoding" in fields:
            self._decoder = decoder_for(fields[b"content-encoding"].decode("latin-1").strip(" \t"))
            if self._decoder is not None:
                ended = (b"content-encoding", b"content-length")
                headers = [pair for pair in headers if pair[0] not in ended]
        self.status = status
        self.headers = headers
        self.fields = fields

    def push(self, data: bytes) -> bool:
        """Body bytes have arrived. Returns whether the reader keeps up."""
        self._chunks.append(data)
        self.held += len(data)
        return self.held < HIGH_WATER

    def pour(self, data: bytes) -> bool:
        """Body bytes have arrived while there is a `sink`: they go on at once, the reader sleeps.

        Returns False if it must wake: who takes them is behind, or failed.
        """
        sink = self.sink
        try:
            if sink is not None and sink(data):
                return True
            self._behind = True
        except Exception as error:  # noqa: BLE001  the reader's own, raised where it waits
            self._failure = error
        self.sink = None
        return False

    def finish(self) -> None:
        """The body is complete."""
        self.complete = True

    def fail(self, error: TransportError) -> None:
        """The rest will not come."""
        if not self.complete and self.error is None:
            self.error = error

    def _take(self) -> bytes:
        """Return all that has arrived, joined."""
        if not self._chunks:
            return b""
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self.held = 0
        self._wire.caught_up(self)
        return data

    def _decode(self) -> bytes:
        """Return the next decoded bytes, b"" when they need more than has arrived."""
        try:
            while True:
                if plain := next(self._decoded, b""):
                    return plain
                if not self._chunks or self._decoder is None:
                    return b""
                # One at a time: what waits encoded counts as held.
                data = self._chunks.popleft()
                self._seen = True
                self._decoded = self._decoder.decode(data)
                self.held -= len(data)
                if self.held < LOW_WATER:
                    self._wire.caught_up(self)
        except DECODING_ERRORS:
            error = TransportError(
                "the body does not match its content-encoding", cause="protocol", sent=True
            )
            self._broken(error)
            raise error from None

    def _check_decoded(self) -> None:
        if self._decoder is not None and self._seen and not self._decoder.complete:
            error = TransportError("the compressed body broke off", cause="truncated", sent=True)
            self._broken(error)
            raise error

    def _broken(self, error: TransportError) -> None:
        """Give the body up; reading again tells the same error."""
        self._wire.abandon(self)
        self._drop()
        self.complete = False
        self.error = error

    def _drop(self) -> None:
        self._chunks.clear()
        self._decoded = iter(())
        self.held = 0
