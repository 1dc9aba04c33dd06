"""Gateways that share their live state through a real Redis, over real sockets."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sub2api.demo.script import Play, Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.model.limits import Limits
from tests.fakes.clocks import ShiftedClock
from tests.fakes.counting_proxy import CountingProxy, counting_proxy
from tests.fakes.holding import call, holding, nothing_is_left, start
from tests.fakes.redis_server import RedisServer, running_redis
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import ask
from tests.live.kit import count, until


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def upstream() -> AsyncIterator[Busy]:
    server = Busy()
    await server.start()
    yield server
    await server.stop()


class Busy(DemoUpstream):
    """A vendor that knows how many generations it had under way at most, in all and per account."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def _play(self, wire: str, credential: str, *rest: Any) -> bool:
        for name in (credential, ""):
            self.now[name] += 1
            self.most[name] = max(self.most[name], self.now[name])
        try:
            return await super()._play(wire, credential, *rest)
        finally:
            self.now.subtract((credential, ""))


@asynccontextmanager
async def gateway(
    tmp_path: Path, upstream: DemoUpstream, url: str, **options: Any
) -> AsyncIterator[World]:
    """Run a gateway on the directory and Redis that others use too."""
    options = {"GATEWAY_DISCONNECT": "cancel", "REDIS_URL": url, **options}
    async with running_world(tmp_path, upstream, bare=True, **options) as world:
        yield world


async def accounts(world: World, *names: str, **fields: Any) -> None:
    for name in names:
        await world.add_account("anthropic", name, **fields)


def served_by(upstream: DemoUpstream) -> list[str]:
    return [entry.credential for entry in upstream.entries]


# -- a restart


