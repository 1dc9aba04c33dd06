"""Response bodies that a vendor compressed although asked not to, decoded step by step.

Every step's output is bounded, so that a small body cannot become a large allocation.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli
import zstandard

from sub2api.errors import TransportError

_STEP = 65536
_ZSTD_SLICE = 256
"""zstandard cannot bound its output; input this small yields at most 8 MiB (RLE blocks)."""


class Decoder(Protocol):
    """Decodes one body."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` adds to the plain body, in bounded pieces."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the compressed body has come to its own end."""
        ...


class _Zlib:
    def __init__(self, window: int) -> None:
        self._inflate = zlib.decompressobj(window)

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            plain = self._inflate.decompress(data, _STEP)
            data = self._inflate.unconsumed_tail
            if plain:
                yield plain
            elif not data or self._inflate.eof:
                return

    @property
    def complete(self) -> bool:
        return self._inflate.eof


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decode(self, data: bytes) -> Iterator[bytes]:
        plain = self._decompressor.process(data, output_buffer_limit=_STEP)
        while plain:
            yield plain
            plain = self._decompressor.process(b"", output_buffer_limit=_STEP)

    @property
    def complete(self) -> bool:
        return bool(self._decompressor.is_finished())


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            if self._decompressor.eof:
                return
            plain = self._decompressor.decompress(data[start : start + _ZSTD_SLICE])
            if plain:
                yield plain

    @property
    def complete(self) -> bool:
        return bool(self._decompressor.eof)


DECODING_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError)


def decoder_for(encoding: str) -> Decoder | None:
    """Return a decoder for a content-encoding, None for a plain body.

    Raises TransportError (`protocol`) for an encoding nobody asked for and we cannot read.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case _:
            pass
    raise TransportError(
        "the upstream sent an unreadable content-encoding", cause="protocol", sent=True
    )
