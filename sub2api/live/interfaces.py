"""Short-lived state that processes share: what is under way, how much lately, who stays where.

Two implementations keep these promises: `memory.py` (one process) and `redis.py` (any number); one
contract test runs on both (`tests/live/test_contract.py`). A call admitted at once that succeeds on
its first account costs one `enter` and one `leave`; everything else about it is read from a local
picture that is at most 250 ms old.

Limits fail open: a shared state that cannot be reached is replaced by this process's own until it
can (with a log line), because a gateway that refuses everybody is worse than one that counts apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec


class Slot(msgspec.Struct, frozen=True):
    """A place for one call on something with a limit. `limit` 0 = unlimited, and not counted."""

    name: str
    limit: int


class Window(msgspec.Struct, frozen=True):
    """At most `limit` in any `seconds` seconds (in steps of one); `amount` is what a call takes.

    `limit` 0 = unlimited, and not counted. A call that would pass the limit is refused, except when
    nothing at all was taken yet: an `amount` above the limit must not be refused for ever. With
    `tokens` the amount is an estimate that `leave` corrects to what was used.
    """

    name: str
    limit: int
    amount: int = 1
    tokens: bool = False
    seconds: int = 60


class Budget(msgspec.Struct, frozen=True):
    """Money (nanodollars) that may be spent under this name, which says from when to when.

    A call comes in while what was spent is below `limit`; what it costs is added by `leave`.
    `expires` (seconds since 1970) is when the counter may be forgotten, 0 for never. `lists` counts
    list costs (before multipliers) instead of what is charged. `limit` 0 = unlimited, not counted.
    """

    name: str
    limit: int
    expires: float = 0.0
    lists: bool = False


class Sessions(msgspec.Struct, frozen=True):
    """At most `limit` different sessions at once; one is over after `idle` seconds without a call.

    A call without a session (`Entry.session` "") takes none.
    """

    name: str
    limit: int
    idle: float = 300.0


class Place(msgspec.Struct, frozen=True):
    """A candidate account: everything that must have room before a call may go to it."""

    account_id: int
    slots: tuple[Slot, ...] = ()
    windows: tuple[Window, ...] = ()
    budgets: tuple[Budget, ...] = ()
    sessions: Sessions | None = None


class Sticky(msgspec.Struct, frozen=True):
    """A session's binding to an account.

    `name` is unique per API key and session. `expected` is the account the asker has ranked first
    because it believes in a binding to it (0: it knows of none). `unusable` are accounts a binding
    to which is void. `ttl` seconds after its last use a binding is forgotten.
    """

    name: str
    expected: int = 0
    unusable: frozenset[int] = frozenset()
    ttl: float = 3600.0
    wait: float = 120.0
    max_waiting: int = 3


class Entry(msgspec.Struct, frozen=True):
    """A call that asks to come in.

    It needs room in all of `slots`, `windows` and `budgets` (its caller's), and in the first of
    `candidates` (ranked, best first, at most 8) that has any. Windows and budgets of the caller
    refuse at once; slots and candidates are waited for, at most `wait` seconds.

    Waiting is fair: whose user was let in longest ago goes first, then whose key, then who came
    first. At most `max_waiting` calls of a user wait. `ticket` (from a `Refused`) keeps the place
    in line for one that asks again.

    A binding (`sticky`) to `candidates[0]` is waited for before anything else: `Sticky.wait`
    seconds, if fewer than `Sticky.max_waiting` calls wait for that account in this way, and if it
    is somebody's leaving, not time (a window), that makes room there.
    """

    call_id: str
    user: int
    key: int
    slots: tuple[Slot, ...] = ()
    windows: tuple[Window, ...] = ()
    budgets: tuple[Budget, ...] = ()
    candidates: tuple[Place, ...] = ()
    sticky: Sticky | None = None
    session: str = ""
    wait: float = 30.0
    max_waiting: int = 100
    ticket: int = 0


class Usage(msgspec.Struct, frozen=True):
    """How full the caller's tightest window of a kind is: for `x-ratelimit-*` headers.

    `resets` is seconds until it is wholly free.
    """

    limit: int
    remaining: int
    resets: float


class Granted(msgspec.Struct, frozen=True):
    """The call is in. `candidate` is the index of the candidate it got, -1 if it asked for none.

    `requests` and `tokens` are the tightest of the caller's windows after it, None without one.
    """

    candidate: int
    waited: float = 0.0
    requests: Usage | None = None
    tokens: Usage | None = None


class Refused(msgspec.Struct, frozen=True):
    """The call is not in. `full` is the name of what had no room.

    `retry_after` is in seconds, None where only somebody's leaving makes room. `queue_full`: it was
    not allowed to wait. `ticket` keeps its place in line if it asks again within two seconds.
    """

    full: str
    retry_after: float | None = None
    queue_full: bool = False
    ticket: int = 0
    requests: Usage | None = None
    tokens: Usage | None = None


class Unfilled(msgspec.Struct, frozen=True):
    """Nothing was taken: these budgets are not known here. `fill` them and ask again."""

    names: tuple[str, ...]


class Bound(msgspec.Struct, frozen=True):
    """Nothing was taken: the session is bound to another account than the asker expected.

    It ranks that account first and asks again, or names it in `Sticky.unusable`.
    """

    account_id: int


Decision = Granted | Refused | Unfilled | Bound


class Live(Protocol):
    """Admission to limited things. Everything a call holds is kept under its call id."""

    async def enter(self, entry: Entry) -> Decision:
        """Take all that the entry asks for, or nothing. Cancelling the wait takes nothing."""
        ...

    async def swap(
        self, call_id: str, candidates: tuple[Place, ...], sticky: Sticky | None = None
    ) -> Granted | Refused | Unfilled:
        """Give up the call's candidate; take the first free one of others without waiting.

        A binding moves along if `sticky.unusable` has the account it was bound to.
        """
        ...

    async def leave(
        self,
        call_id: str,
        *,
        tokens: int | None = None,
        cost: int = 0,
        list_cost: int = 0,
        only_caller: bool = False,
    ) -> None:
        """Give back everything the call holds, and book what it used. Safe to repeat.

        `tokens` corrects the estimates of token windows (None: the estimate stands); `cost` and
        `list_cost` (nanodollars) go to the budgets. `only_caller` gives back the caller's slots
        alone: the client has gone, the upstream works on.
        """
        ...

    async def fill(self, spent: Mapping[Budget, int], seen: Mapping[str, frozenset[str]]) -> None:
        """Set budgets that were `Unfilled` to what the store says was spent under their names.

        `seen` are, per budget's name, the call ids among `filling(name)` that the store's sum has.
        """
        ...

    async def filling(self, name: str) -> frozenset[str]:
        """Return the ids of calls booked under an unfilled name since it was first asked for.

        Their cost is known here and may, or may not yet, be in the store.
        """
        ...

    async def unbind(self, sticky_name: str, account_id: int) -> None:
        """Forget a binding, if it is still to that account."""
        ...

    def bound(self, sticky_name: str) -> int:
        """Return the account a session is bound to as far as this process knows, 0 for none."""
        ...

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot's name, at most 250 ms old."""
        ...

    def spent(self, name: str) -> int | None:
        """Return what was spent under a budget's name, at most 250 ms old; None if not filled."""
        ...

    def watch_load(self, changed: Callable[[str], None]) -> None:
        """Call `changed(slot name)` whenever `load` has begun to return something else."""
        ...

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell every process, this one included. Delivery is quick, and not guaranteed."""
        ...

    def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with every message of a channel from now on."""
        ...

    async def start(self) -> None:
        """Begin what runs in the background (leases, the local picture, messages)."""
        ...

    async def close(self) -> None:
        """Give back everything this process holds, and stop."""
        ...
