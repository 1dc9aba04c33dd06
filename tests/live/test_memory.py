"""Slots in memory: limits hold, waiting is fair, nothing leaks."""

from __future__ import annotations

import asyncio

import pytest

from sub2api.clock import Clock
from sub2api.live.interfaces import Entry, Granted, Refused, Slot
from sub2api.live.memory import MemoryLive


def entry(call: str, queue: str = "q", wait: float = 5.0, **slots: object) -> Entry:
    return Entry(
        call_id=call,
        caller_slots=slots.get("caller", ()),  # type: ignore[arg-type]
        candidates=slots.get("candidates", (Slot("account:1", 1),)),  # type: ignore[arg-type]
        queue=queue,
        wait=wait,
        max_waiting=int(slots.get("max_waiting", 100)),  # type: ignore[call-overload]
    )


@pytest.fixture
def live() -> MemoryLive:
    return MemoryLive(Clock())


async def test_a_limit_is_never_exceeded_and_every_call_gets_in(live: MemoryLive) -> None:
    most = active = 0

    async def call(number: int) -> None:
        nonlocal most, active
        decision = await live.enter(
            entry(f"c{number}", f"user:{number % 7}", candidates=(Slot("account:1", 3),))
        )
        assert isinstance(decision, Granted)
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.001)
        active -= 1
        await live.leave(f"c{number}")

    await asyncio.gather(*(call(number) for number in range(100)))
    assert most == 3
    assert live.load("account:1") == (0, 0)


async def test_zero_means_unlimited(live: MemoryLive) -> None:
    for number in range(50):
        decision = await live.enter(entry(f"c{number}", candidates=(Slot("account:1", 0),)))
        assert decision == Granted(0, 0.0)


async def test_the_first_free_candidate_is_taken(live: MemoryLive) -> None:
    both = (Slot("account:1", 1), Slot("account:2", 1))
    assert await live.enter(entry("a", candidates=both)) == Granted(0, 0.0)
    assert await live.enter(entry("b", candidates=both)) == Granted(1, 0.0)
    assert live.load("account:2") == (1, 0)


async def test_a_call_that_finds_no_candidate_takes_no_callers_place(live: MemoryLive) -> None:
    caller = (Slot("key:1", 1),)
    await live.enter(entry("a"))
    refused = await live.enter(entry("b", wait=0.0, caller=caller))
    assert refused == Refused("account:1", queue_full=True)
    assert live.load("key:1") == (0, 0)
    await live.leave("a")
    await live.enter(entry("c", caller=caller))
    assert await live.enter(entry("d", wait=0.0, caller=caller)) == Refused("key:1", True)


async def test_waiting_is_first_come_first_served_and_queues_take_turns(live: MemoryLive) -> None:
    await live.enter(entry("holder"))
    order: list[str] = []

    async def call(name: str, queue: str) -> None:
        decision = await live.enter(entry(name, queue))
        assert isinstance(decision, Granted)
        order.append(name)
        await asyncio.sleep(0)
        await live.leave(name)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(call(f"a{number}", "user:a"))
        await asyncio.sleep(0.01)
        group.create_task(call("b0", "user:b"))
        await asyncio.sleep(0.01)
        assert live.load("account:1") == (1, 5)
        await live.leave("holder")
    assert [name for name in order if name.startswith("a")] == ["a0", "a1", "a2", "a3"]
    assert order.index("b0") <= 2


async def test_a_wait_ends_at_its_deadline_and_a_full_queue_refuses_at_once(
    live: MemoryLive,
) -> None:
    await live.enter(entry("holder"))
    waiting = asyncio.gather(live.enter(entry("w", wait=0.05)))
    await asyncio.sleep(0.01)
    assert await live.enter(entry("x", max_waiting=1)) == Refused("account:1", queue_full=True)
    assert await waiting == [Refused("account:1", queue_full=False)]
    assert live.load("account:1") == (1, 0)


async def test_a_cancelled_wait_leaves_nothing_behind(live: MemoryLive) -> None:
    await live.enter(entry("holder"))
    task = asyncio.gather(live.enter(entry("w")))
    await asyncio.sleep(0.01)
    # The place becomes free and the call is cancelled in the same turn of the loop.
    await live.leave("holder")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert live.load("account:1") == (0, 0)


async def test_a_call_that_could_use_another_place_is_not_held_up(live: MemoryLive) -> None:
    await live.enter(entry("holder"))
    waiting = asyncio.gather(live.enter(entry("w", wait=0.05)))
    await asyncio.sleep(0)
    assert await live.enter(entry("x", candidates=(Slot("account:2", 1),))) == Granted(0, 0.0)
    await waiting


async def test_swapping_gives_the_old_place_back_and_never_waits(live: MemoryLive) -> None:
    await live.enter(entry("a"))
    await live.enter(entry("b", candidates=(Slot("account:2", 1),)))
    assert isinstance(await live.swap("a", (Slot("account:2", 1),)), Refused)
    assert live.load("account:1") == (0, 0)
    await live.leave("b")
    assert await live.swap("a", (Slot("account:2", 1),)) == Granted(0, 0.0)
    assert isinstance(await live.swap("new", ()), Refused)


async def test_leaving_twice_gives_back_once(live: MemoryLive) -> None:
    two = (Slot("account:1", 2),)
    caller = (Slot("user:1", 5),)
    await live.enter(entry("a", candidates=two, caller=caller))
    await live.enter(entry("b", candidates=two, caller=caller))
    await live.leave("a", only_caller=True)
    assert (live.load("user:1"), live.load("account:1")) == ((1, 0), (2, 0))
    await live.leave("a")
    await live.leave("a")
    assert (live.load("user:1"), live.load("account:1")) == ((1, 0), (1, 0))


async def test_a_call_without_candidates_takes_only_its_callers_places(live: MemoryLive) -> None:
    assert await live.enter(entry("a", candidates=(), caller=(Slot("key:1", 1),))) == Granted(-1, 0)
    refused = await live.enter(entry("b", candidates=(), caller=(Slot("key:1", 1),), wait=0.01))
    assert isinstance(refused, Refused)
