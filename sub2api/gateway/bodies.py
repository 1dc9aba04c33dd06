"""Request bodies as clients encode them: plain, gzip, deflate or zstd, within the limit."""

from __future__ import annotations

import zlib

import zstandard

from sub2api.errors import INVALID, OVERLOADED, TOO_LARGE, ClientError

_STEP = 65536
_BUSY_SECONDS = 5.0
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
