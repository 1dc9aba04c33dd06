"""What the journal holds: a call was opened, has come so far, is closed.

A call that moves on to another account is opened again under the same id; the last opening counts,
and what failed attempts used is never billed. Every record is one JSON object whose `type` names
it; a reader ignores members it does not know, so that releases can read each other's journals.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.billing.cost import priced_columns
from sub2api.billing.prices import Price
from sub2api.model.tokens import Usage
from sub2api.model.usage import UsageRow

INTERRUPTED = "interrupted"
"""`UsageRow.error` of a call whose process died."""

INTERRUPTED_STATUS = 499
"""`UsageRow.status` of such a call. Its connection was cut, so no status of ours was final; 499 is
what rows say of a client that did not get the end of its reply, and `error` tells the two apart."""


class Open(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="open"):
    """A call is about to be sent to an account.

    `row` is the usage row as far as it is known: everything but tokens, money and ending. With
    `price` (that in force at admission, None: no known price), the row's multiplier and `charge`
    (whether the owner pays) it is all that is needed to book the call, should the process die.
    """

    row: UsageRow
    price: Price | None = None
    charge: bool = False

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return self.row.call_id


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="progress"):
    """What the call's reply has used so far, as its vendor last reported."""

    call_id: str
    usage: Usage


class Binding(msgspec.Struct, frozen=True):
    """An id a vendor issued to a key (a stored response); only its account can honour it.

    `expires_at` is seconds since 1970.
    """

    key_id: int
    bound_id: str
    account_id: int
    expires_at: float


class Close(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="close"):
    """A call has ended: its usage row, and the ids its account must be found by."""

    row: UsageRow
    bindings: list[Binding] = []

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return self.row.call_id


Record = Open | Progress | Close


def usage_columns(usage: Usage) -> dict[str, Any]:
    """Return the token columns of a usage row: common classes by name, rarer ones in `details`.

    The columns are disjoint, as the classes of `Tokens` are: `cache_creation_tokens` does not
    include the long-lived ones.
    """
    tokens = usage.tokens
    rare = {
        "input_audio": tokens.input_audio,
        "input_image": tokens.input_image,
        "output_audio": tokens.output_audio,
        "output_image": tokens.output_image,
        "reasoning": tokens.reasoning,
        "web_searches": tokens.web_searches,
        "service_tier": tokens.service_tier,
    }
    return {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_tokens": tokens.cache_read,
        "cache_creation_tokens": tokens.cache_write,
        "cache_creation_long_tokens": tokens.cache_write_long,
        "details": {name: value for name, value in rare.items() if value},
        "received": usage.received,
    }


def recovered(opened: Open, progress: Progress | None) -> Close:
    """Return the close of a call whose process died, billed for what its vendor had reported.

    Raises ValueError or ArithmeticError when the multiplier is no number that can be charged.
    """
    usage = progress.usage if progress else Usage()
    money = priced_columns(
        usage.tokens, opened.price, multiplier=opened.row.multiplier, charge=opened.charge
    )
    ending = {
        "status": INTERRUPTED_STATUS,
        "error": INTERRUPTED,
        "settled_by": "recovered",
        "truncated": True,
    }
    return Close(row=msgspec.structs.replace(opened.row, **usage_columns(usage), **money, **ending))
