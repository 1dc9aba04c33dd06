"""Live state in Redis: cheap, exact between processes, and patient with a Redis that fails."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio as aioredis

from sub2api.clock import Clock
from sub2api.live.interfaces import Bound, Budget, Granted, Refused, Slot, Unfilled, Window
from sub2api.live.redis import RedisLive
from tests.fakes.counting_proxy import counting_proxy
from tests.fakes.redis_server import RedisServer, running_redis
from tests.live.kit import asking, count, entry, granted, in_line, place, refused, sticky, until

SPENT = Budget("cost:key:1", 100, 4e9)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that only this test stops and empties."""
    with running_redis() as server:
        yield server


@pytest.fixture
async def frail(own_server: RedisServer) -> AsyncIterator[RedisLive]:
    live = RedisLive(own_server.url, Clock())
    await live.start()
    yield live
    await live.close()


async def flush(server: RedisServer) -> None:
    async with aioredis.Redis.from_url(server.url) as client:
        await client.flushall()


async def slots(server: RedisServer, prefix: str = "sub2api") -> dict[str, int]:
    """Return what Redis itself has in its table of slots."""
    async with aioredis.Redis.from_url(server.url, decode_responses=True) as client:
        table = await client.hgetall("{" + prefix + "}:slots")
    return {name: int(number) for name, number in table.items()}


async def slots_become(
    server: RedisServer, wanted: dict[str, int], prefix: str = "sub2api"
) -> None:
    async with asyncio.timeout(30):
        while await slots(server, prefix) != wanted:
            await asyncio.sleep(0.05)


async def worker(
    server: RedisServer, prefix: str, what: str, number: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.live.worker", server.url, prefix, what, str(number)),
        stdout=subprocess.PIPE,
    )


async def test_an_ordinary_call_takes_two_round_trips_and_two_kilobytes(
    redis_server: RedisServer, prefix: str
) -> None:
    windows = (Window("key:123456:requests", 100), Window("key:123456:tokens", 99999, 5000, True))
    places = tuple(place(1000 + number, 10) for number in range(8))
    caller = (Slot("user:123456", 10), Slot("key:123456", 10))
    bound = sticky()
    async with counting_proxy(redis_server.port) as proxy:
        live = RedisLive(f"redis://127.0.0.1:{proxy.port}/0", Clock(), prefix=prefix)
        await live.start()
        for number in range(3):
            call_id = Clock().new_id("call_")
            proxy.clear()
            asked = entry(
                call_id, *places, slots=caller, windows=windows, sticky=bound, session="session"
            )
            assert (await granted(live, asked)).candidate == 0
            assert proxy.round_trips == len(proxy.commands) == 1 or number == 0
            await live.leave(call_id, tokens=4000, cost=10_000, list_cost=10_000)
            assert proxy.round_trips == len(proxy.commands) == 2 or number == 0
            bound = sticky(expected=1000)
        assert proxy.bytes <= 2048
        proxy.clear()
        await granted(live, entry("swaps", places[0]))
        assert await live.swap("swaps", places[1:]) == Granted(0)
        assert proxy.round_trips == 2
        await live.close()


async def test_two_processes_together_keep_the_limit_and_nobody_starves(
    redis_server: RedisServer, prefix: str
) -> None:
    workers = [await worker(redis_server, prefix, "crowd", first) for first in (1000, 2000)]
    said = [json.loads((await each.communicate())[0]) for each in workers]
    assert 5 < max(each["most"] for each in said) <= 10
    waits = [wait for each in said for wait in each["waits"]]
    assert max(waits) <= 2 * statistics.median(waits)
    assert await slots(redis_server, prefix) == {}


async def test_what_a_killed_process_held_is_free_after_twenty_seconds(
    redis_server: RedisServer, prefix: str, shared: RedisLive
) -> None:
    process = await worker(redis_server, prefix, "hold", 1)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    await in_line(shared, 1)
    process.kill()
    await process.wait()
    began = Clock().monotonic()
    await granted(shared, entry("next", place(1, 10), wait=60.0))
    assert Clock().monotonic() - began < 21
    await shared.leave("next")
    await slots_become(redis_server, {}, prefix)


