"""What calls alike share on their way to one account: worked out once, used by each of them.

Calls are alike when their heads are (but for the length), and the facts of their bodies that
decide how they are sent. A client's calls nearly always are, so that most of what a call needs
(address, signature, price, the record that the journal gets) is there before it comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sub2api.billing import lines
from sub2api.billing.cost import Tariff
from sub2api.billing.prices import Price
from sub2api.gateway.call import Call
from sub2api.model.accounts import DisconnectPolicy, PlatformName
from sub2api.model.callers import Caller
from sub2api.model.routes import Operation
from sub2api.model.usage import UsageRow
from sub2api.platforms.interface import Edit
from sub2api.protocols.interface import Dialect, Peek
from sub2api.transport.messages import Deadlines, Target
from sub2api.upstream.catalogue import Candidate


class Plan(msgspec.Struct, frozen=True):
    """How a response is to be shown. `client_model` is None when the model was not renamed."""

    platform: PlatformName
    dialect: Dialect
    operation: Operation
    stream: bool
    client_model: str | None
    upstream_model: str
    drop_usage: bool
    max_event: int
    binds: bool


@dataclass(frozen=True, slots=True)
class Leg:
    """See the module. `row` and `opening` lack only what tells one call from the next."""

    candidate: Candidate
    caller: Caller
    price: Price | None
    tariff: Tariff | None
    target: Target
    edits: tuple[Edit, ...]
    plan: Plan
    policy: DisconnectPolicy
    deadlines: Deadlines
    row: UsageRow
    opening: lines.Opening


def row_of(call: Call, caller: Caller, peek: Peek) -> UsageRow:
    """Return the usage row of calls alike, as far as it is known before an account is."""
    return UsageRow(
        call_id="",
        started_at=0.0,
        user_id=caller.user.id,
        key_id=caller.key.id,
        key_name=caller.key.name,
        wire=call.match.wire.value,
        operation=call.match.operation.value,
        model=peek.model,
        stream=peek.stream,
        status=0,
        attempts=0,
        user_agent=call.header(b"user-agent")[:512],
    )
