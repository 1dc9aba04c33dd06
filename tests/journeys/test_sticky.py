"""Sessions that stay with their account, because their prompt cache is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from sub2api.demo.script import Play, Refuse
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.clocks import ShiftedClock
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import CALLS, ask

MESSAGES = CALLS["messages"]


async def turn(world: World, session: str, **body: object) -> int:
    headers = {"x-claude-code-session-id": session}
    reply = await ask(world, MESSAGES[1], {**MESSAGES[2], **body}, headers=headers)
    return reply.status_code


async def pool(world: World, *names: str, **fields: object) -> None:
    for name in names:
        await world.add_account("anthropic", name, **fields)


def served_by(world: World) -> list[str]:
    """Return which account was asked, call by call."""
    return [entry.credential for entry in world.upstream.entries]


async def test_a_session_stays_for_fifty_turns_moves_once_and_is_stable_again(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        await pool(world, "anthropic-2", "anthropic-3", "anthropic-4")
        assert [await turn(world, "s1") for _ in range(50)] == [200] * 50
        first = set(served_by(world))
        assert len(first) == 1
        (home,) = first
        upstream.always(home, Refuse(401))
        assert await turn(world, "s1") == 200
        upstream.always(home, None)
        assert [await turn(world, "s1") for _ in range(20)] == [200] * 20
        after = Counter(served_by(world)[-21:])
        assert len(after) == 1
        assert home not in after


async def test_sessions_are_spread_over_equal_accounts(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        await pool(world, "anthropic-2", "anthropic-3", "anthropic-4")
        for number in range(40):
            await turn(world, f"s{number}")
        assert sorted(Counter(served_by(world)).values()) == [10, 10, 10, 10]


async def test_a_short_rest_does_not_move_a_session(tmp_path: Path, upstream: DemoUpstream) -> None:
    clock = ShiftedClock()
    async with running_world(tmp_path, upstream, clock=clock) as world:
        await pool(world, "anthropic-2")
        await turn(world, "s1")
        (home,) = set(served_by(world))
        upstream.script(home, Refuse(429))
        assert await turn(world, "s1") == 200
        assert served_by(world)[-1] != home
        clock.shift = 6.0
        assert await turn(world, "s1") == 200
        assert served_by(world)[-1] == home


async def test_a_full_account_is_waited_for_by_three_and_then_others_help(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        await pool(world, "anthropic-2")
        await turn(world, "s1")
        (home,) = set(served_by(world))
        await world.change_account(home, concurrency=1)
        upstream.always(home, Play(delay=0.02))
        statuses = await asyncio.gather(*(turn(world, "s1") for _ in range(6)))
        assert statuses == [200] * 6
        counted = Counter(served_by(world)[1:])
        # One is served and three wait for their session's own account; two go elsewhere.
        assert counted[home] == 4
        assert await turn(world, "s1") == 200
        assert served_by(world)[-1] == home  # overflow did not move the session


async def test_a_model_the_account_lacks_leaves_the_session_where_it_is(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream, bare=True) as world:
        sonnet, haiku = "claude-sonnet-4-5", "claude-haiku-4-5"
        for name in ("a1", "a2"):
            await world.add_account("anthropic", name, model_mapping={sonnet: sonnet})
        for name in ("b1", "b2"):
            await world.add_account("anthropic", name, model_mapping={haiku: haiku})
        for _ in range(5):
            assert await turn(world, "s1", model=sonnet) == 200
            assert await turn(world, "s1", model=haiku) == 200
        assert len(set(served_by(world)[0::2])) == 1
        assert len(set(served_by(world)[1::2])) == 1


async def test_an_account_taken_out_of_the_group_loses_its_sessions(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream, bare=True) as world:
        await world.add_group("team", "anthropic")
        for name in ("a1", "a2"):
            await world.add_account("anthropic", name, groups=("team",))
        world.key = await world.add_key("grouped", groups=("team",))
        await turn(world, "s1")
        (home,) = set(served_by(world))
        await world.change_account(home, group_ids=())
        for _ in range(3):
            assert await turn(world, "s1") == 200
        assert home not in served_by(world)[1:]
        assert len(set(served_by(world)[1:])) == 1