async def test_who_leaves_in_one_process_lets_in_who_waits_in_another(
    shared: RedisLive, other: RedisLive
) -> None:
    await granted(shared, entry("a"))
    waiting = asking(other, entry("b"))
    await in_line(shared, 1)
    await shared.leave("a")
    decision = await waiting
    assert isinstance(decision, Granted)
    assert decision.waited < 0.9


async def test_a_message_that_was_lost_is_made_good_by_asking_again(
    redis_server: RedisServer, shared: RedisLive, other: RedisLive
) -> None:
    await granted(shared, entry("a"))
    waiting = asking(other, entry("b"))
    await in_line(shared, 1)
    async with aioredis.Redis.from_url(redis_server.url) as client:
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await shared.leave("a")
    assert isinstance(await waiting, Granted)


async def test_bindings_loads_budgets_and_messages_are_shared(
    shared: RedisLive, other: RedisLive
) -> None:
    heard: list[bytes] = []
    other.subscribe("news", heard.append)
    await shared.fill({SPENT: 5}, {})
    await granted(shared, entry("a", place(1, 2), budgets=(SPENT,), sticky=sticky()))
    assert await other.enter(entry("b", place(2), sticky=sticky())) == Bound(1)
    assert other.bound("session") == 1
    await count(other, "account:1", 1)
    await until(lambda: other.spent("cost:key:1") == 5)
    await shared.publish("news", b"hello")
    await until(lambda: heard == [b"hello"])


async def test_a_load_that_another_process_changed_is_told(
    shared: RedisLive, other: RedisLive
) -> None:
    told: list[str] = []
    other.watch_load(told.append)
    await granted(shared, entry("a"))
    await count(other, "account:1", 1)
    assert told == ["account:1"]


async def test_an_emptied_redis_is_told_again_what_is_held(
    frail: RedisLive, own_server: RedisServer
) -> None:
    caller = (Slot("user:1", 9),)
    for name in ("a", "b", "c"):
        await granted(frail, entry(name, place(1, 3), slots=caller))
    waiting = asking(frail, entry("w", place(1, 1), wait=30.0))
    await in_line(frail, 1)
    await flush(own_server)
    await frail.leave("a")
    decision = await waiting  # Redis knows of nothing: it is let in
    assert isinstance(decision, Granted)
    await slots_become(own_server, {"account:1": 3, "user:1": 2})
    assert (await refused(frail, entry("d", place(1, 3), wait=0.0))).full == "account:1"
    for name in ("w", "b", "c"):
        await frail.leave(name)
    await slots_become(own_server, {})


async def test_costs_of_calls_that_redis_forgot_are_booked_by_their_ids(
    frail: RedisLive, own_server: RedisServer
) -> None:
    await frail.fill({SPENT: 10}, {})
    for name in ("a", "b"):
        await granted(frail, entry(name, place(1, 3), budgets=(SPENT,)))
    await flush(own_server)
    await frail.leave("a", cost=7)
    await frail.leave("b", cost=8)
    assert await frail.enter(entry("c", budgets=(SPENT,))) == Unfilled(("cost:key:1",))
    assert await frail.filling("cost:key:1") == {"a", "b"}
    await frail.fill({SPENT: 17}, {"cost:key:1": frozenset({"a"})})
    await until(lambda: frail.spent("cost:key:1") == 25)


