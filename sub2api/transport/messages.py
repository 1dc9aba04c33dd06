"""The values that go into the relay's pool and come out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from sub2api.model.accounts import Proxy
from sub2api.transport.url_guard import ParsedUrl

Headers = Sequence[tuple[bytes, bytes]]
"""Header pairs in wire order, names lower-case."""
LaneName = str | int
"""Whose connections a request uses: an account's id, or a name."""


Origin = tuple[str, str, int, Proxy | None]
"""Scheme, host, port and proxy: what a connection can be used again for."""


class Request(msgspec.Struct, frozen=True):
    """One outgoing request. `headers` lacks `host` and framing headers: the pool adds them."""

    method: str
    url: str
    headers: Headers
    body: bytes = b""


class Target(msgspec.Struct, frozen=True):
    """Where requests alike go, and all of their head but the body's length.

    Made once by the pool, sent with one body after the other. `proxied`: the receiver is a proxy
    that forwards (absolute-form), so a 407 is its own answer.
    """

    head: bytes
    url: ParsedUrl
    origin: Origin
    is_head: bool
    bodiless: bool
    proxied: bool


class Deadlines(msgspec.Struct, frozen=True):
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
    """Values as they came: maybe with spaces at their end."""
    fields: dict[bytes, bytes]
    """The first value of each header."""
    idle: float
    """Longest silence in seconds, 0 = no limit; may be changed while the body is read."""

    async def chunk(self) -> bytes:
        """Return the next decoded body bytes (whatever has arrived), b"" at the end.

        Raises TransportError when the body breaks off (`truncated`), stalls (`idle_timeout`) or
        resets. Reading slowly pauses the upstream: at most 256 KiB are held.
        """
        ...

    async def flow(self, take: Callable[[bytes], bool]) -> bool:
        """Give the body to `take` as it arrives; True when `take` returned False, False at the end.

        Raises what `chunk` raises, and what `take` does.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TransportError (`too_large`) past `limit` bytes."""
        ...

    def close(self) -> None:
        """Let go. A connection whose body was not read to its end is closed, not reused."""
        ...
