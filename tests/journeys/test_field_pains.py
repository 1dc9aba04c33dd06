"""What operators of gateways suffered from, once each, over real sockets (spec: pains 17 to 28).

Those that have a journey or a table elsewhere: 20 and 21 in test_health.py, 22 in
tests/platforms/test_refusals.py, 23 and 28 in test_shared_state.py. Pain 25 (refreshing logins)
has no subject: accounts have API keys.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sub2api.demo.script import Play, Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.store import stamp
from tests.fakes.clocks import ShiftedClock
from tests.fakes.holding import call, holding, nothing_is_left, start, waiting
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import ask

MODEL = "claude-sonnet-4-5"


@asynccontextmanager
async def pool(
    tmp_path: Path, upstream: DemoUpstream, many: int, **fields: object
) -> AsyncIterator[World]:
    """Run a gateway with accounts a1, a2, ... that are alike."""
    at_once = {"GATEWAY_DISCONNECT": "cancel"}
    async with running_world(tmp_path, upstream, bare=True, **at_once) as world:
        for number in range(1, many + 1):
            await world.add_account("anthropic", f"a{number}", **fields)
        yield world


def served_by(upstream: DemoUpstream) -> list[str]:
    return [entry.credential for entry in upstream.entries]


async def test_conversations_without_an_id_are_spread_and_each_stays_while_it_grows(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 17: all Responses traffic on one account, or every turn on another."""
    async with running_world(tmp_path, upstream, bare=True) as world:
        for number in range(4):
            await world.add_account("openai", f"o{number}")
        accounts: dict[int, set[str]] = defaultdict(set)
        for turn in range(3):
            for number in range(12):
                said = [{"role": "user", "content": f"question {number}"}]
                for earlier in range(turn):
                    said.append({"role": "assistant", "content": f"answer {earlier}"})
                    said.append({"role": "user", "content": f"and then {earlier}?"})
                body = {"model": "gpt-5.1", "input": said, "instructions": "Be brief."}
                assert (await ask(world, "/v1/responses", body)).status_code == 200
                accounts[number].add(served_by(upstream)[-1])
        assert {len(each) for each in accounts.values()} == {1}
        assert sorted(Counter(map(min, accounts.values())).values()) == [3, 3, 3, 3]


