"""Prepare the way of a call to an account, unless a call like it has been there before."""

from __future__ import annotations

import msgspec

from sub2api.billing import lines
from sub2api.billing.prices import Price
from sub2api.billing.records import Open, tariff_of
from sub2api.errors import TransportError
from sub2api.gateway.failures import broken
from sub2api.gateway.legs import Leg, Plan, row_of
from sub2api.gateway.parts import Parts
from sub2api.gateway.walk import Walk
from sub2api.model.accounts import Group
from sub2api.model.routes import Operation, Wire
from sub2api.model.usage import UsageRow
from sub2api.platforms import BY_NAME
from sub2api.platforms.interface import Edit, Outgoing
from sub2api.settings.keys import Gateway
from sub2api.transport.messages import Deadlines
from sub2api.upstream.catalogue import Candidate

_MOST_REMEMBERED = 8
"""Legs kept per head: a client has few models and accounts at a time."""


def leg_of(parts: Parts, walk: Walk, candidate: Candidate) -> Leg:
    """Return the leg of a call to an account. Raises UpstreamError if it cannot be sent there."""
    peek, caller, memo = walk.peek, walk.caller, walk.call.memo
    price = _price(parts, walk, candidate)
    asked = (id(candidate), peek.stream, peek.wants_usage, peek.stores)
    legs: dict[tuple[object, ...], Leg] | None = memo.get("legs")
    if legs is None:
        legs = memo["legs"] = {}
    known = legs.get(asked)
    # The configuration may have changed: then the candidate, the caller or the price is another.
    if (
        known is not None
        and known.candidate is candidate
        and known.caller is caller
        and known.price is price
    ):
        return known
    leg = _made(parts, walk, candidate, price)
    if len(legs) >= _MOST_REMEMBERED:
        legs.clear()
    legs[asked] = leg
    return leg


def _made(parts: Parts, walk: Walk, candidate: Candidate, price: Price | None) -> Leg:
    account, group = candidate.account, candidate.group
    if account.proxy is not None and account.proxy.status != "active":
        # Disabled, or its password cannot be opened: never around it.
        raise broken("proxy", "the account's proxy is disabled")
    outgoing = _outgoing(walk, candidate)
    platform = BY_NAME[account.platform]
    try:
        target = parts.pool.target(platform.request(outgoing, account), account.proxy)
    except TransportError as error:
        raise broken(error.cause, str(error)) from error
    settings = parts.settings.gateway
    row = _row(walk, candidate)
    return Leg(
        candidate=candidate,
        caller=walk.caller,
        price=price,
        tariff=tariff_of(price, row.multiplier),
        target=target,
        edits=_edits(walk, candidate, platform.edit(outgoing)),
        plan=_plan(parts, walk, candidate),
        policy=(group.disconnect if group else None) or settings.disconnect,
        deadlines=_deadlines(settings, group, stream=outgoing.stream),
        row=row,
        opening=lines.Opening(Open(row=row, price=price, charge=parts.settings.charge_users)),
    )


def _deadlines(settings: Gateway, group: Group | None, *, stream: bool) -> Deadlines:
    """Return how long to wait; a group may have its own time to a stream's first frame."""
    first = settings.first_byte_timeout_stream if stream else settings.first_byte_timeout
    if stream and group is not None and group.first_byte_timeout is not None:
        first = group.first_byte_timeout
    return Deadlines(settings.connect_timeout, first, settings.idle_timeout)


def _price(parts: Parts, walk: Walk, candidate: Candidate) -> Price | None:
    """Find the price of the name the caller asked for, else of the name the upstream knows."""
    platform, asked = candidate.account.platform, walk.peek.model
    price = parts.prices.find(asked, platform, walk.tally.started_at)
    if price is not None or candidate.upstream_model == asked:
        return price
    return parts.prices.find(candidate.upstream_model, platform, walk.tally.started_at)


def _row(walk: Walk, candidate: Candidate) -> UsageRow:
    account, group = candidate.account, candidate.group
    return msgspec.structs.replace(
        row_of(walk.call, walk.caller, walk.peek),
        account_id=account.id,
        account_name=account.name,
        platform=account.platform,
        upstream_model=candidate.upstream_model,
        group_id=group.id if group else None,
        multiplier=group.rate_multiplier if group else "1",
    )


def _outgoing(walk: Walk, candidate: Candidate) -> Outgoing:
    match, peek = walk.call.match, walk.peek
    return Outgoing(
        wire=match.wire,
        operation=match.operation,
        method=walk.call.method,
        tail=match.tail,
        version=match.version,
        model=candidate.upstream_model,
        action=match.action,
        query=walk.call.query,
        headers=walk.call.headers,
        stream=peek.stream,
        wants_usage=peek.wants_usage,
    )


def _edits(walk: Walk, candidate: Candidate, vendors: Edit | None) -> tuple[Edit, ...]:
    """Return what is done to each body: the model's name in place, then the vendor's own edit."""
    edits = [] if vendors is None else [vendors]
    model = candidate.upstream_model
    if model != walk.peek.model and walk.dialect.wire is not Wire.GEMINI:
        rename = walk.dialect.rename_model
        edits.insert(0, lambda body: rename(body, model))
    return tuple(edits)


def _plan(parts: Parts, walk: Walk, candidate: Candidate) -> Plan:
    peek, operation = walk.peek, walk.call.match.operation
    renamed = candidate.upstream_model != peek.model
    return Plan(
        platform=candidate.account.platform,
        dialect=walk.dialect,
        operation=operation,
        stream=peek.stream,
        client_model=peek.model if renamed else None,
        upstream_model=candidate.upstream_model,
        drop_usage=not peek.wants_usage,
        max_event=parts.settings.gateway.max_event_size,
        binds=walk.dialect.wire is Wire.RESPONSES
        and operation is Operation.GENERATE
        and peek.stores,
    )
