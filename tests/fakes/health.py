"""Records and wire that health is kept and told through, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sub2api.clock import Clock
from sub2api.errors import StoreError
from sub2api.model.accounts import Account
from sub2api.model.health import Cooldown, Harm, UsageWindow
from sub2api.settings.keys import Stall
from sub2api.upstream.health import Health
from sub2api.upstream.health_records import Changes


class SetClock(Clock):
    """A clock that stands where it is set. `now()` is in seconds since 1970."""

    def __init__(self, at: float = 1764028800.0) -> None:
        self.at = at
        self.now = lambda: self.at  # type: ignore[method-assign]
        self.monotonic = lambda: self.at  # type: ignore[method-assign]


class MemoryRecords:
    """Keeps what a store would; `broken` refuses to write."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], Cooldown] = {}
        self.kept_windows: dict[int, tuple[UsageWindow, ...]] = {}
        self.out_of_use: dict[int, str] = {}
        self.writes: list[Changes] = []
        self.broken = False

    async def cooldowns(self) -> Sequence[Cooldown]:
        return list(self.rows.values())

    async def windows(self) -> Mapping[int, tuple[UsageWindow, ...]]:
        return dict(self.kept_windows)

    async def save(self, changes: Changes) -> None:
        if self.broken:
            raise StoreError("the database is away", transient=True)
        self.writes.append(changes)
        self.rows |= {(row.account_id, row.model): row for row in changes.cooldowns}
        self.kept_windows |= changes.windows
        self.out_of_use |= changes.out_of_use


class LocalWire:
    """Delivers at once to all who subscribed, the sender included."""

    def __init__(self) -> None:
        self.heard: list[Callable[[bytes], None]] = []
        self.sent: list[bytes] = []

    async def publish(self, channel: str, message: bytes) -> None:
        assert channel == "health"
        self.sent.append(message)
        for heard in list(self.heard):
            heard(message)

    def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        assert channel == "health"
        self.heard.append(heard)


class Ward:
    """One process's health with its surroundings. `changed` are the announced account ids."""

    def __init__(
        self, *, beside: Ward | None = None, stall: Stall | None = None, at: float = 1764028800.0
    ) -> None:
        self.clock = beside.clock if beside else SetClock(at)
        self.records = beside.records if beside else MemoryRecords()
        self.wire = beside.wire if beside else LocalWire()
        self.health = Health(self.clock, self.records, self.wire, stall or Stall())
        self.changed: list[int] = []
        self.health.watch(self.changed.append)


BURST = Harm("rest", "burst")


def account(number: int = 1, **fields: Any) -> Account:
    return Account(id=number, name=f"a{number}", platform="anthropic", **fields)


A = account()


def until(ward: Ward, of: Account = A, model: str = "m") -> float | None:
    """Return how much longer it rests, in seconds."""
    rest = ward.health.rest_of(of, model, ward.clock.at)
    return None if rest is None else rest.until - ward.clock.at


def half_open(ward: Ward, of: Account = A, model: str = "m") -> bool:
    return ward.health.half_open(of, model, ward.clock.at)
