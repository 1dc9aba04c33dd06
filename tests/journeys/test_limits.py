"""Limits at the door, over real sockets: what is counted, how it is refused, what survives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from sub2api.model.limits import Limits
from tests.fakes.clocks import ShiftedClock
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import CALLS, ask

MESSAGES = CALLS["messages"]
CHAT = CALLS["chat"]
GEMINI = CALLS["gemini"]


async def limited(world: World, **limits: int) -> None:
    """Go on with a key of these limits."""
    world.key = await world.add_key("limited", limits=Limits(**limits))


async def test_requests_per_minute_are_counted_and_told(world: World) -> None:
    await limited(world, rpm=3)
    for left in (2, 1, 0):
        reply = await ask(world, MESSAGES[1], MESSAGES[2])
        assert reply.status_code == 200
        assert reply.headers["x-ratelimit-limit-requests"] == "3"
        assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
    refused = await ask(world, MESSAGES[1], MESSAGES[2])
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert len(world.upstream.entries) == 3


async def test_tokens_per_minute_are_estimated_then_corrected(world: World) -> None:
    await limited(world, tpm=3000)
    world.upstream.always("anthropic-1", Play(usage={"input_tokens": 2940, "output_tokens": 50}))
    first = await ask(world, MESSAGES[1], MESSAGES[2])
    assert first.status_code == 200
    estimated = 3000 - int(first.headers["x-ratelimit-remaining-tokens"])
    assert 0 < estimated <= 1100
    refused = await ask(world, MESSAGES[1], MESSAGES[2])
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-remaining-tokens"] == "10"


async def test_a_cost_window_used_up_is_refused_as_each_client_knows_it(world: World) -> None:
    await limited(world, cost_day=1)
    assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == 200
    refused = await ask(world, MESSAGES[1], MESSAGES[2])
    assert refused.status_code == 402
    assert refused.json()["error"]["type"] == "billing_error"
    assert refused.headers["x-should-retry"] == "false"
    chat = await ask(world, CHAT[1], CHAT[2])
    assert chat.status_code == 429
    assert chat.json()["error"]["code"] == "insufficient_quota"
    gemini = await ask(world, GEMINI[1], GEMINI[2])
    assert gemini.status_code == 429
    assert gemini.json()["error"]["status"] == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("limit", ["cost_5h", "cost_day", "cost_week", "cost_month", "quota"])
async def test_what_was_spent_outlives_a_restart_and_ends_with_its_period(
    tmp_path: Path, upstream: DemoUpstream, limit: str
) -> None:
    clock = ShiftedClock()
    async with running_world(tmp_path, upstream, clock=clock) as world:
        fields = {"quota": 1} if limit == "quota" else {"limits": Limits(**{limit: 1})}
        world.key = key = await world.add_key("limited", **fields)
        assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == 200
        assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == 402
    async with running_world(tmp_path, upstream, clock=clock) as world:
        world.key = key
        assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == 402
        clock.shift = 32 * 86400.0
        expected = 402 if limit == "quota" else 200
        assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == expected


async def test_parallel_calls_count_and_a_counter_filled_meanwhile_is_exact(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        one = await ask(world, MESSAGES[1], MESSAGES[2])
        assert one.status_code == 200
        cost = (await world.rows(1))[0].cost
        assert cost
        world.key = key = await world.add_key("many", quota=cost * 1000)
        upstream.always("anthropic-1", Play(delay=0.01))
        replies = await asyncio.gather(*(ask(world, MESSAGES[1], MESSAGES[2]) for _ in range(30)))
        assert {reply.status_code for reply in replies} == {200}
        rows = await world.rows(31)
        spent = sum(row.cost or 0 for row in rows if row.key_name == "many")
        budget = [name for name in ("cost:key:2:quota:0",) if world.parts.live.spent(name)]
        assert budget
        assert world.parts.live.spent(budget[0]) == spent
    async with running_world(tmp_path, upstream) as world:
        world.key = key
        await ask(world, MESSAGES[1], MESSAGES[2])
        rows = await world.rows(32)
        spent = sum(row.cost or 0 for row in rows if row.key_name == "many")
        assert world.parts.live.spent(budget[0]) == spent


async def test_a_groups_and_an_accounts_limits_move_calls_to_others(world: World) -> None:
    await world.change_account("anthropic-1", limits=Limits(rpm=1), priority=1)
    await world.add_account("anthropic", "anthropic-2", priority=60)
    for _ in range(3):
        assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == 200
    names = sorted(row.account_name for row in await world.rows(3))
    assert names == ["anthropic-1", "anthropic-2", "anthropic-2"]


async def test_sessions_of_an_account_are_bounded(world: World) -> None:
    await world.change_account("anthropic-1", max_sessions=1, priority=1)
    await world.add_account("anthropic", "anthropic-2", priority=60)

    async def turn(session: str) -> None:
        headers = {"x-claude-code-session-id": session}
        reply = await ask(world, MESSAGES[1], MESSAGES[2], headers=headers)
        assert reply.status_code == 200

    for session in ("one", "two", "one", "two"):
        await turn(session)
    names = [row.account_name for row in reversed(await world.rows(4))]
    assert names == ["anthropic-1", "anthropic-2", "anthropic-1", "anthropic-2"]
