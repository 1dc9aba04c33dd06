"""Facts that gateways of this kind are known by, where no other test has them.

Those with a test of their own stand beside their subject: selection in test_scheduling.py, sessions
in test_sessions.py, refusals of vendors in tests/platforms, rests in tests/upstream.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sub2api.demo.script import Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.identity.users import Owner
from sub2api.live.interfaces import Entry, Granted, Place, Refused, Sessions, Slot
from sub2api.live.memory import MemoryLive
from sub2api.model.callers import ApiKey
from sub2api.model.health import ErrorRule
from sub2api.settings import Settings
from sub2api.store import error_rules
from tests.fakes.clocks import ShiftedClock, StandingClock
from tests.fakes.holding import call, gone, nothing_is_left, start
from tests.fakes.world import World, running_world
from tests.gateway.test_sessions import PATHS, name_of
from tests.journeys.test_fidelity import CALLS, ask
from tests.live.kit import until

GEMINI = CALLS["gemini"]
REFUSALS = Path(__file__).parents[1] / "golden" / "refusals" / "gemini.json"


def test_waits_and_switches_have_the_bounds_that_operators_know() -> None:
    """T4, T7, T30: 30 s and 100 waiting for any account, 120 s and 3 for a session's own."""
    gateway = Settings().gateway
    waits = gateway.scheduling
    assert (waits.fallback_wait_timeout, waits.fallback_max_waiting) == (30.0, 100)
    assert (waits.sticky_session_wait_timeout, waits.sticky_session_max_waiting) == (120.0, 3)
    assert (gateway.max_account_switches, gateway.max_account_switches_gemini) == (10, 3)


async def test_a_key_of_an_empty_group_reaches_no_account_of_others(world: World) -> None:
    """T13: there is no fallback to all accounts."""
    await world.add_group("empty", "anthropic")
    world.key = await world.add_key("grouped", groups=("empty",))
    assert (await call(world)).status_code == 400
    assert not world.upstream.requests


def test_where_a_client_calls_from_and_with_what_is_not_its_conversation() -> None:
    """T21, as we have it: neither address nor user agent counts, the key does."""
    body = {"messages": [{"role": "user", "content": "hi"}]}
    mine = name_of(PATHS["messages"], body, {"user-agent": "a/1", "x-forwarded-for": "1.2.3.4"})
    assert mine == name_of(PATHS["messages"], body, {"user-agent": "b/2"}) != ""
    assert mine != name_of(PATHS["messages"], body, {"user-agent": "a/1"}, key_id=8)


async def test_a_session_too_many_is_refused_and_takes_no_place() -> None:
    """T18."""
    live = MemoryLive(StandingClock())
    place = Place(1, (Slot("account:1", 5),), sessions=Sessions("sessions:1", 1))

    async def enter(call_id: str, session: str) -> object:
        entry = Entry(call_id, 1, 1, candidates=(place,), session=session, wait=0.0)
        return await live.enter(entry)

    assert isinstance(await enter("a", "one"), Granted)
    assert isinstance(await enter("b", "two"), Refused)
    assert live.load("account:1") == (1, 0)
    assert isinstance(await enter("c", "one"), Granted)


