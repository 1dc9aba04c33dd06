"""Request bodies: as clients encode them, within the limits, and what a large one says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import zstandard

from sub2api.errors import INVALID, OVERLOADED, TOO_LARGE, ClientError

_STEP = 65536
_BUSY_SECONDS = 5.0
LARGE = 4 << 20
"""Bytes from which on a body is looked at by its `outline`."""
_LONG_STRING = 1024
_MOST_STRINGS = 100_000
_STRINGS_AT_ONCE = 4096
_LOOK = 16 << 20
_SWEEP = 2 << 20
_INSIDE = re.compile(rb'(?>[^"\\]+|\\.)*+', re.DOTALL)
"""What a string goes on with, up to its end."""
BULK = 1 << 20
"""Bytes from which on a body's parts are joined beside the loop."""
_BACKGROUND = 10
PACE_SECONDS = 30.0
PACE_BYTES = 16384


class Pace:
    """How fast a body must come: at least 16 KiB in every 30 seconds, or be complete.

    `deadline` is the moment (on the clock of `now`) at which a client is too slow.
    """

    def __init__(self, now: float) -> None:
        self.deadline = now + PACE_SECONDS
        self._got = 0

    def got(self, count: int, now: float) -> float:
        """Bytes have come; return the deadline that holds now."""
        self._got += count
        if self._got >= PACE_BYTES:
            self._got = 0
            self.deadline = now + PACE_SECONDS
        return self.deadline


class Budget:
    """How many bytes of request bodies the process holds, all clients together.

    Small ones that arrive at once are not counted: connections are limited already.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit
        self._joiner: ThreadPoolExecutor | None = None

    def take(self, count: int) -> None:
        """Bytes have come. Raises ClientError 503 when that is too much; they count even so."""
        self.held += count
        if self.held > self._limit:
            raise ClientError(
                "The gateway is receiving too many large requests at once. Try again shortly.",
                status=503,
                kind=OVERLOADED,
                retry_after=_BUSY_SECONDS,
            )

    def give(self, count: int) -> None:
        """Bytes are not held any more."""
        self.held -= count

    async def gathered(self, parts: list[bytes]) -> bytes:
        """Join a body's parts; those of a large one beside the loop, and the list is emptied.

        Raises ClientError 503 when there is no room for the copy.
        """
        size = sum(map(len, parts))
        if size < BULK:
            return b"".join(parts)
        if self._joiner is None:
            self._joiner = ThreadPoolExecutor(1, "joiner", _give_way)
        try:
            self.take(size)
            return await asyncio.get_running_loop().run_in_executor(self._joiner, _joined, parts)
        finally:
            self.give(size)


def _joined(parts: list[bytes]) -> bytes:
    """Join parts, emptying the list one by one: freeing many at once would hold the interpreter."""
    body = b"".join(parts)
    while parts:
        parts.pop()
    return body


def _give_way() -> None:
    """Let the event loop go first: copying 100 MB would take its core for a tenth of a second."""
    if sys.platform != "linux":
        return  # elsewhere a thread has no priority of its own
    own = threading.get_native_id()
    # A sandbox may forbid it: then the copy is a rival of the loop, but it is made.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + _BACKGROUND)


async def outline(body: bytes) -> bytes:
    """Return a large JSON body without what makes it large: its long strings emptied.

    What the gateway asks of a body stands in short ones. Decoding 100 MB would hold everybody else
    up for a tenth of a second; this looks at it in slices. A body of very many strings is left as
    it is from there on.
    """
    kept: list[bytes] = []
    copied = 0
    quote = await _quote(body, 0)
    for count in range(_MOST_STRINGS):
        start = quote + 1
        end = await _string_end(body, start) if quote >= 0 else -1
        if end < 0:
            break
        if end - start > _LONG_STRING:
            kept.append(body[copied:start])
            copied = end
        quote = await _quote(body, end + 1)
        if count % _STRINGS_AT_ONCE == _STRINGS_AT_ONCE - 1:
            await asyncio.sleep(0)
    if not kept:
        return body  # a copy of it would be as large
    kept.append(body[copied:])
    return b"".join(kept)


async def _quote(body: bytes, at: int) -> int:
    """Return where the next quote stands, -1 for nowhere."""
    quote = -1
    while quote < 0 and at < len(body):
        quote = body.find(b'"', at, at + _LOOK)
        at += _LOOK
        if quote < 0:
            await asyncio.sleep(0)
    return quote


async def _string_end(body: bytes, start: int) -> int:
    """Return where the quote stands that ends a string, -1 for nowhere."""
    at = start
    while at < len(body):
        end = body.find(b'"', at, at + _LOOK)
        if end < 0:
            at += _LOOK
            await asyncio.sleep(0)
        elif _backslashes(body, start, end) % 2 == 0:
            return end
        else:
            # Where there is one escape there are many, as a rule: all of them in one sweep.
            inside = _INSIDE.match(body, end + 1, end + 1 + _SWEEP)
            at = inside.end() if inside is not None else end + 1
            if at >= end + _SWEEP:
                await asyncio.sleep(0)
    return -1


def _backslashes(body: bytes, start: int, end: int) -> int:
    """Return how many backslashes stand before `end`."""
    width = 64
    while True:
        before = body[max(start, end - width) : end]
        count = len(before) - len(before.rstrip(b"\\"))
        if count < width or len(before) < width:
            return count
        width *= 16


def too_large(limit: int) -> ClientError:
    """Return the refusal of a body over `limit` bytes."""
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
    return ClientError(
        f"The request body is too large: the limit is {size} after decompression.",
        status=413,
        kind=TOO_LARGE,
        retry_helps=False,
    )


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the plain body. Raises ClientError: 400 undecodable, 413 too large, 415 unknown."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        plain = body
    elif name in {"gzip", "x-gzip"}:
        plain = _inflate(body, 31, limit)
    elif name == "deflate":
        plain = _inflate(body, 15, limit)
    elif name == "zstd":
        plain = _unzstd(body, limit)
    else:
        raise ClientError(
            f"content-encoding {name[:40]!r} is not served: use identity, gzip, deflate or zstd.",
            status=415,
        )
    if len(plain) > limit:
        raise too_large(limit)
    return plain


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    decoder = zlib.decompressobj(window)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise _undecodable() from None
    if len(plain) <= limit and (not decoder.eof or decoder.unused_data):
        raise _undecodable()
    return plain


def _unzstd(body: bytes, limit: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body)
    parts: list[bytes] = []
    size = 0
    try:
        while size <= limit:
            piece = reader.read(_STEP)
            if not piece:
                break
            parts.append(piece)
            size += len(piece)
    except zstandard.ZstdError:
        raise _undecodable() from None
    return b"".join(parts)


def _undecodable() -> ClientError:
    return ClientError(
        "The request body cannot be decompressed: it does not match its content-encoding.",
        status=400,
        kind=INVALID,
    )