async def test_without_redis_a_process_counts_for_itself_until_it_is_back(
    frail: RedisLive, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await frail.fill({SPENT: 10}, {})
    for name in ("a", "b", "c"):
        await granted(frail, entry(name, place(1, 3), budgets=(SPENT,)))
    waiting = asking(frail, entry("w", place(1, 3), wait=30.0))
    await in_line(frail, 1)
    own_server.stop()
    assert isinstance(await waiting, Granted)
    await granted(frail, entry("d", place(2, 1)))
    assert frail.load("account:2") == (1, 0)
    assert (await refused(frail, entry("e", place(2, 1), wait=0.0))).full == "account:2"
    assert await frail.enter(entry("e", budgets=(SPENT,))) == Unfilled(("cost:key:1",))
    await frail.leave("a", cost=5)
    heard: list[bytes] = []
    frail.subscribe("news", heard.append)
    await frail.publish("news", b"alone")
    assert heard == [b"alone"]
    own_server.start()
    await slots_become(own_server, {"account:1": 2})
    assert await frail.filling("cost:key:1") == {"a"}
    await until(lambda: "Redis is back" in caplog.text)
    assert caplog.text.count("Redis cannot be used") == 1
    for name in ("b", "c", "d", "w"):
        await frail.leave(name)
    await slots_become(own_server, {})
    await until(lambda: frail.load("account:2") == (0, 0))
    await granted(frail, entry("f", place(1, 1)))
    await slots_become(own_server, {"account:1": 1})


async def test_a_redis_that_hangs_is_away_after_a_second_and_is_told_later_who_left(
    frail: RedisLive, own_server: RedisServer
) -> None:
    await frail.fill({SPENT: 10}, {})
    for name in ("a", "b"):
        await granted(frail, entry(name, place(1, 2), budgets=(SPENT,)))
    own_server.pause()
    try:
        began = Clock().monotonic()
        await frail.leave("a", cost=5)
        await granted(frail, entry("c", place(1, 1)))
        assert Clock().monotonic() - began < 3
        await frail.leave("b", cost=6)
    finally:
        own_server.pause(go_on=True)
    await slots_become(own_server, {})
    await until(lambda: frail.spent("cost:key:1") == 21)
    await frail.leave("c")
    await slots_become(own_server, {})


async def test_without_redis_at_the_start_it_begins_alone(own_server: RedisServer) -> None:
    own_server.stop()
    live = RedisLive(own_server.url, Clock())
    await live.start()
    await granted(live, entry("a", place(1, 1)))
    assert isinstance(await live.enter(entry("b", place(1, 1), wait=0.0)), Refused)
    assert await live.swap("a", (place(2),)) == Granted(0)
    own_server.start()
    await granted(live, entry("c", place(3), wait=0.0))
    await live.leave("a")
    await live.close()
    assert await slots(own_server) == {}


async def test_a_call_may_move_on_while_redis_is_away(
    frail: RedisLive, own_server: RedisServer
) -> None:
    await granted(frail, entry("a", slots=(Slot("user:1", 3),), sticky=sticky()))
    own_server.stop()
    assert await frail.swap("a", (place(2),), sticky(1, unusable=frozenset({1}))) == Granted(0)
    assert frail.load("account:2") == (1, 0)
    own_server.start()
    await frail.leave("a")
    await slots_become(own_server, {})


async def test_closing_gives_everything_back_to_the_others(
    redis_server: RedisServer, prefix: str, other: RedisLive
) -> None:
    live = RedisLive(redis_server.url, Clock(), prefix=prefix)
    await live.start()
    await granted(live, entry("a"))
    waiting = asking(other, entry("b"))
    await in_line(live, 1)
    await live.close()
    assert isinstance(await waiting, Granted)
    assert await slots(redis_server, prefix) == {"account:1": 1}


async def test_when_redis_goes_and_comes_watchers_hear_that_loads_are_others(
    frail: RedisLive, own_server: RedisServer
) -> None:
    told: list[str] = []
    await granted(frail, entry("a"))
    frail.watch_load(told.append)
    own_server.stop()
    await granted(frail, entry("b", place(2)))
    assert set(told) == {"account:1", "account:2"}
    told.clear()
    own_server.start()
    await until(lambda: "account:2" in told)
