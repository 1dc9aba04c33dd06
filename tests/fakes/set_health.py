"""Health with behaviour, in memory: rests with deadlines, probes, slowness, lowered concurrency."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sub2api.model.accounts import Account


class Rest(NamedTuple):
    """A rest, as selection sees it."""

    until: float
    cause: str = "burst"
    detail: str = ""
    model: str = ""
    out_of_use: bool = False


class FakeHealth:
    """Rests begin by `rest`, end by time or `clear`; after one the account is half open."""

    def __init__(self) -> None:
        self.rests: dict[tuple[int, str], Rest] = {}
        self.slow: set[int] = set()
        self.lowered: dict[int, int] = {}
        self.asked = 0
        self._watchers: list[Callable[[int], None]] = []

    def rest(self, account_id: int, until: float, model: str = "", cause: str = "burst") -> None:
        self.rests[account_id, model] = Rest(until, cause, "", model)
        self._tell(account_id)

    def put_out_of_use(self, account_id: int, until: float) -> None:
        self.rests[account_id, ""] = Rest(until, "credential", out_of_use=True)
        self._tell(account_id)

    def clear(self, account_id: int) -> None:
        for known in [each for each in self.rests if each[0] == account_id]:
            del self.rests[known]
        self._tell(account_id)

    def lower(self, account_id: int, concurrency: int) -> None:
        self.lowered[account_id] = concurrency
        self._tell(account_id)

    def rest_of(self, account: Account, model: str, now: float) -> Rest | None:
        self.asked += 1
        if not self.rests:
            return None
        found = [self.rests.get((account.id, each)) for each in ("", model)]
        running = [each for each in found if each is not None and now < each.until]
        return max(running) if running else None

    def half_open(self, account: Account, model: str, now: float) -> bool:
        if not self.rests:
            return False
        known = (account.id, "") in self.rests or (account.id, model) in self.rests
        return known and self.rest_of(account, model, now) is None

    def is_slow(self, account: Account, model: str) -> bool:
        return account.id in self.slow

    def concurrency_of(self, account: Account) -> int:
        return self.lowered.get(account.id, account.concurrency)

    def watch(self, changed: Callable[[int], None]) -> None:
        self._watchers.append(changed)

    def _tell(self, account_id: int) -> None:
        for changed in self._watchers:
            changed(account_id)
