"""Short ways to say what the tests of live state ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sub2api.live.interfaces import (
    Decision,
    Entry,
    Granted,
    Live,
    Place,
    Refused,
    Slot,
    Sticky,
)


def place(account_id: int, limit: int = 1, **more: Any) -> Place:
    return Place(account_id, (Slot(f"account:{account_id}", limit),), **more)


def entry(call_id: str, *candidates: Place, user: int = 1, key: int = 0, **more: Any) -> Entry:
    return Entry(
        call_id, user, key or user, candidates=candidates or (place(1),), **{"wait": 5.0, **more}
    )


def sticky(expected: int = 0, **more: Any) -> Sticky:
    return Sticky("session", expected, **more)


async def granted(live: Live, asked: Entry) -> Granted:
    decision = await live.enter(asked)
    assert isinstance(decision, Granted), decision
    return decision


async def refused(live: Live, asked: Entry) -> Refused:
    decision = await live.enter(asked)
    assert isinstance(decision, Refused), decision
    return decision


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition that nobody announces has come true."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def in_line(live: Live, waiting: int, name: str = "account:1") -> None:
    """Wait until so many calls wait for a slot."""
    await until(lambda: live.load(name)[1] == waiting)


async def count(live: Live, name: str, active: int, waiting: int = 0) -> None:
    """Wait until `load` says so: the picture of shared state is up to 250 ms old."""
    async with asyncio.timeout(10):
        while live.load(name) != (active, waiting):
            await asyncio.sleep(0.01)


def asking(live: Live, asked: Entry) -> asyncio.Task[Decision]:
    """Ask in a task of its own."""

    async def ask() -> Decision:
        return await live.enter(asked)

    return asyncio.get_running_loop().create_task(ask())
