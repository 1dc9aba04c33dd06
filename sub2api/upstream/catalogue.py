"""The accounts and groups that exist right now, in memory, so that no call waits for the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sub2api.clock import Clock
from sub2api.model.accounts import Account, Group, PlatformName
from sub2api.model.callers import Caller
from sub2api.store import accounts as stored_accounts
from sub2api.store import groups as stored_groups
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer
from sub2api.upstream.model_mapping import mapped_model


@dataclass(frozen=True, slots=True)
class Candidate:
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


class Catalogue:
    """Hands out candidates. `refresh` is called at start and whenever the config stamp moved."""

    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._last_used: dict[int, float] = {}
        self.snapshot = Snapshot()

    async def refresh(self) -> None:
        """Read all accounts and groups anew."""
        async with self._database.reading() as connection:
            accounts = await stored_accounts.everything(connection, self._sealer)
            groups = await stored_groups.everything(connection)
        by_platform: dict[PlatformName, list[Account]] = {}
        for account in accounts:
            by_platform.setdefault(account.platform, []).append(account)
        self.snapshot = Snapshot(
            accounts={account.id: account for account in accounts},
            groups={group.id: group for group in groups},
            by_platform={name: tuple(rows) for name, rows in by_platform.items()},
        )

    def accounts_for(self, caller: Caller, platforms: Iterable[PlatformName]) -> list[Candidate]:
        """Return every account the caller's key reaches on these platforms, usable or not.

        A key bound to groups reaches their accounts, the first group first; a key bound to none
        reaches all accounts. `upstream_model` is left empty.
        """
        found: list[Candidate] = []
        for platform in platforms:
            accounts = self.snapshot.by_platform.get(platform, ())
            if not caller.key.group_ids:
                found += [
                    Candidate(account, "", self._group_of(account), 0) for account in accounts
                ]
                continue
            for rank, group_id in enumerate(caller.key.group_ids):
                group = self.snapshot.groups.get(group_id)
                if group is None or group.status != "active" or group.platform != platform:
                    continue
                members = [account for account in accounts if group_id in account.group_ids]
                found += [Candidate(account, "", group, rank) for account in members]
        return found

    def candidates_for(self, reachable: Iterable[Candidate], model: str) -> list[Candidate]:
        """Keep the usable accounts that have the model, with the name they know it by."""
        now = self._clock.now()
        kept: list[Candidate] = []
        seen: set[int] = set()
        for candidate in reachable:
            account = candidate.account
            upstream_model = mapped_model(account.model_mapping, model)
            if upstream_model is None or account.id in seen or not account.is_usable(now):
                continue
            seen.add(account.id)
            kept.append(Candidate(account, upstream_model, candidate.group, candidate.rank))
        return kept

    def last_used(self, account: Account) -> float:
        """Return when the account was last chosen (seconds since 1970), 0 for never."""
        return self._last_used.get(account.id, account.last_used_at or 0.0)

    def used(self, account: Account) -> None:
        """Note that the account was chosen now."""
        self._last_used[account.id] = self._clock.now()

    def _group_of(self, account: Account) -> Group | None:
        """Return the account's first active group: its price and policy apply to unbound keys."""
        groups = (self.snapshot.groups.get(group_id) for group_id in account.group_ids)
        return next((group for group in groups if group and group.status == "active"), None)
