"""What the journal holds: a call was opened, has come so far, is closed.

A call that moves on to another account is opened again under the same id; the last opening counts,
and what failed attempts used is recorded at their accounts' expense, never billed. Every record is
one JSON object whose `type` names it; a reader ignores members it does not know, so that releases
can read each other's journals.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.billing.cost import Tariff, multiplier_of
from sub2api.billing.prices import Price
from sub2api.model.tokens import Tokens, Usage
from sub2api.model.usage import FailedAttempt, UsageRow

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
    """A call has ended: its usage row, the ids its account must be found by, failed attempts."""

    row: UsageRow
    bindings: list[Binding] = []
    attempts: list[FailedAttempt] = []

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return self.row.call_id


Record = Open | Progress | Close


_COLUMNS = frozenset({"input", "output", "cache_read", "cache_write", "cache_write_long"})


def fill_usage(row: UsageRow, tokens: Tokens, received: dict[str, Any]) -> None:
    """Set a row's token columns: common classes by name, rarer ones in `details`.

    The columns are disjoint, as the classes of `Tokens` are: `cache_creation_tokens` does not
    include the long-lived ones.
    """
    row.input_tokens = tokens.input
    row.output_tokens = tokens.output
    row.cache_read_tokens = tokens.cache_read
    row.cache_creation_tokens = tokens.cache_write
    row.cache_creation_long_tokens = tokens.cache_write_long
    occurring = msgspec.to_builtins(tokens)
    row.details = (
        {}
        if occurring.keys() <= _COLUMNS
        else {name: value for name, value in occurring.items() if name not in _COLUMNS}
    )
    row.received = received


def fill_money(row: UsageRow, tokens: Tokens, tariff: Tariff | None, *, charge: bool) -> None:
    """Set a row's money columns.

    Without a tariff, `cost` and `list_cost` are None (unknown, not free) and nothing is charged.
    """
    if tariff is None:
        row.cost = row.list_cost = None
        row.charged = 0
        row.pricing = {}
        return
    cost = tariff.cost(tokens)
    row.cost = cost.cost
    row.list_cost = cost.list_cost
    row.charged = cost.cost if charge else 0
    row.pricing = cost.pricing


def tariff_of(price: Price | None, multiplier: str) -> Tariff | None:
    """Return the tariff of a row's price and multiplier.

    Raises ValueError or ArithmeticError when the multiplier is no number that can be charged.
    """
    return None if price is None else Tariff(price, multiplier_of(multiplier))


def recovered(opened: Open, progress: Progress | None) -> Close:
    """Return the close of a call whose process died, billed for what its vendor had reported.

    Raises ValueError or ArithmeticError when the multiplier is no number that can be charged.
    """
    usage = progress.usage if progress else Usage()
    row = msgspec.structs.replace(
        opened.row,
        status=INTERRUPTED_STATUS,
        error=INTERRUPTED,
        settled_by="recovered",
        truncated=True,
    )
    fill_usage(row, usage.tokens, usage.received)
    fill_money(row, usage.tokens, tariff_of(opened.price, row.multiplier), charge=opened.charge)
    return Close(row=row)
