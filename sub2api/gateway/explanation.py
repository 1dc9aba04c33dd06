"""Why this account: every account a key reaches, in the order a call would try them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sub2api.gateway.members import Facts, Member, RestOf
from sub2api.gateway.pools import Pool
from sub2api.model.accounts import Account
from sub2api.upstream.catalogue import Candidate


class Standing(msgspec.Struct, frozen=True):
    """How an account stands to a key and model. Times are seconds since 1970.

    `reason` says why no call is sent to it, "" where one would be; `until` is when that is over by
    itself, None if never. `note` says what else counts: that it is full, or on probation. `load` is
    (active + waiting) / concurrency; `concurrency` 0 = unlimited. `last_used` 0.0 = never.
    """

    account_id: int
    account: str
    group: str
    priority: int
    active: int
    waiting: int
    concurrency: int
    load: float
    last_used: float
    upstream_model: str = ""
    bound: bool = False
    note: str = ""
    reason: str = ""
    until: float | None = None


def explained(
    pool: Pool, reachable: Iterable[Candidate], facts: Facts, bound: int, now: float
) -> list[Standing]:
    """Return the standings: whom a call would try, best first, then whom it would not.

    Those left out come last, first the ones that come back by themselves.
    """
    tried: list[Standing] = []
    left_out: list[Standing] = []
    order = pool.ordered()
    placed = {member.account.id for member in order}
    order += [each for each in pool.members if each.account.id not in placed]
    for member in order:
        standing = _of_member(member, facts, bound, now)
        (left_out if standing.reason else tried).append(standing)
    seen = set(pool.by_account)
    for candidate in reachable:
        if candidate.account.id not in seen:
            seen.add(candidate.account.id)
            reason = _out_of_use(candidate.account, now) or "it does not have the model"
            left_out.append(_standing(candidate, facts, bound, reason=reason))
    tried.sort(key=lambda each: not (each.bound and not each.note.startswith("slow")))
    left_out.sort(key=lambda each: (each.until is None, each.until or 0.0))
    return tried + left_out


def _of_member(member: Member, facts: Facts, bound: int, now: float) -> Standing:
    candidate, account, health = member.candidate, member.account, facts.health
    rest = health.rest_of(account, candidate.upstream_model, now)
    if rest is not None:
        reason, until = _of_rest(rest)
        return _standing(candidate, facts, bound, reason=reason, until=until)
    if member.held:
        reason = f"the model route of its group {_group(candidate)} keeps the model for others"
        return _standing(candidate, facts, bound, reason=reason)
    if not facts.admits(candidate, account.id == bound):
        return _standing(candidate, facts, bound, reason="its own budget has no room")
    if account.id == bound and health.is_slow(account, candidate.upstream_model):
        return _standing(candidate, facts, bound, note="slow: the session leaves it")
    limit = health.concurrency_of(account)
    active = facts.load(member.name)[0]
    if health.half_open(account, candidate.upstream_model, now):
        note = "its rest is over: one call at a time until one succeeds"
        return _standing(candidate, facts, bound, note=note)
    return _standing(candidate, facts, bound, note="full" if 0 < limit <= active else "")


def _of_rest(rest: RestOf) -> tuple[str, float | None]:
    """Return what a rest is to an operator, and when it ends by itself."""
    if rest.out_of_use:
        return f"it is out of use ({rest.cause})", None
    what = f"its model {rest.model} rests" if rest.model else "it rests"
    return f"{what} ({rest.cause})", rest.until


def _standing(
    candidate: Candidate,
    facts: Facts,
    bound: int,
    *,
    reason: str = "",
    note: str = "",
    until: float | None = None,
) -> Standing:
    account = candidate.account
    active, waiting = facts.load(f"account:{account.id}")
    limit = facts.health.concurrency_of(account)
    return Standing(
        account_id=account.id,
        account=account.name,
        group=_group(candidate),
        priority=account.priority,
        active=active,
        waiting=waiting,
        concurrency=limit,
        load=(active + waiting) / limit if limit > 0 else 0.0,
        last_used=facts.last_used(account),
        upstream_model=candidate.upstream_model,
        bound=account.id == bound,
        note=note,
        reason=reason,
        until=until,
    )


def _group(candidate: Candidate) -> str:
    return "" if candidate.group is None else candidate.group.name


def _out_of_use(account: Account, now: float) -> str:
    """Return why an account is in nobody's pool, "" if it is in use."""
    if account.status == "error":
        return f"it is out of use: {account.error_message or 'an error'}"
    if account.status != "active":
        return "it is disabled"
    if not account.schedulable:
        return "it is paused"
    return "" if account.is_usable(now) else "it has expired"
