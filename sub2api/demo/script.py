"""What the scripted vendor can be told to do with a credential's next calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Before = Literal["head", "first_event"]


@dataclass(frozen=True, slots=True)
class Play:
    """Generate an answer, with these deviations from a good vendor's.

    `text` replaces the friendly default; `usage` overrides members of the vendor's usage object;
    `service_tier` is what the reply reports. `delay` is the pause before each event in seconds.
    `stall_before` or `stall_after` (that many events) goes silent for ever; `cut_after` ends the
    connection there, politely (`fin`) or not (`rst`); `error_after` sends the vendor's error event
    there and ends. `terminal` False leaves the final event out. `huge` is the size of one more
    event's text. `chunks` > 0 writes the body in pieces of that many bytes. `encoding` compresses.
    `bytes_per_second` > 0 writes slowly. `wrong_length` promises more than is sent.
    """

    text: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    service_tier: str = ""
    delay: float = 0.0
    stall_before: Before | None = None
    stall_after: int | None = None
    cut_after: int | None = None
    cut_how: Literal["fin", "rst"] = "fin"
    error_after: int | None = None
    terminal: bool = True
    huge: int = 0
    chunks: int = 0
    encoding: Literal["", "gzip", "br", "zstd"] = ""
    bytes_per_second: int = 0
    wrong_length: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a status, in the vendor's error shape unless `body` says otherwise."""

    status: int
    body: bytes | None = None
    message: str = "scripted refusal"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Raw:
    """Write these bytes instead of a reply, then close: garbage, HTML pages, broken framing."""

    data: bytes
    reset: bool = False


Step = Play | Refuse | Raw


def html(status: int = 200) -> Raw:
    """Return a page where JSON is expected: what a broken middlebox answers."""
    page = b"<html><body>It works!</body></html>"
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\n\r\n"
    return Raw(head.encode() + page)


def empty_stream() -> Raw:
    """Return a stream that ends before it begins."""
    return Raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        b"0\r\n\r\n"
    )


def redirect(location: str) -> Refuse:
    """Return a redirect elsewhere, which must not be followed."""
    return Refuse(302, b"", headers=(("location", location),))
