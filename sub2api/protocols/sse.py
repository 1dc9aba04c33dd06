"""Server-sent events as bytes: find where events end, read their fields, write new ones.

The only tokenizer in the project. Bytes are never changed here. Source: the WHATWG HTML standard,
section 9.2 (event streams).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Atomic groups: a CRLF is one line end, never a CR and then an LF.
_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_TERMINATORS = (b"\n\n", b"\r\n\r\n")
_LONGEST_END = 4
_USUAL = re.compile(rb"(?:event: ([^\r\n]*)\n)?data: ([^\r\n]*)\n\n")
"""An event as nearly every vendor writes it."""
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """One event exceeds the limit."""


class Event(NamedTuple):
    """One event: its name (b"" when unnamed), its data lines joined by LF, and its raw bytes."""

    name: bytes
    data: bytes
    raw: bytes


class Frames:
    """Cuts a byte stream into blocks of complete events, however the stream was split."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return all events that are complete now, raw; b"" if none is.

        Raises EventTooLarge when an event grows past the limit.
        """
        if not self._tail and data.endswith(_TERMINATORS):
            return data
        # A boundary may lie across the seam: look from a little before it.
        start = max(0, len(self._tail) - _LONGEST_END + 1)
        self._tail += data
        end = _last_end(self._tail, start)
        if end == 0:
            if len(self._tail) > self._limit:
                raise EventTooLarge(f"an event is larger than {self._limit} bytes")
            return b""
        block = bytes(self._tail[:end])
        del self._tail[:end]
        return block

    def rest(self) -> bytes:
        """Return what is left when the stream has ended: an event without its blank line."""
        return bytes(self._tail)


def _last_end(buffer: bytearray, start: int) -> int:
    """Return the offset after the last complete event, 0 if none ends at or after `start`.

    A CR at the very end may be half of a CRLF, so it ends nothing yet.
    """
    stop = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
    if buffer.find(b"\r", start) < 0:
        found = buffer.rfind(b"\n\n", start, stop)
        return found + 2 if found >= 0 else 0
    last = 0
    for match in _END.finditer(buffer, start, stop):
        last = match.end()
    return last


def events(block: bytes) -> Iterator[Event]:
    """Yield the events of a block of complete events; the raw parts add up to the block."""
    start = 0
    while start < len(block):
        match = _END.search(block, start)
        end = match.end() if match is not None else len(block)
        raw = block[start:end]
        yield _parse(raw)
        start = end


def edited(block: bytes, words: tuple[bytes, ...], edit: Callable[[Event], bytes]) -> bytes:
    """Show `edit` the events of a block in which one of some words stands, and put in what it says.

    Everything else passes unread: that is what makes a relay cheap. A word has no line break.
    """
    for word in words:
        if word in block:
            break
    else:
        return block
    if b"\r" in block:
        return b"".join(
            [
                edit(each) if any(word in each.raw for word in words) else each.raw
                for each in events(block)
            ]
        )
    ahead = [block.find(word) for word in words]
    pieces: list[bytes] = []
    copied = at = 0
    while (mark := _next(block, words, ahead, at)) >= 0:
        before = block.rfind(b"\n\n", at, mark)
        start = before + 2 if before >= 0 else at
        after = block.find(b"\n\n", mark)
        end = after + 2 if after >= 0 else len(block)
        event = _parse(block[start:end])
        shown = edit(event)
        if shown is not event.raw:
            pieces += (block[copied:start], shown)
            copied = end
        at = end
    if not pieces:
        return block
    pieces.append(block[copied:])
    return b"".join(pieces)


def _next(block: bytes, words: tuple[bytes, ...], ahead: list[int], at: int) -> int:
    """Return where the next of the words stands, -1 for nowhere; `ahead` is kept up to date.

    Not a regular expression: looking for words is ten times as fast.
    """
    nearest = -1
    for index, found in enumerate(ahead):
        if 0 <= found < at:
            found = ahead[index] = block.find(words[index], at)
        if found >= 0 and (nearest < 0 or found < nearest):
            nearest = found
    return nearest


def frame(data: bytes, name: bytes = b"") -> bytes:
    """Write one event."""
    head = b"event: " + name + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"


def _parse(raw: bytes) -> Event:
    usual = _USUAL.fullmatch(raw)
    if usual is not None:
        return Event(usual[1] or b"", usual[2], raw)
    name = b""
    data: list[bytes] = []
    for line in _LINE.split(raw.removeprefix(_BOM)):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(name, b"\n".join(data), raw)
