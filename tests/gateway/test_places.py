"""What a call must have room in."""

from __future__ import annotations

from typing import Any

import pytest

from sub2api.gateway.places import Places, slot
from sub2api.live.interfaces import Budget, Sessions, Slot, Window
from sub2api.live.memory import MemoryLive
from sub2api.model.accounts import Account, Group
from sub2api.model.callers import ApiKey, Caller, User
from sub2api.model.health import UsageWindow
from sub2api.model.limits import Limits
from sub2api.upstream.catalogue import Candidate
from tests.fakes.clocks import StandingClock
from tests.fakes.set_health import FakeHealth
from tests.gateway.test_budgets import NOW


class NoBudgets:
    """Budgets named simply: what is of interest here is who has any."""

    def of(self, owner: Any) -> tuple[Budget, ...]:
        if not owner.limits.cost_day:
            return ()
        return (Budget(f"cost:{owner.noun}:{owner.id}", owner.limits.cost_day),)


class Ward(FakeHealth):
    """Health whose windows are set."""

    windows: tuple[UsageWindow, ...] = ()

    def windows_of(self, account_id: int) -> tuple[UsageWindow, ...]:
        return self.windows


class Office:
    """Places over live state in memory."""

    def __init__(self) -> None:
        self.clock = StandingClock(NOW)
        self.live = MemoryLive(self.clock)
        self.health = Ward()
        self.places = Places(NoBudgets(), self.health, self.live, self.clock)  # type: ignore[arg-type]

    def place(self, account: Account, group: Group | None = None, **fields: Any) -> Any:
        candidate = Candidate(account, "m", group, 0)
        return self.places.place(
            candidate, fields.get("tokens", 10), bound=fields.get("bound", False)
        )


@pytest.fixture
def office() -> Office:
    return Office()


def caller(user: dict[str, Any] | None = None, **key: Any) -> Caller:
    return Caller(ApiKey(3, 1, "k", "", **key), User(1, "", **(user or {})))


def account(**fields: Any) -> Account:
    return Account(7, "a", "anthropic", **fields)


def test_slots_of_one_thing_are_one_value() -> None:
    assert slot("user", 1, 5) is slot("user", 1, 5)


def test_a_caller_without_limits_asks_for_nothing(office: Office) -> None:
    side = office.places.of_caller(caller())
    assert (side.slots, side.limited) == ((), ())


def test_a_callers_limits_are_its_users_and_its_keys(office: Office) -> None:
    known = caller({"concurrency": 5, "limits": Limits(rpm=60)}, concurrency=2, quota=100,
                   limits=Limits(tpm=1000, cost_day=9))  # fmt: skip
    side = office.places.of_caller(known)
    assert office.places.of_caller(known) is side
    assert side.slots == (Slot("user:1", 5), Slot("key:3", 2))
    assert office.places.windows_of(side, 25) == (
        Window("rpm:user:1", 60),
        Window("tpm:key:3", 1000, 25, tokens=True),
    )
    assert office.places.budgets_of(side) == (Budget("cost:key:3", 9),)
    changed = caller(concurrency=9)
    assert office.places.of_caller(changed).slots == (Slot("key:3", 9),)


def test_a_plain_account_is_one_value_until_it_changes(office: Office) -> None:
    mine = account(concurrency=4)
    first = office.place(mine)
    assert first.slots == (Slot("account:7", 4),)
    assert office.place(mine) is first
    office.health.lower(7, 2)
    assert office.place(mine).slots == (Slot("account:7", 2),)


def test_after_a_rest_one_probe_at_a_time_is_let_through(office: Office) -> None:
    mine = account(concurrency=4)
    office.health.rest(7, NOW - 1)
    assert office.place(mine).slots == (Slot("account:7", 4), Slot("probe:7", 1))
    office.health.clear(7)
    assert office.place(mine).slots == (Slot("account:7", 4),)


def test_a_group_and_an_accounts_own_limits_come_along(office: Office) -> None:
    group = Group(2, "g", "anthropic", concurrency=9, limits=Limits(rpm=5, cost_day=8))
    mine = account(limits=Limits(tpm=100), max_sessions=2, session_idle_minutes=3)
    place = office.place(mine, group, tokens=30)
    assert place.slots == (Slot("group:2", 9),)
    assert set(place.windows) == {
        Window("rpm:group:2", 5),
        Window("tpm:account:7", 100, 30, tokens=True),
    }
    assert place.budgets == (Budget("cost:group:2", 8),)
    assert place.sessions == Sessions("sessions:7", 2, 180.0)
    assert office.place(mine, group, tokens=31).windows != place.windows


def test_window_cost_has_a_reserve_for_bound_sessions(office: Office) -> None:
    mine = account(window_cost_limit=100, window_cost_reserve=10)
    top = int(NOW - NOW % 3600)
    (budget,) = office.place(mine).budgets
    assert (budget.name, budget.limit, budget.lists) == (f"cost:account:7:vendor:{top}", 100, True)
    assert office.place(mine, bound=True).budgets[0].limit == 110
    office.health.windows = (
        UsageWindow("7d", 0.1, NOW + 99999, NOW),
        UsageWindow("5h", 0.5, NOW + 600, NOW),
    )
    since = int(NOW + 600 - 5 * 3600)
    assert office.place(mine).budgets[0].name == f"cost:account:7:vendor:{since}"
    office.clock.at = NOW + 601  # that window is over, and nobody has told of the next
    assert office.place(mine).budgets[0].name == f"cost:account:7:vendor:{top}"


async def test_a_candidate_is_admitted_while_its_budgets_have_room(office: Office) -> None:
    mine = Candidate(account(window_cost_limit=100, window_cost_reserve=10), "m", None, 0)
    assert office.places.admits(mine, False)  # nothing is known yet
    (budget,) = office.place(mine.account).budgets
    for spent, fresh, bound in ((99, True, True), (100, False, True), (110, False, False)):
        office.live = MemoryLive(office.clock)
        office.places = Places(NoBudgets(), office.health, office.live, office.clock)  # type: ignore[arg-type]
        await office.live.fill({budget: spent}, {})
        assert office.places.admits(mine, False) is fresh
        assert office.places.admits(mine, True) is bound
