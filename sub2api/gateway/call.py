"""A call and its reply, as both front doors see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from sub2api.gateway.routes import Match

Headers = tuple[tuple[bytes, bytes], ...]
"""Header pairs in wire order, names lower-case."""


@dataclass(frozen=True, slots=True)
class Call:
    """One client request, complete. `arrived` is Clock.monotonic() at its first byte."""

    id: str
    match: Match
    method: str
    query: bytes
    headers: Headers
    body: bytes
    client_ip: str
    arrived: float

    def header(self, name: bytes) -> str:
        """Return the first value of a header (lower-case name), "" when absent."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1").strip()
        return ""


class Reply(Protocol):
    """The way back. Whoever serves the call writes the head once, then the body, then the end.

    `started`: the head was written. `gone`: the client has left; writing is pointless then, but
    never an error. `on_gone` is called once, on the loop, at the moment the client leaves.
    """

    started: bool
    gone: bool
    on_gone: Callable[[], None] | None

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Write the head. Exactly once."""
        ...

    async def send(self, data: bytes) -> None:
        """Write body bytes; waits while the client reads slowly. Returns at once if it is gone."""
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
