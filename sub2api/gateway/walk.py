"""What one generation carries from room to room."""

from __future__ import annotations

import msgspec

from sub2api.gateway.answer import Answer
from sub2api.gateway.call import Call
from sub2api.gateway.departure import Departure
from sub2api.gateway.entries import Asked
from sub2api.gateway.metering import Tally
from sub2api.model.callers import Caller
from sub2api.protocols.interface import Dialect, Peek


class Walk(msgspec.Struct, frozen=True):
    """One call past its key. `body` is the client's, decompressed.

    `asked` is what it asks admission for.
    """

    call: Call
    body: bytes
    caller: Caller
    peek: Peek
    dialect: Dialect
    answer: Answer
    departure: Departure
    tally: Tally
    asked: Asked