async def test_sessions_stay_with_their_accounts_through_a_restart(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    sessions = [f"s{number}" for number in range(12)]
    async with gateway(tmp_path, upstream, redis.url) as world:
        await accounts(world, "a1", "a2", "a3", "a4")
        for session in sessions:
            assert (await call(world, session)).status_code == 200
    before = served_by(upstream)
    assert len(set(before)) == 4
    async with gateway(tmp_path, upstream, redis.url) as world:
        for session in sessions:
            assert (await call(world, session)).status_code == 200
        await nothing_is_left(world)
    assert served_by(upstream)[12:] == before


async def test_rests_costs_and_kept_conversations_outlive_a_restart(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    """Pains 23 and 28: what outlives a call is in the store."""
    clock = ShiftedClock()
    body = {"model": "gpt-5.1", "input": "Say hello"}
    async with gateway(tmp_path, upstream, redis.url, clock=clock) as world:
        await accounts(world, "a1")
        await world.add_account("openai", "home", priority=1)
        await world.add_account("openai", "other", priority=90)
        first = (await ask(world, "/v1/responses", body)).json()["id"]
        await world.change_account("home", priority=99)
        limited = await world.add_key("limited", limits=Limits(cost_day=1))
        plain, world.key = world.key, limited
        assert (await call(world)).status_code == 200
        assert (await call(world)).status_code == 402
        world.key = plain
        upstream.script("a1", Refuse(429, headers=(("retry-after", "600"),)))
        assert (await call(world)).status_code == 429
    for emptied in (False, True):  # what is a fact of the store outlives Redis, too
        if emptied:
            redis.stop()
            redis.start()
        async with gateway(tmp_path, upstream, redis.url, clock=clock) as world:
            refused = await call(world)
            assert refused.status_code == 429
            assert 500 <= int(refused.headers["retry-after"]) <= 600
            again = await ask(world, "/v1/responses", {**body, "previous_response_id": first})
            assert again.status_code == 200
            assert upstream.entries[-1].credential == "home"
            world.key = limited
            clock.shift = 601.0
            assert (await call(world)).status_code == 402
            clock.shift = 0.0
    assert served_by(upstream).count("other") == 0


# -- two at once


@asynccontextmanager
async def pair(tmp_path: Path, upstream: Busy, url: str) -> AsyncIterator[tuple[World, World]]:
    """Run two gateways that share a directory and Redis, with accounts a1 (two calls) and a2."""
    async with gateway(tmp_path, upstream, url) as one:
        await accounts(one, "a1", concurrency=2)
        await accounts(one, "a2", concurrency=5)
        async with gateway(tmp_path, upstream, url) as other:
            yield one, other


async def same_key(worlds: tuple[World, World], **fields: Any) -> None:
    """Let both gateways be called with a new key of these limits."""
    text = await worlds[0].add_key("shared", **fields)
    for world in worlds:
        world.key = text


async def disabled_for_all(worlds: tuple[World, World], name: str) -> None:
    """Disable an account by the first gateway; wait until the second has heard of it."""
    await worlds[0].change_account(name, status="disabled")
    account_id = (await worlds[0].accounts.find(name)).id
    catalogue = worlds[1].parts.catalogue
    await until(lambda: catalogue.snapshot.accounts[account_id].status == "disabled")


async def test_two_gateways_together_keep_the_limits_of_keys_and_accounts(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    async with pair(tmp_path, upstream, redis.url) as worlds:
        await same_key(worlds, concurrency=4)
        for name in ("a1", "a2"):
            upstream.always(name, Play(delay=0.01))
        calls = [call(worlds[number % 2]) for number in range(40)]
        assert {reply.status_code for reply in await asyncio.gather(*calls)} == {200}
        assert 3 <= upstream.most[""] <= 4
        assert upstream.most["a1"] <= 2
        for world in worlds:
            await nothing_is_left(world)


async def test_two_gateways_together_keep_the_limit_of_an_account_alone(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    async with pair(tmp_path, upstream, redis.url) as worlds:
        await disabled_for_all(worlds, "a2")
        upstream.always("a1", Play(delay=0.01))
        calls = [call(worlds[number % 2]) for number in range(30)]
        assert {reply.status_code for reply in await asyncio.gather(*calls)} == {200}
        assert upstream.most["a1"] == 2
        for world in worlds:
            await nothing_is_left(world)


async def test_two_gateways_count_requests_per_minute_together(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    async with pair(tmp_path, upstream, redis.url) as worlds:
        await same_key(worlds, limits=Limits(rpm=5))
        statuses = [(await call(worlds[number % 2])).status_code for number in range(9)]
        assert statuses == [200] * 5 + [429] * 4


async def test_a_session_that_comes_to_another_gateway_finds_its_account(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    async with pair(tmp_path, upstream, redis.url) as worlds:
        for number in range(8):
            for world in (*worlds, *worlds):
                assert (await call(world, f"s{number}")).status_code == 200
            assert len(set(served_by(upstream)[-4:])) == 1
        assert set(served_by(upstream)) == {"a1", "a2"}


async def test_a_rest_that_one_gateway_notices_is_kept_by_the_other(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    """Pain 21, between two: nobody has to be told, and nobody asks the account again."""
    async with pair(tmp_path, upstream, redis.url) as (one, other):
        await disabled_for_all((one, other), "a2")
        upstream.script("a1", Refuse(429, headers=(("retry-after", "600"),)))
        assert (await call(one)).status_code == 429
        account = await other.accounts.find("a1")
        health, now = other.parts.health, other.parts.clock.now()
        await until(lambda: health.rest_of(account, "claude-sonnet-4-5", now) is not None)
        assert (await call(other)).status_code == 429
        assert len(upstream.requests) == 1


# -- what it costs


def operations(proxy: CountingProxy) -> Counter[str]:
    """Return what Redis was asked for: `e` enter, `l` leave; the rest runs beside calls."""
    said = b"".join(proxy.commands)
    return Counter(op.decode() for op in re.findall(rb"\{sub2api\}\r\n\$1\r\n(\w)\r\n", said))


async def test_an_ordinary_call_costs_two_round_trips_and_two_kilobytes(
    tmp_path: Path, upstream: Busy, redis: RedisServer
) -> None:
    async with (
        counting_proxy(redis.port) as proxy,
        gateway(tmp_path, upstream, f"redis://127.0.0.1:{proxy.port}/0") as world,
    ):
        await accounts(world, *(f"a{number}" for number in range(10)), concurrency=10)
        limits = Limits(rpm=1000, tpm=10**7)
        world.key = await world.add_key("limited", limits=limits, concurrency=10)
        alone = 0
        for turn in range(30):
            proxy.clear()
            assert (await call(world, "s1")).status_code == 200
            await until(lambda: operations(proxy)["l"] > 0)
            if not turn:
                continue  # the session has no account yet
            done = operations(proxy)
            assert (done["e"], done["l"]) == (1, 1)
            if done.total() == 2:  # nothing else ran beside it: a picture of loads, the lease
                alone += 1
                assert (proxy.round_trips, len(proxy.commands)) == (2, 2)
                assert proxy.bytes <= 2048
            assert set(done) <= {"e", "l", "p", "b"}
        assert alone >= 10
        assert len(set(served_by(upstream))) == 1


# -- Redis goes and comes


async def test_calls_go_on_without_redis_and_limits_hold_again_when_it_is_back(
    tmp_path: Path, upstream: Busy, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with gateway(tmp_path, upstream, redis.url) as world:
        await accounts(world, "a1", concurrency=2)
        world.key = await world.add_key("limited", limits=Limits(rpm=4), concurrency=3)
        async with holding(world, "a1"):
            assert [(await call(world, "s")).status_code for _ in range(4)] == [200] * 3 + [429]
            redis.stop()
            # Nobody is refused because of it; what this process counts for itself begins anew.
            assert [(await call(world, "s")).status_code for _ in range(3)] == [200] * 3
            redis.start()
            await until(lambda: "Redis is back" in caplog.text)
        await nothing_is_left(world)
        statuses = [(await call(world, "s")).status_code for _ in range(6)]
        assert statuses.count(429) >= 2
        assert statuses[0] == 200
        await nothing_is_left(world)


async def test_calls_that_wait_while_redis_goes_are_answered_once_and_leave_nothing(
    tmp_path: Path, upstream: Busy, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(tmp_path, upstream, redis.url) as world:
        await accounts(world, "a1", concurrency=1)
        upstream.script("a1", Play(delay=0.2))
        clients = [start(call(world)) for _ in range(6)]
        await count(world.parts.live, "account:1", 1, 5)
        redis.stop()
        replies = await asyncio.gather(*clients)
        assert {reply.status_code for reply in replies} == {200}
        assert all(reply.content.count(b"event: message_stop") == 1 for reply in replies)
        redis.start()
        await until(lambda: "Redis is back" in caplog.text)
        await nothing_is_left(world)
        assert len(await world.rows(6)) == 6
