"""Streams as the vendors send them, written from their public format descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sub2api.protocols.interface import Dialect, StreamFacts, StreamOptions
from sub2api.protocols.sse import Frames

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def stream_of(wire: str, name: str) -> bytes:
    return (GOLDEN / wire / f"{name}.sse").read_bytes()


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """Every cut into two, and pieces of 1, 7 and 1000 bytes."""
    for size in (1, 7, 1000):
        yield [stream[at : at + size] for at in range(0, len(stream), size)]
    for at in range(len(stream)):
        yield [stream[:at], stream[at:]]


def relay(
    dialect: Dialect, parts: list[bytes], options: StreamOptions | None = None
) -> tuple[bytes, StreamFacts]:
    frames = Frames(1 << 24)
    reader = dialect.open_stream(options or StreamOptions())
    out = b""
    for part in parts:
        block = frames.feed(part)
        if block:
            out += reader.feed(block)
    return out + frames.rest(), reader.facts
