"""What a call asks live state for: its session's account first, then others, never too little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sub2api.gateway.entries import (
    Asked,
    Line,
    binding_of,
    budgets_in,
    entry_for,
    moving_binding,
    ranking_for,
)
from sub2api.gateway.places import Places
from sub2api.live.interfaces import Budget, Entry, Granted, Place, Slot, Sticky
from sub2api.live.memory import MemoryLive
from sub2api.settings import Settings
from tests.fakes.fleet import MODEL, PLATFORMS, Fleet, account
from tests.gateway.test_places import NoBudgets

SESSION = "1:session"


class Office:
    """A fleet with live state and places, as the gateway's parts have them."""

    def __init__(self, *accounts: Any, bound: int = 0) -> None:
        self.fleet = Fleet(accounts or [account(n, concurrency=2) for n in range(1, 13)])
        self.live = MemoryLive(self.fleet.clock)
        places = Places(NoBudgets(), self.fleet.health, self.live, self.fleet.clock)  # type: ignore[arg-type]
        self.parts: Any = SimpleNamespace(
            catalogue=self.fleet.catalogue, clock=self.fleet.clock, health=self.fleet.health,
            live=self.live, places=places, scheduler=self.fleet.scheduler, settings=Settings(),
        )  # fmt: skip
        self.bound = bound

    async def open(self) -> Office:
        if self.bound:
            await self.bind(SESSION, self.bound)
        return self

    async def bind(self, name: str, account_id: int) -> None:
        place = Place(account_id, (Slot("x", 9),))
        entry = Entry("binds", 1, 1, candidates=(place,), sticky=Sticky(name))
        assert isinstance(await self.live.enter(entry), Granted)
        await self.live.leave("binds")

    def asked(self, model: str = MODEL, session: str = SESSION) -> Asked:
        return Asked("c", self.fleet.caller, PLATFORMS, model, 10, session)

    def entry(self, line: Line, **asked: str) -> Entry:
        wanted = self.asked(**asked)
        ranking = ranking_for(self.parts, wanted, line)
        side = self.parts.places.of_caller(wanted.caller)
        return entry_for(self.parts, wanted, side, ranking, line)


def line(office: Office, **fields: Any) -> Line:
    return Line(office.fleet.clock.monotonic() + 120, **fields)


async def test_a_session_asks_for_its_own_account_alone_a_slice_at_a_time() -> None:
    office = await Office(bound=5).open()
    entry = office.entry(line(office))
    assert [place.account_id for place in entry.candidates] == [5]
    assert entry.sticky is not None
    assert (entry.sticky.expected, entry.sticky.wait, entry.sticky.max_waiting) == (5, 1.0, 3)
    assert entry.wait == 0.0  # refused at once where three wait already


async def test_the_last_slice_is_what_is_left_and_then_there_is_no_patience() -> None:
    office = await Office(bound=5).open()
    waits = line(office)
    office.fleet.clock.at += 119.75
    sticky = office.entry(waits).sticky
    assert sticky is not None
    assert sticky.wait == 0.25
    office.fleet.clock.at += 5
    sticky = office.entry(waits).sticky
    assert sticky is not None
    assert sticky.wait == 0.0


async def test_overflow_asks_for_others_too_its_own_account_first() -> None:
    office = await Office(bound=5).open()
    entry = office.entry(line(office, overflows=True))
    assert len(entry.candidates) == 8
    assert entry.candidates[0].account_id == 5
    assert entry.sticky is not None
    assert (entry.sticky.max_waiting, entry.sticky.unusable) == (0, frozenset())


async def test_while_there_may_be_others_nobody_waits() -> None:
    office = await Office().open()
    looks = line(office)
    entry = office.entry(looks, session="")
    assert (len(entry.candidates), entry.wait, entry.sticky) == (8, 0.0, None)
    assert looks.may_be_others(entry)
    looks.skip = frozenset(place.account_id for place in entry.candidates)
    rest = office.entry(looks, session="")
    assert (len(rest.candidates), rest.wait) == (4, 1.0)
    looks.skip |= {place.account_id for place in rest.candidates}
    again = office.entry(looks, session="")
    assert (len(again.candidates), again.wait, looks.looked) == (8, 1.0, True)


async def test_a_short_rest_keeps_the_binding_and_a_long_one_gives_it_up() -> None:
    for seconds, void in ((60, frozenset()), (61, frozenset({5}))):
        office = await Office(bound=5).open()
        office.fleet.health.rest(5, office.fleet.clock.now() + seconds)
        entry = office.entry(line(office))
        assert 5 not in {place.account_id for place in entry.candidates}
        assert entry.sticky is not None
        assert (entry.sticky.expected, entry.sticky.unusable) == (5, void)
        moving = moving_binding(office.parts, office.asked())
        assert moving is not None
        assert moving.unusable == void


async def test_a_model_that_the_account_lacks_has_a_binding_of_its_own() -> None:
    mapping = {"other": "other"}
    office = await Office(account(1, model_mapping=mapping), account(2), bound=1).open()
    asked = office.asked()
    assert binding_of(office.parts, asked) == f"{SESSION}:{MODEL}"
    entry = office.entry(line(office))
    assert entry.sticky is not None
    assert (entry.sticky.name, entry.sticky.expected) == (f"{SESSION}:{MODEL}", 0)
    assert binding_of(office.parts, office.asked(model="other")) == SESSION


def test_without_a_session_nothing_moves() -> None:
    office = Office()
    assert moving_binding(office.parts, office.asked(session="")) is None


def test_all_budgets_of_an_entry_are_found() -> None:
    mine, its = Budget("cost:key:1", 1), Budget("cost:account:1", 1)
    entry = Entry("c", 1, 1, budgets=(mine,), candidates=(Place(1, budgets=(its,)), Place(2)))
    assert budgets_in(entry) == [mine, its]
