"""The order in which accounts are tried: group, priority, load, least recently used, chance."""

from __future__ import annotations

from collections.abc import Iterable

from sub2api.clock import Clock
from sub2api.live.interfaces import Live, Slot
from sub2api.model.accounts import Account
from sub2api.upstream.catalogue import Candidate, Catalogue

MOST_CANDIDATES = 8
"""How many ranked candidates one admission looks at."""


def slot_of(account: Account) -> Slot:
    """Return the slot that bounds an account's calls at once."""
    return Slot(f"account:{account.id}", account.concurrency)


def ranked(
    candidates: Iterable[Candidate], live: Live, catalogue: Catalogue, clock: Clock
) -> list[Candidate]:
    """Return the candidates, best first."""

    def order(candidate: Candidate) -> tuple[int, int, float, float, float]:
        account = candidate.account
        active, waiting = live.load(f"account:{account.id}")
        load = (active + waiting) / account.concurrency if account.concurrency > 0 else 0.0
        return (
            candidate.rank,
            account.priority,
            load,
            catalogue.last_used(account),
            clock.chance(),
        )

    return sorted(candidates, key=order)
