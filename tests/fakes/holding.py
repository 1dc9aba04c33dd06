"""Calls that occupy an account, wait for one, and leave: what tests of the queue are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import httpx

from sub2api.demo.script import Play
from tests.fakes.world import World
from tests.journeys.test_fidelity import CALLS, ask
from tests.live.kit import count

_Result = TypeVar("_Result")
MESSAGES = CALLS["messages"]


def start(work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
    """Let it run beside the test."""
    return asyncio.get_running_loop().create_task(work)


async def call(world: World, session: str = "", **body: Any) -> httpx.Response:
    """Ask for a generation, as a turn of a session if there is one."""
    headers = {"x-claude-code-session-id": session} if session else {}
    return await ask(world, MESSAGES[1], {**MESSAGES[2], **body}, headers=headers)


async def gone(*clients: asyncio.Task[Any]) -> None:
    """Let clients leave."""
    for each in clients:
        each.cancel()
    for each in clients:
        with suppress(asyncio.CancelledError):
            await each


@asynccontextmanager
async def holding(world: World, name: str) -> AsyncIterator[None]:
    """Occupy one place of an account that is free and next in order, as long as the block lasts."""
    slot = f"account:{(await world.accounts.find(name)).id}"
    active, _ = world.parts.live.load(slot)
    world.upstream.script(name, Play(stall_before="head"))
    client = start(call(world, f"holder of {name}"))
    await count(world.parts.live, slot, active + 1)
    try:
        yield
    finally:
        await gone(client)


async def waiting(world: World, name: str, active: int, many: int) -> None:
    """Wait until so many calls wait for an account of which so many places are taken."""
    await count(world.parts.live, f"account:{(await world.accounts.find(name)).id}", active, many)


async def nothing_is_left(world: World) -> None:
    """Wait until nobody holds or waits for anything; a count that stays fails."""
    live = world.parts.live
    kinds = ("account", "probe", "user", "key", "group")
    for name in (f"{kind}:{number}" for kind in kinds for number in range(1, 30)):
        await count(live, name, 0)
