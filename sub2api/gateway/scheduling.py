"""The order in which accounts are tried: group, priority, load, least recently used, chance."""

from __future__ import annotations

from functools import lru_cache

from sub2api.clock import Clock
from sub2api.live.interfaces import Live, Slot
from sub2api.model.accounts import Account
from sub2api.upstream.catalogue import Candidate, Catalogue

MOST_CANDIDATES = 8
"""How many ranked candidates one admission looks at."""


@lru_cache(8192)
def slot(kind: str, noun_id: int, limit: int) -> Slot:
    """Return the slot that bounds the calls at once of a user, key or account."""
    return Slot(f"{kind}:{noun_id}", limit)


def slot_of(account: Account) -> Slot:
    """Return the slot that bounds an account's calls at once."""
    return slot("account", account.id, account.concurrency)


def ranked(
    candidates: list[Candidate], live: Live, catalogue: Catalogue, clock: Clock
) -> list[Candidate]:
    """Return the candidates, best first."""
    if len(candidates) < 2:
        return candidates

    def order(candidate: Candidate) -> tuple[int, int, float, float, float]:
        account = candidate.account
        active, waiting = live.load(slot_of(account).name)
        load = (active + waiting) / account.concurrency if account.concurrency > 0 else 0.0
        return (
            candidate.rank,
            account.priority,
            load,
            catalogue.last_used(account),
            clock.chance(),
        )

    return sorted(candidates, key=order)
