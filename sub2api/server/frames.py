"""HTTP/2's frames, as far as a connection has to be held back. No I/O. Source: RFC 9113 4.1, 6.

A frame of nine bytes costs Hypercorn as much time as a body of many kilobytes: bytes say little
about how long a read keeps the loop busy. Their headers do.
"""

from __future__ import annotations

_HEADER = 9
_DATA, _HEADERS, _WINDOW_UPDATE = 0x0, 0x1, 0x8
_END_STREAM = 0x1
MOST_BYTES = 65536
_MOST_FRAMES = 8
"""Frames in one piece; no more than one of them opens a stream."""
FLOOD_SECONDS = 10.0
MOST_CONTROL = 1000


class Flood(Exception):
    """A client sends more frames that ask for nothing than any use of HTTP/2 needs."""


class Frames:
    """Cuts what a client sends into pieces, and counts what only attackers send much of.

    `before` is how many bytes stand before the first frame: what is left of the preface.
    """

    def __init__(self, before: int) -> None:
        self._missing = before
        """Bytes of the present frame that belong to the next piece."""
        self._control = 0
        self._since = float("-inf")

    def piece(self, data: bytes, at: int, now: float) -> int:
        """Return where the piece ends that begins at `at`: there, if no frame's header is whole.

        Raises Flood after more than 1,000 frames in 10 seconds that carry neither a request, nor
        its body, nor room for a reply.
        """
        end = at + self._missing
        frames = requests = 0
        while end + _HEADER <= len(data) and end < at + MOST_BYTES and frames < _MOST_FRAMES:
            kind = data[end + 3]
            if kind == _HEADERS:
                requests += 1
                if requests > 1:
                    break
            length = int.from_bytes(data[end : end + 3], "big")
            self._count(kind, length, data[end + 4], now)
            frames += 1
            end += _HEADER + length
        cut = min(end, len(data), at + MOST_BYTES)
        self._missing = end - cut
        return cut

    def _count(self, kind: int, length: int, flags: int, now: float) -> None:
        empty = kind == _DATA and not length and not flags & _END_STREAM
        if kind in {_DATA, _HEADERS, _WINDOW_UPDATE} and not empty:
            return
        if now - self._since > FLOOD_SECONDS:
            self._since = now
            self._control = 0
        self._control += 1
        if self._control > MOST_CONTROL:
            raise Flood
