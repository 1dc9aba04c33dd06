r"""How a record looks in a journal file: `<crc32, 8 hex digits> <JSON>\n`.

The checksum is of the JSON's bytes. A line that does not match it was torn by a crash or damaged,
and is skipped by readers: one bad line never costs the next one.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import msgspec

from sub2api.billing.records import Close, Open, Progress, Record
from sub2api.model.usage import UsageRow

R = TypeVar("R", Open, Progress, Close)

MAX_LINE = 256 * 1024
"""Longest JSON of a record in bytes. Beyond it, text is cut, then what vendors sent is left out."""

_MAX_TEXT = 4096

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: R) -> bytes:
    """Return the record's line. Text a client sent never makes it fail, however broken or long."""
    return prepare(record)[1]


def prepare(record: R) -> tuple[R, bytes]:
    """Return the record, as its readers will see it if it had to be tamed, and its line."""
    try:
        text = _encoder.encode(record)
    except UnicodeEncodeError:  # half a surrogate pair, smuggled in through a JSON escape
        return _prepare_tamed(record)
    if len(text) > MAX_LINE:
        return _prepare_tamed(record)
    return record, _line(text)


_OPENING = b'{"type":"open","row":{"call_id":%b,"started_at":%r,"client_ip":%b,"attempts":%d,%b'


class Opening:
    """Open records of calls alike: written once, but for what tells the calls apart.

    A line is the same as `encode` would make of the whole record; there are as many as calls, and
    nearly all of each is known before.
    """

    _DIFFERS = b'{"type":"open","row":{"call_id":"","started_at":0.0,'

    def __init__(self, record: Open) -> None:
        row = msgspec.structs.replace(
            record.row, call_id="", started_at=0.0, attempts=1, client_ip=""
        )
        record, line = prepare(msgspec.structs.replace(record, row=row))
        text = line[9:-1]
        self._rest = text[len(self._DIFFERS) :]

    def line(self, row: UsageRow) -> bytes:
        """Return the line of a call."""
        text = _OPENING % (
            _encoder.encode(row.call_id),
            row.started_at,
            _encoder.encode(row.client_ip),
            row.attempts,
            self._rest,
        )
        return b"%08x %b\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> Record | None:
    """Return the record of a line, None if the line is torn, damaged or not ours."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return None


def _line(text: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _prepare_tamed(record: R) -> tuple[R, bytes]:
    plain = _tamed(msgspec.to_builtins(record))
    text = _encoder.encode(plain)
    if len(text) > MAX_LINE:
        plain = _tamed(plain, without=("received", "details", "bindings"))
        text = _encoder.encode(plain)
    return msgspec.convert(plain, type(record)), _line(text)


def _tamed(value: Any, *, without: tuple[str, ...] = ()) -> Any:
    """Copy JSON data: text made valid and cut to a sane length, some members left out."""
    if isinstance(value, str):
        return value[:_MAX_TEXT].encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {
            _tamed(key): _tamed(item, without=without)
            for key, item in value.items()
            if key not in without
        }
    if isinstance(value, list):
        return [_tamed(item, without=without) for item in value]
    return value
