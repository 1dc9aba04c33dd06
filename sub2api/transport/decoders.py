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
_ZSTD_SLICE = 32
"""zstandard cannot bound its output. A block takes 4 bytes at least and gives 128 KiB at most, so
this much input yields 1.2 MiB at most."""
_ZSTD_WINDOW = 8 << 20
"""The largest window that HTTP allows (RFC 9659); the decoder's memory follows it."""


class Decoder(Protocol):
    """Decodes one body."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` adds to the plain body, in bounded pieces, none of them empty."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the compressed body has come to its own end."""
        ...


class _Gzip:
    """RFC 1952, with several members after each other as it allows."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(31)
            plain = self._inflate.decompress(data, _STEP)
            data = self._inflate.unused_data or self._inflate.unconsumed_tail
            if plain:
                yield plain
        yield from _held_back(self._inflate)

    @property
    def complete(self) -> bool:
        return self._inflate.eof


class _Deflate:
    """RFC 1950 as the standard says, or RFC 1951 without its wrapping, as some servers send it."""

    def __init__(self) -> None:
        self._inflate: zlib._Decompress | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None and data:
            wrapped = data[0] & 0x0F == 8 and data[0] >> 4 <= 7
            self._inflate = zlib.decompressobj(15 if wrapped else -15)
        inflate = self._inflate
        while inflate is not None and data:
            if inflate.eof:
                raise zlib.error("data after the end")
            plain = inflate.decompress(data, _STEP)
            data = inflate.unused_data or inflate.unconsumed_tail
            if plain:
                yield plain
        if inflate is not None:
            yield from _held_back(inflate)

    @property
    def complete(self) -> bool:
        return self._inflate is not None and self._inflate.eof


def _held_back(inflate: zlib._Decompress) -> Iterator[bytes]:
    """Yield output that zlib still owes although it has taken all input."""
    while not inflate.eof and (plain := inflate.decompress(b"", _STEP)):
        yield plain


class _Brotli:
    """RFC 7932."""

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
    """RFC 8878, with several frames after each other as it allows."""

    def __init__(self) -> None:
        self._frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._frames.decompressobj()

    def decode(self, data: bytes) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = 0
        for start in range(0, len(data), _ZSTD_SLICE):
            for plain in self._slice(data[start : start + _ZSTD_SLICE]):
                parts.append(plain)
                size += len(plain)
            if size >= _STEP:
                yield b"".join(parts)
                parts, size = [], 0
        if size:
            yield b"".join(parts)

    def _slice(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._frame.eof:
                self._frame = self._frames.decompressobj()
            yield self._frame.decompress(data)
            data = self._frame.unused_data if self._frame.eof else b""

    @property
    def complete(self) -> bool:
        return bool(self._frame.eof)


DECODING_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError)


def decoder_for(encoding: str) -> Decoder | None:
    """Return a decoder for a content-encoding, None for a plain body.

    Raises TransportError (`protocol`) for an encoding nobody asked for and we cannot read.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Gzip()
        case "deflate":
            return _Deflate()
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case _:
            pass
    raise TransportError(
        "the upstream sent an unreadable content-encoding", cause="protocol", sent=True
    )
