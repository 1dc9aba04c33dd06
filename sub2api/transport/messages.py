"""The values that go into the relay's pool and come out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]
"""Header pairs in wire order, names lower-case."""


@dataclass(frozen=True, slots=True)
class Request:
    """One outgoing request. `headers` lacks `host` and framing headers: the pool adds them."""

    method: str
    url: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Limits in seconds; 0 switches one off.

    `connect` covers name look-up, proxy and TLS. `first_byte` runs from the request's last byte to
    the response's head. `idle` is the longest silence while a body is read.
    """

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 300.0


class Response(Protocol):
    """An upstream's answer, head received. Exactly one of: read to its end, or `close()`."""

    status: int
    headers: list[tuple[bytes, bytes]]

    async def chunk(self) -> bytes:
        """Return the next decoded body bytes (whatever has arrived), b"" at the end.

        Raises TransportError when the body breaks off (`truncated`), stalls (`idle_timeout`) or
        resets. Reading slowly pauses the upstream: at most 256 KiB are held.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TransportError (`too_large`) past `limit` bytes."""
        ...

    def close(self) -> None:
        """Let go. A connection whose body was not read to its end is closed, not reused."""
        ...