async def test_a_spent_window_is_for_sessions_that_are_there_and_then_for_nobody(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """T17: limit and reserve are one call's cost each; what is spent comes with every reply."""
    clock = ShiftedClock()
    clock.shift = 600.0 - clock.now() % 3600  # the window is counted from the top of the hour
    async with running_world(tmp_path, upstream, clock=clock) as world:
        await call(world)
        cost = (await world.rows(1))[0].list_cost
        assert cost
        limits = {"window_cost_limit": cost, "window_cost_reserve": cost}
        await world.add_account("anthropic", "windowed", priority=1, **limits)
        for session in ("one", "two", "one", "one"):
            assert (await call(world, session)).status_code == 200
        names = [row.account_name for row in reversed(await world.rows(5))]
        assert names[1:] == ["windowed", "anthropic-1", "windowed", "anthropic-1"]


# -- failover


async def two_accounts(world: World) -> None:
    await world.add_account("anthropic", "anthropic-2", priority=60)
    await world.add_account("gemini", "gemini-2", priority=60)


async def test_without_switches_the_first_failure_is_the_last(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """T30."""
    async with running_world(tmp_path, upstream, GATEWAY_MAX_ACCOUNT_SWITCHES="0") as world:
        await two_accounts(world)
        upstream.script("anthropic-1", Refuse(500))
        assert (await call(world)).status_code == 502
        assert len(upstream.requests) == 1
        await nothing_is_left(world)


async def test_a_call_moves_as_often_as_the_setting_says(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """T34: and then the client hears of it, with nobody waiting and trying anew."""
    async with running_world(tmp_path, upstream, GATEWAY_MAX_ACCOUNT_SWITCHES="2") as world:
        names = ["anthropic-1", *(f"more-{number}" for number in range(5))]
        for name in names[1:]:
            await world.add_account("anthropic", name)
        for name in names:
            upstream.always(name, Refuse(503))
        assert (await call(world)).status_code in {502, 503, 529}
        assert len(upstream.requests) == 3
        await nothing_is_left(world)


def no_capacity() -> Refuse:
    """Return an answer after which the same account is asked again, a second later."""
    rows = json.loads(REFUSALS.read_text())
    (row,) = [each for each in rows if each["name"] == "capacity of a model"]
    assert row["expect"]["then"] == "same_account"
    return Refuse(row["status"], json.dumps(row["body"]).encode())


@pytest.mark.parametrize(("switches", "status"), [("3", 200), ("0", 503)])
async def test_the_same_account_is_asked_twice_more_and_then_another_if_that_is_allowed(
    tmp_path: Path, upstream: DemoUpstream, switches: str, status: int
) -> None:
    """T31, T30."""
    setting = {"GATEWAY_MAX_ACCOUNT_SWITCHES_GEMINI": switches}
    async with running_world(tmp_path, upstream, **setting) as world:
        await two_accounts(world)
        upstream.always("gemini-1", no_capacity())
        reply = await ask(world, GEMINI[1], GEMINI[2])
        assert reply.status_code == status
        asked = [seen.headers["x-goog-api-key"] for seen in upstream.requests]
        assert asked == ["gemini-1"] * 3 + ["gemini-2"] * (status == 200)
        await nothing_is_left(world)


async def test_a_client_that_leaves_between_two_attempts_ends_them(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """T34: cancelled is stopped."""
    async with running_world(tmp_path, upstream) as world:
        await two_accounts(world)
        upstream.always("gemini-1", no_capacity())
        client = start(ask(world, GEMINI[1], GEMINI[2]))
        await until(lambda: len(upstream.requests) == 1)
        await asyncio.sleep(0.2)  # its answer is there: now it pauses for a second
        await gone(client)
        await nothing_is_left(world)
        row = (await world.rows(1))[0]
        assert (row.status, row.attempts) == (499, 1)
        assert len(upstream.requests) == 1


# -- configuration that changes


async def test_a_rule_that_was_disabled_is_out_of_force_even_if_reading_it_failed_at_first(
    world: World,
) -> None:
    """T79: whoever cannot read the configuration tries again until it can."""
    database = world.parts.database
    rule = ErrorRule(id=0, name="polite", statuses=(400,), message="We are sorry.")
    async with database.transaction() as connection:
        await error_rules.insert(connection, rule)
    world.upstream.always("anthropic-1", Refuse(400, message="bad"))
    async with asyncio.timeout(5):
        while b"We are sorry" not in (await call(world)).content:
            await asyncio.sleep(0.05)
    away = "ALTER TABLE groups RENAME TO groups_away"
    await elsewhere(world, "UPDATE error_rules SET enabled = 0", away)
    await asyncio.sleep(1.2)  # two looks at least, and neither can read all
    await elsewhere(world, "ALTER TABLE groups_away RENAME TO groups")
    async with asyncio.timeout(5):
        while b"We are sorry" in (await call(world)).content:
            await asyncio.sleep(0.05)


async def elsewhere(world: World, *statements: str) -> None:
    """Change the store as another process would."""

    def change() -> None:
        path = Path(world.settings.data_dir) / "sub2api.db"
        with closing(sqlite3.connect(path, timeout=10)) as database, database:
            for each in statements:
                database.execute(each)

    await asyncio.to_thread(change)


async def test_a_key_that_was_unknown_works_as_soon_as_it_is_made(world: World) -> None:
    """T80: not only after the 30 s that an unknown key is remembered."""
    text = "a-key-of-my-own-choice"
    world.key = text
    assert (await call(world)).status_code == 401
    assert (await call(world)).status_code == 401
    blank = ApiKey(id=0, user_id=0, name="mine", hint="")
    await world.keys.create(blank, text=text)
    async with asyncio.timeout(3):
        while (await call(world)).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_change_of_the_owner_or_a_group_holds_for_all_its_keys(world: World) -> None:
    """T80."""
    await world.add_group("team", "anthropic")
    await world.add_account("anthropic", "a1", groups=("team",))
    keys = [await world.add_key(f"k{number}", groups=("team",)) for number in range(2)]
    for world.key in keys:
        assert (await call(world)).status_code == 200
    await Owner(world.parts.database, world.parts.clock).change({"rpm": 1})
    for world.key in keys:
        async with asyncio.timeout(3):
            while "x-ratelimit-limit-requests" not in (await call(world)).headers:
                await asyncio.sleep(0.05)
