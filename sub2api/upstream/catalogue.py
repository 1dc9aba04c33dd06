"""The accounts and groups that exist right now, in memory, so that no call waits for the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sub2api.clock import Clock
from sub2api.model.accounts import Account, Group, PlatformName
from sub2api.model.callers import Caller
from sub2api.model.health import ErrorRule
from sub2api.store import accounts as stored_accounts
from sub2api.store import error_rules as stored_error_rules
from sub2api.store import groups as stored_groups
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer
from sub2api.upstream.model_mapping import mapped_model

_MOST_REMEMBERED = 4096


class Candidate(msgspec.Struct, frozen=True):
    """An account that could serve a call. `rank` is its group's place in the key's list."""

    account: Account
    upstream_model: str
    group: Group | None
    rank: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent reading of the store."""

    accounts: dict[int, Account] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    by_platform: dict[PlatformName, tuple[Account, ...]] = field(default_factory=dict)
    error_rules: tuple[ErrorRule, ...] = ()
    reachable: dict[Any, tuple[Candidate, ...]] = field(default_factory=dict)
    """What was worked out from this reading already; gone with it."""
    having: dict[Any, tuple[Candidate, ...]] = field(default_factory=dict)
    empty: dict[Any, tuple[float, frozenset[str], float]] = field(default_factory=dict)
    """Why no account could take a call: until when that is believed, causes, the first end."""


class Catalogue:
    """Hands out candidates. `refresh` is called at start and whenever the config stamp moved."""

    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._last_used: dict[int, float] = {}
        self._watchers: list[Callable[[int], None]] = []
        self.snapshot = Snapshot()

    async def refresh(self) -> None:
        """Read all accounts and groups anew."""
        async with self._database.reading() as connection:
            accounts = await stored_accounts.everything(connection, self._sealer)
            groups = await stored_groups.everything(connection)
            rules = await stored_error_rules.everything(connection)
        by_platform: dict[PlatformName, list[Account]] = {}
        for account in accounts:
            by_platform.setdefault(account.platform, []).append(account)
        self.snapshot = Snapshot(
            accounts={account.id: account for account in accounts},
            groups={group.id: group for group in groups},
            by_platform={name: tuple(rows) for name, rows in by_platform.items()},
            error_rules=tuple(rule for rule in rules if rule.enabled),
        )

    def accounts_for(
        self, caller: Caller, platforms: tuple[PlatformName, ...]
    ) -> tuple[Candidate, ...]:
        """Return every account the caller's key reaches on these platforms, usable or not.

        A key bound to groups reaches their accounts, the first group first; a key bound to none
        reaches all accounts. `upstream_model` is left empty.
        """
        asked = (caller.key.group_ids, platforms)
        reachable = self.snapshot.reachable.get(asked)
        if reachable is None:
            reachable = tuple(self._reachable(caller, platforms))
            _remember(self.snapshot.reachable, asked, reachable)
        return reachable

    def candidates_for(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str
    ) -> list[Candidate]:
        """Return the usable accounts that have the model, with the name they know it by."""
        now = self._clock.now()
        having = self.having(caller, platforms, model)
        return [candidate for candidate in having if candidate.account.is_usable(now)]

    def having(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str
    ) -> tuple[Candidate, ...]:
        """Return every account that has the model, usable or not."""
        asked = (caller.key.group_ids, platforms, model)
        having = self.snapshot.having.get(asked)
        if having is None:
            having = _having(self.accounts_for(caller, platforms), model)
            _remember(self.snapshot.having, asked, having)
        return having

    def _reachable(
        self, caller: Caller, platforms: tuple[PlatformName, ...]
    ) -> Iterator[Candidate]:
        for platform in platforms:
            accounts = self.snapshot.by_platform.get(platform, ())
            if not caller.key.group_ids:
                for account in accounts:
                    yield Candidate(account, "", self._group_of(account), 0)
                continue
            for rank, group_id in enumerate(caller.key.group_ids):
                group = self.snapshot.groups.get(group_id)
                if group is None or group.status != "active" or group.platform != platform:
                    continue
                for account in accounts:
                    if group_id in account.group_ids:
                        yield Candidate(account, "", group, rank)

    def last_used(self, account: Account) -> float:
        """Return when the account was last chosen (seconds since 1970), 0 for never."""
        return self._last_used.get(account.id, account.last_used_at or 0.0)

    def used(self, account: Account) -> None:
        """Note that the account was chosen now."""
        self._last_used[account.id] = self._clock.now()
        for used in self._watchers:
            used(account.id)

    def watch(self, used: Callable[[int], None]) -> None:
        """Call `used(account id)` whenever an account is chosen."""
        self._watchers.append(used)

    def _group_of(self, account: Account) -> Group | None:
        """Return the account's first active group: its price and policy apply to unbound keys."""
        groups = (self.snapshot.groups.get(group_id) for group_id in account.group_ids)
        return next((group for group in groups if group and group.status == "active"), None)


def _having(reachable: Iterable[Candidate], model: str) -> tuple[Candidate, ...]:
    """Keep each account once, in its best place, if it has the model."""
    kept: dict[int, Candidate] = {}
    for candidate in reachable:
        account = candidate.account
        upstream_model = mapped_model(account.model_mapping, model)
        if upstream_model is not None and account.id not in kept:
            kept[account.id] = Candidate(account, upstream_model, candidate.group, candidate.rank)
    return tuple(kept.values())


def _remember(memo: dict[Any, tuple[Candidate, ...]], asked: Any, answer: Any) -> None:
    # Clients choose model names: the memo must not grow with their imagination.
    if len(memo) >= _MOST_REMEMBERED:
        memo.clear()
    memo[asked] = answer
