"""What a pool is made of: its members, and where it reads what their order depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from sub2api.gateway.model_routes import route_of
from sub2api.model.accounts import Account
from sub2api.upstream.catalogue import Candidate
from sub2api.upstream.model_mapping import mapped_model

Key = tuple[int, float, float, float, int]
"""What members are sorted by: level, load, last used, chance, position; all ascending."""


class RestOf(Protocol):
    """A rest that runs: until when (seconds since 1970), and why."""

    @property
    def until(self) -> float:
        """When it ends."""
        ...

    @property
    def cause(self) -> str:
        """A short stable word for what began it."""
        ...

    @property
    def model(self) -> str:
        """The upstream model that rests, "" for the whole account."""
        ...

    @property
    def out_of_use(self) -> bool:
        """Whether it waits for an operator: nobody should be told to come again at its end."""
        ...


class Health(Protocol):
    """What selection asks of `upstream.health.Health`; models are named as the upstream does."""

    def rest_of(self, account: Account, model: str, now: float) -> RestOf | None:
        """Return the rest that keeps the account from serving the model now."""
        ...

    def half_open(self, account: Account, model: str, now: float) -> bool:
        """Whether its last rest is over and no call has succeeded since."""
        ...

    def is_slow(self, account: Account, model: str) -> bool:
        """Whether its first frames lately came far later than its pool's."""
        ...

    def concurrency_of(self, account: Account) -> int:
        """Return how many calls at once it takes now, 0 = unlimited."""
        ...

    def watch(self, changed: Callable[[int], None]) -> None:
        """Call `changed(account id)` when a rest begins or is cleared, or its concurrency moves."""
        ...


class Loads(Protocol):
    """What selection asks of live state (see `live.interfaces.Live`)."""

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot's name."""
        ...

    def watch_load(self, changed: Callable[[str], None]) -> None:
        """Call `changed(slot name)` whenever `load` has begun to return something else."""
        ...


class Facts(NamedTuple):
    """Where a pool reads what its order depends on.

    `admits(candidate, bound)` says whether its budgets have room for a new, or a bound, session.
    """

    health: Health
    load: Callable[[str], tuple[int, int]]
    last_used: Callable[[Account], float]
    chance: Callable[[], float]
    admits: Callable[[Candidate, bool], bool]


class Route:
    """A group's model route in one pool: while one of its accounts is `ready`, only they are."""

    __slots__ = ("ready",)

    def __init__(self) -> None:
        self.ready = 0


class Member:
    """An account in a pool.

    `key` is its place in the order, None while it has none. `until` is the end of its rest (0.0
    without one); `out_of_use`: it waits for an operator, not for that. `held`: a model route of its
    group keeps others for the model. `parked`: its budgets had no room a moment ago. `level` ranks
    the group's place in the key's list, then priority.
    """

    __slots__ = (
        "account", "candidate", "held", "key", "level", "name", "out_of_use", "parked",
        "position", "probe", "route", "routed", "until",
    )  # fmt: skip

    def __init__(self, candidate: Candidate, route: Route | None, *, routed: bool) -> None:
        self.candidate = candidate
        self.account = candidate.account
        self.name = f"account:{candidate.account.id}"
        self.probe = f"probe:{candidate.account.id}"
        self.route = route
        self.routed = routed
        self.level = self.position = 0
        self.key: Key | None = None
        self.until = 0.0
        self.held = self.parked = self.out_of_use = False

    def key_at(self, facts: Facts, levels: int, now: float) -> Key:
        """Return the member's place if nothing but room counts. A full one comes after all others.

        One whose rest is over takes one call at a time until one succeeds.
        """
        account, health = self.account, facts.health
        limit = health.concurrency_of(account)
        active, waiting = facts.load(self.name)
        load, level = 0.0, self.level
        if limit > 0:
            load = (active + waiting) / limit
        full = 0 < limit <= active
        if health.half_open(account, self.candidate.upstream_model, now):
            full = full or facts.load(self.probe)[0] > 0
        if full:
            level += levels
        return level, load, facts.last_used(account), facts.chance(), self.position


def members_of(reachable: Iterable[Candidate], model: str, now: float) -> list[Member]:
    """Return the accounts in use that have the model, each once, in its best place.

    An account that a model route leaves out is a member where another group of the key has it,
    else as one of those that are asked when no routed account is usable.
    """
    routes: dict[int, Route] = {}
    kept: dict[int, Member] = {}
    for candidate, route in _having(reachable, model, now):
        account, group = candidate.account, candidate.group
        known = kept.get(account.id)
        if known is not None and (known.route is None or known.routed):
            continue
        if route is None or group is None:
            kept[account.id] = Member(candidate, None, routed=False)
            continue
        routed = account.id in route
        if known is None or routed:
            shared = routes.setdefault(group.id, Route())
            kept[account.id] = Member(candidate, shared, routed=routed)
    return list(kept.values())


def _having(
    reachable: Iterable[Candidate], model: str, now: float
) -> Iterator[tuple[Candidate, frozenset[int] | None]]:
    """Return the accounts in use that have the model, with their group's route for it."""
    routes: dict[int, frozenset[int] | None] = {}
    for candidate in reachable:
        account, group = candidate.account, candidate.group
        if not account.is_usable(now):
            continue
        upstream_model = mapped_model(account.model_mapping, model)
        if upstream_model is None:
            continue
        group_id = 0 if group is None else group.id
        if group_id not in routes:
            routes[group_id] = route_of(group, model)
        yield Candidate(account, upstream_model, group, candidate.rank), routes[group_id]
