"""A call and its reply, as both front doors see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from sub2api.gateway.routes import Match

Headers = tuple[tuple[bytes, bytes], ...]
"""Header pairs in wire order, names lower-case."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Call(msgspec.Struct, frozen=True):
    """One client request, complete. `arrived` is Clock.monotonic() at its first byte.

    `headers` are without those that frame the body; `fields` has the first value of each
    (`first_values`). `memo` may keep what follows from the headers alone: it lives as long as
    calls with the same ones come.
    """

    id: str
    match: Match
    method: str
    query: bytes
    headers: Headers
    body: bytes
    client_ip: str
    arrived: float
    fields: dict[bytes, bytes]
    memo: dict[Any, Any]

    def header(self, name: bytes) -> str:
        """Return the first value of a header (lower-case name), "" when absent."""
        value = self.fields.get(name)
        return "" if value is None else value.decode("latin-1").strip()


def without_framing(headers: Headers) -> Headers:
    """Return the headers that say something about the request, not about how it is sent."""
    return tuple([header for header in headers if header[0] not in _FRAMING])


def first_values(headers: Headers) -> dict[bytes, bytes]:
    """Return the first value of each header."""
    return dict(reversed(headers))


class Reply(Protocol):
    """The way back. Whoever serves the call writes the head once, then the body, then the end.

    `started`: the head was written. `gone`: the client has left; writing is pointless then, but
    never an error. `on_gone` is called once, on the loop, at the moment the client leaves.
    """

    started: bool
    gone: bool
    on_gone: Callable[[], None] | None

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Write the head. Exactly once."""
        ...

    def whole(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Write all of a reply: the head with the body's length, the body, the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Write body bytes; waits while the client reads slowly. Returns at once if it is gone."""
        ...

    def push(self, data: bytes) -> bool:
        """Write body bytes without waiting; False when the client is behind (`ready` waits)."""
        ...

    async def ready(self) -> None:
        """Wait until the client has caught up; returns at once if it is gone."""
        ...

    def try_send(self, data: bytes) -> None:
        """Write body bytes if nothing waits to be read; otherwise drop them. For keep-alives."""
        ...

    async def end(self) -> None:
        """Finish the reply properly."""
        ...

    def abort(self) -> None:
        """Cut the connection, so that the client cannot take the reply for complete."""
        ...
