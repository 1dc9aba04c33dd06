"""What `Live` promises, on both of its kinds: places, waiting, and giving back."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from sub2api.live.interfaces import Granted, Live, Place, Refused, Slot
from tests.live.kit import asking, count, entry, granted, in_line, place, refused, until


async def test_a_limit_is_never_exceeded_and_every_call_gets_in(live: Live) -> None:
    most = active = 0

    async def call(number: int) -> None:
        nonlocal most, active
        await granted(live, entry(f"c{number}", place(1, 3), user=number % 7 + 1, wait=30.0))
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.001)
        active -= 1
        await live.leave(f"c{number}")

    await asyncio.gather(*(call(number) for number in range(60)))
    assert most == 3
    await count(live, "account:1", 0)


async def test_zero_means_unlimited_and_is_not_counted(live: Live) -> None:
    for number in range(20):
        assert (await granted(live, entry(f"c{number}", place(1, 0)))).candidate == 0
    assert live.load("account:1") == (0, 0)


async def test_the_first_free_candidate_is_taken(live: Live) -> None:
    assert (await granted(live, entry("a", place(1), place(2)))).candidate == 0
    assert (await granted(live, entry("b", place(1), place(2)))).candidate == 1
    await count(live, "account:2", 1)


async def test_a_candidate_needs_room_in_all_its_slots(live: Live) -> None:
    grouped = Place(1, (Slot("account:1", 9), Slot("group:1", 1)))
    await granted(live, entry("a", grouped))
    assert (await granted(live, entry("b", grouped, place(2)))).candidate == 1
    assert (await refused(live, entry("c", grouped, wait=0.0))).full == "group:1"


async def test_a_call_that_finds_no_candidate_takes_no_callers_place(live: Live) -> None:
    caller = (Slot("key:1", 1),)
    await granted(live, entry("a"))
    no = await refused(live, entry("b", slots=caller, wait=0.0))
    assert (no.full, no.queue_full, no.retry_after) == ("account:1", True, None)
    await live.leave("a")
    await granted(live, entry("c", slots=caller))
    assert (await refused(live, entry("d", slots=caller, wait=0.0))).full == "key:1"


async def test_a_call_without_candidates_takes_only_its_callers_places(live: Live) -> None:
    caller = entry("a", slots=(Slot("key:1", 1),))
    caller = msgspec.structs.replace(caller, candidates=())
    assert (await granted(live, caller)).candidate == -1
    again = msgspec.structs.replace(caller, call_id="b", wait=0.05)
    assert (await refused(live, again)).full == "key:1"


async def test_entering_twice_takes_once(live: Live) -> None:
    await granted(live, entry("a", place(1), place(2)))
    assert (await granted(live, entry("a", place(1), place(2)))).candidate == 0
    await live.leave("a")
    await count(live, "account:1", 0)
    await count(live, "account:2", 0)


async def test_who_waits_is_let_in_by_who_leaves_and_knows_how_long_it_waited(live: Live) -> None:
    await granted(live, entry("a"))
    waiting = asking(live, entry("b"))
    await in_line(live, 1)
    await asyncio.sleep(0.02)
    await live.leave("a")
    decision = await waiting
    assert isinstance(decision, Granted)
    assert 0.02 <= decision.waited < 2
    await count(live, "account:1", 1)


async def test_the_user_served_longest_ago_goes_first_then_the_key_then_who_came_first(
    live: Live,
) -> None:
    order: list[str] = []

    async def call(name: str, user: int, key: int) -> None:
        await granted(live, entry(name, user=user, key=key))
        order.append(name)
        await live.leave(name)

    await call("later", 2, 21)
    await call("latest", 1, 11)
    await granted(live, entry("holder", user=3))
    order.clear()
    async with asyncio.TaskGroup() as group:
        for number, (user, key) in enumerate([(1, 11), (1, 11), (1, 12), (2, 21)], 1):
            group.create_task(call(f"{user}.{key}.{number}", user, key))
            await in_line(live, number)
        await live.leave("holder")
    assert order == ["2.21.4", "1.12.3", "1.11.1", "1.11.2"]


async def test_a_wait_ends_at_its_deadline_and_a_full_line_refuses_at_once(live: Live) -> None:
    await granted(live, entry("holder", user=9))
    waiting = asking(live, entry("w", wait=0.5))
    await in_line(live, 1)
    no = await refused(live, entry("x", max_waiting=1))
    assert (no.full, no.queue_full, no.ticket) == ("account:1", True, 0)
    other_user = asking(live, entry("y", user=2, max_waiting=1, wait=0.1))
    late = await waiting
    assert isinstance(late, Refused)
    assert (late.full, late.queue_full) == ("account:1", False)
    assert late.ticket
    assert isinstance(await other_user, Refused)
    await count(live, "account:1", 1)


async def test_a_ticket_keeps_the_place_in_line_and_lets_in_where_the_line_is_full(
    live: Live,
) -> None:
    await granted(live, entry("holder", user=9))
    first = await refused(live, entry("first", wait=0.05))
    second = asking(live, entry("second"))
    await in_line(live, 1)
    again = asking(live, entry("first", ticket=first.ticket, max_waiting=1))
    await in_line(live, 2)
    await live.leave("holder")
    assert isinstance(await again, Granted)
    assert not second.done()
    await live.leave("first")
    assert isinstance(await second, Granted)


async def test_after_two_seconds_a_ticket_keeps_nothing(live: Live) -> None:
    await granted(live, entry("holder", user=9))
    first = await refused(live, entry("first", wait=0.05))
    second = asking(live, entry("second", wait=20.0))
    await asyncio.sleep(2.1)
    again = asking(live, entry("first", ticket=first.ticket))
    await in_line(live, 2)
    await live.leave("holder")
    assert isinstance(await second, Granted)
    assert not again.done()
    await live.leave("second")
    assert isinstance(await again, Granted)


async def test_a_cancelled_wait_leaves_nothing_behind(live: Live) -> None:
    await granted(live, entry("holder"))
    task = asking(live, entry("w"))
    await in_line(live, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await count(live, "account:1", 1)
    await live.leave("holder")
    await count(live, "account:1", 0)


async def test_granted_in_the_very_turn_it_was_cancelled_takes_nothing(live: Live) -> None:
    for _ in range(5):
        await granted(live, entry("holder"))
        task, patient = asking(live, entry("w")), asking(live, entry("patient"))
        await in_line(live, 2)
        await live.leave("holder")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await patient, Granted)
        await live.leave("patient")
        await count(live, "account:1", 0)


async def test_cancelled_while_it_asks_takes_nothing(live: Live) -> None:
    for number in range(20):
        task = asking(live, entry(f"c{number}"))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            await live.leave(f"c{number}")
    await count(live, "account:1", 0)
    await granted(live, entry("free"))


async def test_cancelled_while_it_swaps_or_leaves_it_gives_everything_back(live: Live) -> None:
    for number in range(20):
        name = f"c{number}"
        await granted(live, entry(name, place(1), slots=(Slot("user:1", 1),)))
        for work in (live.swap(name, (place(2),)), live.leave(name)):
            task = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
            for _ in range(1 + number % 6):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait((task,))
        await live.leave(name)
    for slot in ("account:1", "account:2", "user:1"):
        await count(live, slot, 0)


async def test_a_call_that_could_use_another_place_is_not_held_up(live: Live) -> None:
    await granted(live, entry("holder"))
    waiting = asking(live, entry("w"))
    await in_line(live, 1)
    assert (await granted(live, entry("x", place(2)))).candidate == 0
    await live.leave("x")
    assert not waiting.done()
    await live.leave("holder")
    assert isinstance(await waiting, Granted)


async def test_a_waiter_is_let_in_to_whichever_of_its_candidates_is_free_first(live: Live) -> None:
    await granted(live, entry("a", place(1)))
    await granted(live, entry("b", place(2)))
    waiting = asking(live, entry("w", place(1), place(2)))
    await in_line(live, 1)
    await live.leave("b")
    decision = await waiting
    assert isinstance(decision, Granted)
    assert decision.candidate == 1


async def test_swapping_gives_the_old_place_back_and_never_waits(live: Live) -> None:
    await granted(live, entry("a"))
    await granted(live, entry("b", place(2)))
    waiting = asking(live, entry("w"))
    await in_line(live, 1)
    no = await live.swap("a", (place(2),))
    assert isinstance(no, Refused)
    assert no.full == "account:2"
    assert isinstance(await waiting, Granted)
    await live.leave("b")
    assert await live.swap("a", (place(1), place(2))) == Granted(1)
    await count(live, "account:2", 1)
    await live.leave("a")
    await count(live, "account:2", 0)


async def test_a_call_may_swap_to_the_place_it_has_given_up(live: Live) -> None:
    await granted(live, entry("a"))
    assert await live.swap("a", (place(1),)) == Granted(0)
    await count(live, "account:1", 1)


async def test_leaving_twice_gives_back_once(live: Live) -> None:
    two, caller = place(1, 2), (Slot("user:1", 5),)
    await granted(live, entry("a", two, slots=caller))
    await granted(live, entry("b", two, slots=caller))
    await live.leave("a", only_caller=True)
    await count(live, "user:1", 1)
    await count(live, "account:1", 2)
    await live.leave("a", only_caller=True)
    await live.leave("a")
    await live.leave("a")
    await live.leave("stranger")
    await count(live, "user:1", 1)
    await count(live, "account:1", 1)


async def test_leaving_one_place_lets_in_who_waits_for_that_one(live: Live) -> None:
    await granted(live, entry("a", place(1), slots=(Slot("user:1", 1),)))
    caller = asking(live, entry("b", place(2), slots=(Slot("user:1", 1),)))
    account = asking(live, entry("c", place(1), user=2))
    await in_line(live, 1)
    await until(lambda: live.load("user:1")[1] == 1)
    await live.leave("a", only_caller=True)
    assert isinstance(await caller, Granted)
    assert not account.done()
    await live.leave("a")
    assert isinstance(await account, Granted)


async def test_every_change_of_load_is_told(live: Live) -> None:
    told: list[str] = []
    live.watch_load(told.append)
    await granted(live, entry("a", slots=(Slot("user:1", 5), Slot("key:1", 0))))
    assert sorted(told) == ["account:1", "user:1"]
    told.clear()
    await live.leave("a")
    assert sorted(told) == ["account:1", "user:1"]


async def test_messages_reach_every_listener_this_process_included(live: Live) -> None:
    heard: list[bytes] = []

    def fails(message: bytes) -> None:
        raise ValueError(message)

    live.subscribe("news", fails)
    live.subscribe("news", heard.append)
    await live.publish("other", b"no")
    await live.publish("news", b"\x00yes")
    await until(lambda: heard == [b"\x00yes"])


async def test_closing_gives_everything_back(live: Live) -> None:
    await granted(live, entry("a"))
    await live.close()
    assert isinstance(live.load("account:1"), tuple)