async def test_a_session_leaves_an_account_that_has_become_slow(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 18 (moved out of the group: test_sticky.py)."""
    async with pool(tmp_path, upstream, 3) as world:
        for _ in range(3):
            assert (await call(world, "s1")).status_code == 200
        (home,) = set(served_by(upstream))
        account, health = await world.accounts.find(home), world.parts.health
        for name in {"a1", "a2", "a3"} - {home}:
            for _ in range(6):
                health.first_frame(await world.accounts.find(name), MODEL, 0.8)
        for _ in range(2):
            health.first_frame(account, MODEL, 30.0)
        assert (await call(world, "s1")).status_code == 200
        assert served_by(upstream)[-1] == home  # and that one was quick: it counts anew
        for _ in range(3):
            health.first_frame(account, MODEL, 30.0)
        for _ in range(3):
            assert (await call(world, "s1")).status_code == 200
        assert home not in served_by(upstream)[-3:]
        assert len(set(served_by(upstream)[-3:])) == 1


async def test_no_session_loses_its_cache_to_fairness_among_busy_accounts(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 19: ten sessions at once for ten turns, and new ones that come and go beside them."""
    async with pool(tmp_path, upstream, 3, concurrency=10) as world:
        for name in ("a1", "a2", "a3"):
            upstream.always(name, Play(delay=0.002))
        turns: dict[str, list[str]] = defaultdict(list)

        async def session(name: str, many: int) -> None:
            for _ in range(many):
                assert (await call(world, name, metadata={"user_id": name})).status_code == 200
            mine = [each for each in upstream.requests if name.encode() in each.body]
            turns[name] = [each.headers["x-api-key"] for each in mine]

        once = [session(f"passing-{number}", 1) for number in range(20)]
        await asyncio.gather(*(session(f"staying-{number}-", 10) for number in range(10)), *once)
        staying = [seen for name, seen in turns.items() if name.startswith("staying")]
        assert [len(seen) for seen in staying] == [10] * 10
        assert {len(set(seen)) for seen in staying} == {1}
        await nothing_is_left(world)


async def test_a_rest_is_over_when_its_time_has_come_with_nobody_there_to_notice(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 21: not even the configuration is read anew, and no task wakes up for it."""
    clock = ShiftedClock()
    async with running_world(tmp_path, upstream, clock=clock) as world:
        upstream.script("anthropic-1", Refuse(429, headers=(("retry-after", "7000"),)))
        assert (await call(world)).status_code == 429
        snapshot = world.parts.catalogue.snapshot
        clock.shift = 6990.0
        assert (await call(world)).status_code == 429
        clock.shift = 7001.0
        assert (await call(world)).status_code == 200
        assert world.parts.catalogue.snapshot is snapshot


async def test_bad_requests_of_every_kind_leave_the_account_to_the_others(world: World) -> None:
    """Pain 22."""
    for status in (400, 404, 413, 422):
        world.upstream.script("anthropic-1", *(Refuse(status, message="no") for _ in range(5)))
        assert [(await call(world)).status_code for _ in range(5)] == [status] * 5
    account = await world.accounts.find("anthropic-1")
    assert world.parts.health.rest_of(account, MODEL, world.parts.clock.now()) is None
    assert (await call(world)).status_code == 200


class DeadProxy:
    """A proxy that takes connections and drops them."""

    def __init__(self) -> None:
        self.asked = 0

    def refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        writer.close()


async def test_a_dead_proxy_is_asked_a_few_times_and_its_accounts_and_the_store_hardly_notice(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 24: all accounts are behind it, sixty calls come, and then it works again."""
    proxy, clock = DeadProxy(), ShiftedClock()
    server = await asyncio.start_server(proxy.refuse, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running_world(tmp_path, upstream, bare=True, clock=clock) as world:
        for name in ("a1", "a2", "a3"):
            await world.add_account("anthropic", name, proxy=address)
        async with world.parts.database.reading() as connection:
            before = await stamp.read(connection)
        first = [(await call(world)) for _ in range(10)]
        asked = proxy.asked
        later = [(await call(world)) for _ in range(50)]
        assert {reply.status_code for reply in first} <= {502, 503, 529}
        assert {reply.status_code for reply in later} == {529}
        assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in later)
        assert 1 <= asked <= 12
        assert proxy.asked == asked
        assert {each.status for each in await world.accounts.everything()} == {"active"}
        async with world.parts.database.reading() as connection:
            assert await stamp.read(connection) == before
    server.close()


async def test_a_vendor_that_falls_silent_in_the_middle_is_told_and_not_started_anew(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 26, after the first token (before it: test_failover.py)."""
    settings = {"GATEWAY_IDLE_TIMEOUT": "0.5", "GATEWAY_KEEPALIVE_SECONDS": "0.1"}
    async with running_world(tmp_path, upstream, **settings) as world:
        await world.add_account("anthropic", "anthropic-2", priority=60)
        upstream.always("anthropic-1", Play(stall_after=4))
        async with asyncio.timeout(10):
            reply = await call(world)
        assert reply.content.count(b"event: message_start") == 1
        assert reply.content.count(b"event: error") == 1
        assert b"message_stop" not in reply.content
        assert b"event: ping" in reply.content
        assert served_by(upstream) == ["anthropic-1"]
        row = (await world.rows(1))[0]
        assert (row.error, row.attempts) == ("idle_timeout", 1)
        await nothing_is_left(world)


async def test_one_key_that_fills_the_queue_does_not_keep_another_waiting(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    """Pain 27: twenty calls of an agent wait, a person asks once, and is next."""
    async with pool(tmp_path, upstream, 1, concurrency=1) as world:
        person = await world.add_key("person")
        world.key = agent = await world.add_key("agent")
        answered: list[str] = []

        async def said(who: str) -> None:
            reply = await call(world)
            assert b"message_stop" in reply.content
            assert "queue;dur=" in reply.headers["server-timing"]
            answered.append(who)

        async with holding(world, "a1"):
            crowd = [start(said("agent")) for _ in range(20)]
            await waiting(world, "a1", 1, 20)
            world.key = person
            alone = start(said("person"))
            await waiting(world, "a1", 1, 21)
        await asyncio.gather(alone, *crowd)
        assert agent != person
        assert "person" in answered[:2]
        await nothing_is_left(world)
