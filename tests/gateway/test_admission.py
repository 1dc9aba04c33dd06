"""Who may come in, and when: one reply and nothing left behind, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sub2api import wiring
from sub2api.demo.script import Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.errors import Harm, StoreError
from sub2api.gateway.budgets import Budgets
from sub2api.live.interfaces import Budget, Live
from sub2api.model.limits import Limits
from sub2api.upstream.groups import Groups
from tests.fakes.clocks import ShiftedClock
from tests.fakes.holding import call, gone, holding, nothing_is_left, start, waiting
from tests.fakes.redis_server import running_redis
from tests.fakes.world import World, listening, running_world
from tests.live.kit import until

SESSION = "s1"
MODEL = "claude-sonnet-4-5"


@asynccontextmanager
async def narrow(
    tmp_path: Path, upstream: DemoUpstream, accounts: int = 1, **environment: str
) -> AsyncIterator[World]:
    """Run a gateway whose accounts a1, a2, ... take one call each, a1 first."""
    environment = {"GATEWAY_DISCONNECT": "cancel", **environment}
    async with running_world(tmp_path, upstream, bare=True, **environment) as world:
        for number in range(1, accounts + 1):
            await world.add_account("anthropic", f"a{number}", concurrency=1, priority=number)
        yield world


@pytest.fixture(params=["memory", "redis"])
def state(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Where live state is kept."""
    if request.param == "memory":
        yield {}
        return
    with running_redis() as server:
        yield {"REDIS_URL": server.url}


def asked(world: World, name: str) -> int:
    return sum(seen.headers["x-api-key"] == name for seen in world.upstream.requests)


async def begin_to_rest(world: World, name: str, seconds: float = 300.0) -> None:
    """Let an account rest, as an answer of its vendor would."""
    account = await world.accounts.find(name)
    until = world.parts.clock.now() + seconds
    world.parts.health.harmed(account, MODEL, Harm("rest", "burst", until=until))


@pytest.mark.parametrize("phase", ["its session's account", "any account"])
async def test_a_client_that_leaves_while_it_waits_leaves_nothing_and_asks_nobody(
    tmp_path: Path, upstream: DemoUpstream, state: dict[str, str], phase: str
) -> None:
    accounts = 2 if phase == "its session's account" else 1
    async with narrow(tmp_path, upstream, accounts, **state) as world:
        assert (await call(world, SESSION)).status_code == 200
        async with holding(world, "a1"):
            client = start(call(world, SESSION))
            await waiting(world, "a1", 1, 1)
            await gone(client)
            await waiting(world, "a1", 1, 0)
        await nothing_is_left(world)
        assert len(upstream.requests) == 2  # the first turn, and the holder
        assert (await call(world, SESSION)).status_code == 200
        assert {row.error for row in await world.rows(3)} == {"", "client_left"}


class SlowBudgets(Budgets):
    """Budgets whose store answers when it is told to."""

    def __init__(self, world: World) -> None:
        parts = world.parts
        super().__init__(parts.database, parts.journal, parts.clock, parts.settings.timezone)
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.broken = False

    async def fill(self, live: Live, unfilled: Iterable[Budget]) -> None:
        self.asked.set()
        await self.answers.wait()
        if self.broken:
            raise StoreError("the database is away", transient=True)
        await super().fill(live, unfilled)


async def test_a_client_that_leaves_while_the_store_is_asked_leaves_nothing(
    world: World,
) -> None:
    world.key = await world.add_key("limited", limits=Limits(cost_day=10**12), concurrency=1)
    budgets = SlowBudgets(world)
    async with listening(dataclasses.replace(world.parts, budgets=budgets)) as base_url:
        other = dataclasses.replace(world, base_url=base_url)
        client = start(call(other))
        await budgets.asked.wait()
        await gone(client)
        budgets.answers.set()
        await nothing_is_left(world)
        assert not world.upstream.requests
        assert (await call(other)).status_code == 200


