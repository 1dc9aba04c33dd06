"""Accounts without a store: a real catalogue and scheduler over fake health, loads and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sub2api.clock import Clock
from sub2api.gateway.scheduling import Ranking, Scheduler, admits_all
from sub2api.model.accounts import Account, Group
from sub2api.model.callers import ApiKey, Caller, User
from sub2api.upstream.catalogue import Catalogue, Snapshot
from tests.fakes.set_health import FakeHealth

PLATFORMS = ("anthropic",)
MODEL = "claude-sonnet-4-5"
START = 1_764_028_800.0


class SetClock(Clock):
    """A clock that stands until it is moved; `always` fixes what chance says."""

    def __init__(self, at: float = START) -> None:
        self.at = at
        self.always: float | None = None
        self.now = lambda: self.at  # type: ignore[method-assign]
        self.monotonic = lambda: self.at - START  # type: ignore[method-assign]

    def chance(self) -> float:
        return super().chance() if self.always is None else self.always


class FakeLoads:
    """Loads that tests set, or enter and leave."""

    def __init__(self) -> None:
        self.loads: dict[str, tuple[int, int]] = {}
        self._watchers: list[Callable[[str], None]] = []

    def load(self, name: str) -> tuple[int, int]:
        return self.loads.get(name, (0, 0))

    def watch_load(self, changed: Callable[[str], None]) -> None:
        self._watchers.append(changed)

    def set(self, account_id: int, active: int, waiting: int = 0, *, kind: str = "account") -> None:
        name = f"{kind}:{account_id}"
        self.loads[name] = (active, waiting)
        for changed in self._watchers:
            changed(name)

    def add(self, account_id: int, change: int) -> None:
        active, waiting = self.load(f"account:{account_id}")
        self.set(account_id, active + change, waiting)


def account(account_id: int, **fields: Any) -> Account:
    fields.setdefault("platform", "anthropic")
    return Account(id=account_id, name=f"account-{account_id}", **fields)


def snapshot_of(accounts: Iterable[Account], groups: Iterable[Group] = ()) -> Snapshot:
    by_platform: dict[Any, list[Account]] = {}
    known = {each.id: each for each in accounts}
    for each in known.values():
        by_platform.setdefault(each.platform, []).append(each)
    return Snapshot(
        accounts=known,
        groups={group.id: group for group in groups},
        by_platform={name: tuple(rows) for name, rows in by_platform.items()},
    )


class Fleet:
    """Accounts, groups, and a key bound to `group_ids`; `rank` answers with account ids."""

    def __init__(
        self,
        accounts: Iterable[Account],
        groups: Iterable[Group] = (),
        group_ids: tuple[int, ...] = (),
        admits: Callable[..., bool] = admits_all,
    ) -> None:
        self.clock = SetClock()
        self.health = FakeHealth()
        self.loads = FakeLoads()
        self.catalogue = Catalogue(None, None, self.clock)  # type: ignore[arg-type]
        self.catalogue.snapshot = snapshot_of(accounts, groups)
        self.caller = self.key_of(group_ids)
        self.scheduler = Scheduler(self.catalogue, self.loads, self.health, self.clock, admits)

    @staticmethod
    def key_of(group_ids: tuple[int, ...]) -> Caller:
        key = ApiKey(id=1, user_id=1, name="key", hint="", group_ids=group_ids)
        return Caller(key=key, user=User(id=1, email="owner"))

    def ranking(self, model: str = MODEL, **asked: Any) -> Ranking:
        return self.scheduler.rank(self.caller, PLATFORMS, model, **asked)

    def rank(self, model: str = MODEL, **asked: Any) -> list[int]:
        return [each.account.id for each in self.ranking(model, **asked).candidates]

    def standing(self, account_id: int, model: str = MODEL) -> str:
        return self.scheduler.standing(self.caller, PLATFORMS, model, account_id)

    def use(self, account_id: int) -> None:
        """Choose an account now, a second after the last."""
        self.clock.at += 1
        self.catalogue.used(self.catalogue.snapshot.accounts[account_id])
