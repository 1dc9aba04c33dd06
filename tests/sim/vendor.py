"""A vendor whose accounts have 5 h windows, bad minutes and broken days, by a script."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sub2api.model.accounts import Account

Refusal = Literal["window", "burst", "server error", "unreachable"]
WINDOW_SECONDS = 5 * 3600.0
CONNECT_SECONDS = 5.0
MEDIAN_SECONDS, SPREAD = 40.0, 0.7
"""How long a turn takes: lognormal, a mean of 51 s."""


@dataclass(frozen=True)
class Answer:
    """What the vendor did: after `seconds`, a reply (`refusal` None) or a refusal.

    `resets` is when the vendor says that a full window begins anew, None if it says nothing.
    """

    seconds: float
    refusal: Refusal | None = None
    resets: float | None = None


@dataclass(frozen=True)
class Trouble:
    """From `begins` to `ends`, a share of the calls to these accounts is refused."""

    what: Refusal
    begins: float
    ends: float
    accounts: frozenset[int]
    share: float = 1.0


@dataclass
class _Window:
    capacity: int
    began: float = -1e9
    used: int = 0


@dataclass
class Vendor:
    """Answers calls to accounts. `capacities` are how many turns each has in 5 hours."""

    accounts: Sequence[Account]
    capacities: Mapping[int, int]
    troubles: Sequence[Trouble]
    chance: random.Random
    windows: dict[int, _Window] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)

    def answer(self, account_id: int, now: float) -> Answer:
        """Return what comes of a call that is sent now."""
        answer = self._in_trouble(account_id, now) or self._in_window(account_id, now)
        if answer.refusal:
            self.refusals[answer.refusal] = self.refusals.get(answer.refusal, 0) + 1
        return answer

    def _in_trouble(self, account_id: int, now: float) -> Answer | None:
        for trouble in self.troubles:
            here = trouble.begins <= now < trouble.ends and account_id in trouble.accounts
            if here and self.chance.random() < trouble.share:
                late = trouble.what == "unreachable"
                return Answer(CONNECT_SECONDS if late else 0.3, trouble.what)
        return None

    def _in_window(self, account_id: int, now: float) -> Answer:
        window = self.windows.setdefault(account_id, _Window(self.capacities[account_id]))
        if now >= window.began + WINDOW_SECONDS:
            window.began, window.used = now, 0
        if window.used >= window.capacity:
            return Answer(0.3, "window", window.began + WINDOW_SECONDS)
        window.used += 1
        return Answer(MEDIAN_SECONDS * self.chance.lognormvariate(0.0, SPREAD))


def script(
    accounts: Sequence[Account], begin: float, hours: float, chance: random.Random
) -> list[Trouble]:
    """Return a bad day: bursts of 429, accounts that fail, and a proxy that is away for a while."""
    ids = [account.id for account in accounts]
    span = hours * 3600.0

    def some(share: float) -> frozenset[int]:
        return frozenset(chance.sample(ids, max(1, round(share * len(ids)))))

    troubles = []
    for _ in range(max(1, round(hours / 4))):
        at = begin + chance.uniform(0.05, 0.9) * span
        troubles.append(Trouble("burst", at, at + 600, some(0.1), 0.5))
    for _ in range(max(1, round(hours / 3))):
        at = begin + chance.uniform(0.05, 0.9) * span
        troubles.append(Trouble("server error", at, at + chance.uniform(300, 3600), some(0.02)))
    at = begin + 0.55 * span
    behind = frozenset(each.id for each in accounts if each.proxy and each.proxy.id == 1)
    troubles.append(Trouble("unreachable", at, at + min(1200, span / 10), behind))
    return troubles