async def test_limits_on_costs_fail_open_while_the_store_is_away_and_hold_again_after(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.change_account("anthropic-1", limits=Limits(cost_day=10**12))
    world.key = await world.add_key("limited", limits=Limits(cost_day=1), concurrency=1)
    budgets = SlowBudgets(world)
    budgets.broken = True
    budgets.answers.set()
    async with listening(dataclasses.replace(world.parts, budgets=budgets)) as base_url:
        other = dataclasses.replace(world, base_url=base_url)
        for _ in range(3):
            assert (await call(other)).status_code == 200
        assert "limits on costs are not known" in caplog.text
        await world.rows(3)
        budgets.broken = False
        assert (await call(other)).status_code == 402
    await nothing_is_left(world)


async def test_failover_goes_on_while_the_store_is_away(world: World) -> None:
    """The next account's budget is asked of the store in the middle of a call."""
    await world.add_account("anthropic", "a2", limits=Limits(cost_day=10**12), priority=90)
    world.upstream.script("anthropic-1", Refuse(429))
    budgets = SlowBudgets(world)
    budgets.broken = True
    budgets.answers.set()
    async with listening(dataclasses.replace(world.parts, budgets=budgets)) as base_url:
        reply = await call(dataclasses.replace(world, base_url=base_url))
    assert reply.status_code == 200
    assert [row.account_name for row in await world.rows(1)] == ["a2"]
    await nothing_is_left(world)


async def test_an_account_that_is_disabled_while_calls_wait_for_it_is_asked_no_more(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with narrow(tmp_path, upstream) as world:
        async with holding(world, "a1"):
            clients = [start(call(world)) for _ in range(3)]
            await waiting(world, "a1", 1, 3)
            await world.change_account("a1", status="disabled")
            replies = await asyncio.gather(*clients)
        assert {reply.status_code for reply in replies} == {503}
        assert asked(world, "a1") == 1
        await nothing_is_left(world)


async def test_a_group_that_goes_while_a_call_waits_takes_its_accounts_along(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with narrow(tmp_path, upstream, 0) as world:
        await world.add_group("team", "anthropic")
        await world.add_account("anthropic", "a1", concurrency=1, groups=("team",))
        world.key = await world.add_key("grouped", groups=("team",))
        async with holding(world, "a1"):
            client = start(call(world))
            await waiting(world, "a1", 1, 1)
            await Groups(world.parts.database, world.parts.clock).remove("team")
            await wiring.refresh(world.parts)
            reply = await client
        assert reply.status_code in {400, 403}
        assert reply.json()["type"] == "error"
        assert asked(world, "a1") == 1
        await nothing_is_left(world)


async def test_an_account_that_begins_to_rest_is_not_asked_by_those_who_waited_for_it(
    tmp_path: Path, upstream: DemoUpstream, state: dict[str, str]
) -> None:
    async with narrow(tmp_path, upstream, **state) as world:
        async with holding(world, "a1"):
            clients = [start(call(world, f"s{number}")) for number in range(5)]
            await waiting(world, "a1", 1, 5)
            await begin_to_rest(world, "a1")
        replies = await asyncio.gather(*clients)
        assert {reply.status_code for reply in replies} == {429}
        assert all(290 <= int(reply.headers["retry-after"]) <= 300 for reply in replies)
        assert asked(world, "a1") == 1
        await nothing_is_left(world)


async def test_a_session_whose_account_begins_to_rest_while_it_waits_goes_elsewhere(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with narrow(tmp_path, upstream, 2) as world:
        assert (await call(world, SESSION)).status_code == 200
        async with holding(world, "a1"):
            client = start(call(world, SESSION))
            await waiting(world, "a1", 1, 1)
            await begin_to_rest(world, "a1")
        assert (await client).status_code == 200
        assert (asked(world, "a1"), asked(world, "a2")) == (2, 1)
        assert (await call(world, SESSION)).status_code == 200
        assert asked(world, "a2") == 2  # it has moved: the rest is long
        await nothing_is_left(world)


async def test_a_burst_that_comes_to_the_first_in_line_is_not_felt_by_the_whole_line(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 20: twenty calls wait, the account answers 429; one of them hears it, not all."""
    async with narrow(tmp_path, upstream) as world:
        async with holding(world, "a1"):
            clients = [start(call(world)) for _ in range(20)]
            await waiting(world, "a1", 1, 20)
            upstream.always("a1", Refuse(429, headers=(("retry-after", "300"),)))
        replies = await asyncio.gather(*clients)
        assert {reply.status_code for reply in replies} == {429}
        assert asked(world, "a1") == 2
        await nothing_is_left(world)


async def test_a_key_that_is_revoked_while_its_call_waits_reaches_no_account(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with narrow(tmp_path, upstream) as world:
        async with holding(world, "a1"):
            world.key = await world.add_key("short-lived")
            client = start(call(world))
            await waiting(world, "a1", 1, 1)
            await world.keys.revoke("short-lived")
            await wiring.refresh(world.parts)
        assert (await client).status_code == 401
        assert asked(world, "a1") == 1
        await nothing_is_left(world)


async def test_more_calls_of_a_user_than_may_wait_are_refused_at_once(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """T28, by our own rule: how many may wait is one setting."""
    setting = {"GATEWAY_SCHEDULING_FALLBACK_MAX_WAITING": "2"}
    async with narrow(tmp_path, upstream, **setting) as world:
        async with holding(world, "a1"):
            clients = [start(call(world)) for _ in range(2)]
            await waiting(world, "a1", 1, 2)
            refused = await call(world)
            assert refused.status_code == 429
            assert "too many calls are waiting" in refused.json()["error"]["message"]
        assert [(await each).status_code for each in clients] == [200, 200]
        await nothing_is_left(world)


async def test_who_has_waited_in_vain_is_told_so_and_for_how_long(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """T4: a wait ends after its time."""
    setting = {"GATEWAY_SCHEDULING_FALLBACK_WAIT_TIMEOUT": "1.2"}
    async with narrow(tmp_path, upstream, **setting) as world, holding(world, "a1"):
        refused = await call(world)
        assert refused.status_code == 429
        assert "no place became free" in refused.json()["error"]["message"]
        timing = refused.headers["server-timing"]
        queued = float(timing.partition("queue;dur=")[2])
        assert 1190 <= queued < 5000
        assert float(timing.partition("gw;dur=")[2].partition(",")[0]) < 1000


NOTHING = {
    "GATEWAY_SCHEDULING_FALLBACK_WAIT_TIMEOUT": "0",
    "GATEWAY_SCHEDULING_FALLBACK_MAX_WAITING": "0",
    "GATEWAY_SCHEDULING_STICKY_SESSION_WAIT_TIMEOUT": "0",
    "GATEWAY_SCHEDULING_STICKY_SESSION_MAX_WAITING": "0",
}
HUGE = {
    "GATEWAY_SCHEDULING_FALLBACK_WAIT_TIMEOUT": "86400",
    "GATEWAY_SCHEDULING_FALLBACK_MAX_WAITING": "100000",
    "GATEWAY_SCHEDULING_STICKY_SESSION_WAIT_TIMEOUT": "86400",
    "GATEWAY_SCHEDULING_STICKY_SESSION_MAX_WAITING": "10000",
}


async def test_where_nobody_may_wait_the_full_refuse_at_once_and_sessions_go_elsewhere(
    tmp_path: Path, upstream: DemoUpstream, state: dict[str, str]
) -> None:
    async with narrow(tmp_path, upstream, 2, **NOTHING, **state) as world:
        assert (await call(world, SESSION)).status_code == 200
        async with holding(world, "a1"):
            assert (await call(world, SESSION)).status_code == 200
            assert asked(world, "a2") == 1
            async with holding(world, "a2"):
                refused = await call(world, SESSION)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
                assert "no place became free" in refused.json()["error"]["message"]
        await nothing_is_left(world)


async def test_where_all_may_wait_for_ever_each_gets_in_and_one_that_leaves_is_let_go(
    tmp_path: Path, upstream: DemoUpstream, state: dict[str, str]
) -> None:
    async with narrow(tmp_path, upstream, 2, **HUGE, **state) as world:
        assert (await call(world, SESSION)).status_code == 200
        async with holding(world, "a1"):
            clients = [start(call(world, SESSION)) for _ in range(9)]
            await waiting(world, "a1", 1, 9)
            await gone(clients.pop())
        assert {(await each).status_code for each in clients} == {200}
        assert asked(world, "a2") == 0
        await nothing_is_left(world)


async def test_a_stream_that_waits_for_its_sessions_account_is_kept_alive_and_told_once(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with narrow(tmp_path, upstream, 2, GATEWAY_KEEPALIVE_SECONDS="0.1") as world:
        assert (await call(world, SESSION)).status_code == 200
        async with holding(world, "a1"):
            client = start(call(world, SESSION))
            await waiting(world, "a1", 1, 1)
            await asyncio.sleep(0.5)
        reply = await client
        assert reply.content.count(b"event: ping") >= 3
        assert reply.content.count(b"event: message_start") == 1
        assert reply.content.count(b"event: message_stop") == 1
        await nothing_is_left(world)


async def test_a_waiting_stream_that_is_refused_hears_one_error_event(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    settings = {
        "GATEWAY_KEEPALIVE_SECONDS": "0.1",
        "GATEWAY_SCHEDULING_FALLBACK_WAIT_TIMEOUT": "0.5",
    }
    async with narrow(tmp_path, upstream, **settings) as world:
        async with holding(world, "a1"):
            reply = await call(world)
        assert reply.status_code == 200
        assert reply.content.count(b"event: ping") >= 2
        assert reply.content.count(b"event: error") == 1
        assert b"message_start" not in reply.content
        await nothing_is_left(world)


@pytest.mark.parametrize("stream", [True, False])
async def test_how_long_a_call_waited_is_told(
    tmp_path: Path, upstream: DemoUpstream, stream: bool
) -> None:
    async with narrow(tmp_path, upstream) as world:
        at_once = await call(world, stream=stream)
        assert "queue" not in at_once.headers["server-timing"]
        async with holding(world, "a1"):
            client = start(call(world, stream=stream))
            await waiting(world, "a1", 1, 1)
            await asyncio.sleep(1.3)  # longer than one asking lasts
        timing = (await client).headers["server-timing"]
        assert float(timing.partition("queue;dur=")[2]) >= 1300
        assert float(timing.partition("gw;dur=")[2].partition(",")[0]) < 1000


async def test_a_probe_that_fails_is_not_followed_by_all_who_waited_for_what_it_finds(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Half-open: one call asks, and tells the others by what becomes of it."""
    clock = ShiftedClock()
    async with running_world(tmp_path, upstream, clock=clock) as world:
        upstream.script("anthropic-1", Refuse(429))
        assert (await call(world)).status_code == 429
        clock.shift = 6.0
        upstream.always("anthropic-1", Refuse(429, headers=(("retry-after", "300"),)))
        replies = await asyncio.gather(*(call(world) for _ in range(10)))
        assert {reply.status_code for reply in replies} == {429}
        assert asked(world, "anthropic-1") == 2
        await nothing_is_left(world)


async def test_what_waits_for_more_accounts_than_are_ranked_finds_the_one_that_becomes_free(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Twelve full accounts; the one ranked last becomes free, and none of the others does."""
    async with narrow(tmp_path, upstream, 12) as world, AsyncExitStack() as held:
        for number in range(1, 12):
            await held.enter_async_context(holding(world, f"a{number}"))
        async with holding(world, "a12"):
            client = start(call(world))
            await until(lambda: any(world.parts.live.load(f"account:{n}")[1] for n in range(13)))
        async with asyncio.timeout(5):
            assert (await client).status_code == 200
        assert asked(world, "a12") == 2
