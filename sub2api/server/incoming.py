"""A request body on its way in: of a length told before, or in chunks. Source: RFC 9112 6, 7.1."""

from __future__ import annotations

import re

from sub2api.gateway.bodies import too_large
from sub2api.server.heads import BadRequest

_MOST_LINE = 1024
_MOST_TRAILERS = 8192
_PART = 65536
_OWN_PART = 16384
"""From here on what has come of a chunk is a part as it is; copies of 100 MB take time."""
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class SizedBody:
    """Collects a body of `length` bytes."""

    def __init__(self, length: int) -> None:
        self._missing = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; return those behind the body's end, None while there is none."""
        missing = self._missing
        rest = b""
        if len(data) > missing:
            data, rest = data[:missing], data[missing:]
        self._parts.append(data)
        self._missing = missing - len(data)
        return None if self._missing else rest

    def take(self) -> list[bytes]:
        """Give the body away, in parts."""
        return self._parts


class ChunkedBody:
    """Collects a body of at most `limit` bytes; extensions and trailers are dropped."""

    def __init__(self, limit: int) -> None:
        self._parts: list[bytes] = []
        self._tail = bytearray()  # chunks may be tiny, and many: they are not parts of their own
        self.size = 0
        self._limit = limit
        self._buffer = b""
        self._missing = 0
        """Bytes of the present chunk, its CRLF included, that have not arrived yet."""
        self._in_trailers = False
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; return those behind the body's end, None while there is none.

        Raises BadRequest, and ClientError 413 as soon as the body is too large.
        """
        data = self._buffer + data if self._buffer else data
        at = 0
        while True:
            if self._missing:
                at = self._chunk(data, at)
                if self._missing:
                    self._buffer = data[at:]
                    return None
            end = data.find(b"\r\n", at)
            if end < 0:
                self._buffer = data[at:]
                self._check_partial(self._buffer)
                return None
            line = data[at:end]
            at = end + 2
            if self._in_trailers:
                if not line:
                    self._buffer = b""
                    return data[at:]
                self._trailer(line)
            else:
                self._size_line(line)

    def take(self) -> list[bytes]:
        """Give the body away, in parts."""
        self._end_tail()
        return self._parts

    def _keep(self, piece: bytes) -> None:
        if len(piece) >= _OWN_PART:
            self._end_tail()
            self._parts.append(piece)
            return
        self._tail += piece
        if len(self._tail) >= _PART:
            self._end_tail()

    def _end_tail(self) -> None:
        if self._tail:
            self._parts.append(bytes(self._tail))
            self._tail.clear()

    def _size_line(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line) if len(line) <= _MOST_LINE else None
        if found is None:
            raise BadRequest("A chunk of the request's body is malformed.")
        size = int(found[1], 16)
        if size == 0:
            self._in_trailers = True
            return
        self.size += size
        if self.size > self._limit:
            raise too_large(self._limit)
        self._missing = size + 2

    def _chunk(self, data: bytes, at: int) -> int:
        """Take what is there of a chunk; return where it ends. Its CRLF is taken whole."""
        there = len(data) - at
        if self._missing > 2:
            taken = min(there, self._missing - 2)
            if taken:
                self._keep(data[at : at + taken])
                self._missing -= taken
                at += taken
        if self._missing == 2 and len(data) - at >= 2:
            if data[at : at + 2] != b"\r\n":
                raise BadRequest("A chunk of the request's body has a wrong length.")
            self._missing = 0
            at += 2
        return at

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _MOST_TRAILERS or not _TRAILER.fullmatch(line):
            raise BadRequest("The trailers of the request's body are malformed or too large.")

    def _check_partial(self, line: bytes) -> None:
        most = _MOST_TRAILERS if self._in_trailers else _MOST_LINE
        if len(line) > most + line.endswith(b"\r"):
            raise BadRequest("A line in the request's chunked body is too long.")
