"""What `Live` promises of windows, budgets, sessions and bindings, on both of its kinds."""

from __future__ import annotations

import asyncio

import pytest

from sub2api.live.interfaces import (
    Bound,
    Budget,
    Granted,
    Live,
    Refused,
    Sessions,
    Slot,
    Unfilled,
    Usage,
    Window,
)
from tests.live.kit import asking, count, entry, granted, in_line, place, refused, sticky, until

FAR = 4e9


def rpm(limit: int, seconds: int = 60) -> Window:
    return Window("key:1:requests", limit, seconds=seconds)


def tpm(limit: int, amount: int, seconds: int = 60) -> Window:
    return Window("key:1:tokens", limit, amount, tokens=True, seconds=seconds)


async def asked_and_left(
    live: Live, name: str, *windows: Window, tokens: int | None = None
) -> None:
    await granted(live, entry(name, windows=windows))
    await live.leave(name, tokens=tokens)


# -- windows


async def test_a_full_window_refuses_at_once_and_says_when_it_has_room(live: Live) -> None:
    await asked_and_left(live, "a", rpm(2, 2))
    await asked_and_left(live, "b", rpm(2, 2))
    no = await refused(live, entry("c", windows=(rpm(2, 2),)))
    assert (no.full, no.queue_full, no.ticket) == ("key:1:requests", False, 0)
    assert no.retry_after is not None
    assert 0 < no.retry_after <= 2
    await asyncio.sleep(no.retry_after + 0.01)
    await granted(live, entry("d", windows=(rpm(2, 2),)))


async def test_just_before_its_time_to_retry_a_window_is_still_full(live: Live) -> None:
    await asked_and_left(live, "a", rpm(1, 2))
    no = await refused(live, entry("b", windows=(rpm(1, 2),)))
    assert no.retry_after is not None
    await asyncio.sleep(max(0.0, no.retry_after - 0.15))
    await refused(live, entry("c", windows=(rpm(1, 2),)))


async def test_the_tightest_windows_of_each_kind_are_told(live: Live) -> None:
    windows = (Window("user:1:requests", 100), rpm(10), tpm(1000, 300), Window("x", 0))
    first = await granted(live, entry("a", windows=windows))
    assert first.requests is not None
    assert first.tokens is not None
    assert (first.requests.limit, first.requests.remaining) == (10, 9)
    assert (first.tokens.limit, first.tokens.remaining) == (1000, 700)
    assert 59 <= first.requests.resets <= 60
    assert (await granted(live, entry("b", place(2)))).requests is None


async def test_a_refusal_tells_how_full_the_windows_are(live: Live) -> None:
    await asked_and_left(live, "a", rpm(1), tpm(100, 60))
    no = await refused(live, entry("b", windows=(rpm(1), tpm(100, 60))))
    assert isinstance(no.requests, Usage)
    assert isinstance(no.tokens, Usage)
    assert (no.requests.remaining, no.tokens.remaining) == (0, 40)


async def test_an_amount_above_the_limit_comes_in_when_nothing_was_taken(live: Live) -> None:
    await asked_and_left(live, "a", tpm(100, 500))
    assert (await refused(live, entry("b", windows=(tpm(100, 1),)))).full == "key:1:tokens"


@pytest.mark.parametrize(("used", "left"), [(None, 40), (10, 90), (60, 40), (70, 30), (500, 0)])
async def test_leaving_corrects_the_estimate_of_tokens(
    live: Live, used: int | None, left: int
) -> None:
    await asked_and_left(live, "a", rpm(9), tpm(100, 60), tokens=used)
    after = await granted(live, entry("b", windows=(rpm(9),)))
    assert after.requests is not None
    assert after.requests.remaining == 7
    no = await refused(live, entry("c", place(1), windows=(tpm(100, 101),)))
    assert no.tokens is not None
    assert no.tokens.remaining == left


async def test_a_call_that_is_refused_takes_nothing_of_any_window(live: Live) -> None:
    await granted(live, entry("holder"))
    await refused(live, entry("a", windows=(rpm(1),), wait=0.0))
    await refused(live, entry("a", windows=(rpm(1),), wait=0.05))
    task = asking(live, entry("a", windows=(rpm(1),)))
    await in_line(live, 1)
    task.cancel()
    await asyncio.wait((task,))
    await live.leave("holder")
    await granted(live, entry("b", windows=(rpm(1),)))


async def test_a_grant_nobody_lived_to_see_takes_nothing_of_any_window(live: Live) -> None:
    windows = (rpm(1), tpm(100, 60))
    there = place(1, windows=(Window("account:1:requests", 1),))
    await granted(live, entry("holder"))
    task = asking(live, entry("a", there, windows=windows))
    await in_line(live, 1)
    await live.leave("holder")
    task.cancel()
    await asyncio.wait((task,))
    await count(live, "account:1", 0)
    await granted(live, entry("b", there, windows=windows))


async def test_a_window_that_filled_up_meanwhile_refuses_one_that_waits(live: Live) -> None:
    await granted(live, entry("holder"))
    waiting = asking(live, entry("w", windows=(rpm(1),)))
    await in_line(live, 1)
    await granted(live, entry("a", place(2), windows=(rpm(1),)))
    await live.leave("holder")
    decision = await waiting
    assert isinstance(decision, Refused)
    assert decision.full == "key:1:requests"
    await count(live, "account:1", 0)


async def test_a_candidate_whose_window_is_full_is_passed_over(live: Live) -> None:
    busy = place(1, 9, windows=(Window("account:1:requests", 1),))
    assert (await granted(live, entry("a", busy, place(2)))).candidate == 0
    assert (await granted(live, entry("b", busy, place(2)))).candidate == 1


async def test_a_candidates_window_is_waited_for(live: Live) -> None:
    busy = place(1, 9, windows=(Window("account:1:requests", 1, seconds=1),))
    await granted(live, entry("a", busy))
    no = await refused(live, entry("b", busy, wait=0.0))
    assert (no.full, no.queue_full) == ("account:1:requests", True)
    assert no.retry_after is not None
    assert (await granted(live, entry("b", busy, wait=5.0))).waited <= 2.5


# -- budgets


def budget(name: str = "cost:key:1", limit: int = 100, **more: bool) -> Budget:
    return Budget(name, limit, FAR, **more)


async def test_an_unknown_budget_takes_nothing_and_asks_to_be_filled(live: Live) -> None:
    there = place(1, budgets=(budget("cost:account:1"), budget("free", 0)))
    asked = entry("a", there, budgets=(budget(),))
    decision = await live.enter(asked)
    assert isinstance(decision, Unfilled)
    assert sorted(decision.names) == ["cost:account:1", "cost:key:1"]
    await count(live, "account:1", 0)
    await live.fill({budget(): 10, budget("cost:account:1"): 0}, {})
    await granted(live, asked)
    await until(lambda: live.spent("cost:key:1") == 10)
    assert live.spent("nobody's") is None


async def test_a_call_comes_in_while_less_was_spent_and_its_cost_is_added(live: Live) -> None:
    lists = budget("list:account:1", 1000, lists=True)
    await live.fill({budget(): 90, lists: 0}, {})
    asked = entry("a", place(1, budgets=(lists,)), budgets=(budget(),))
    await granted(live, asked)
    await live.leave("a", cost=15, list_cost=70)
    await live.leave("a", cost=15, list_cost=70)
    await until(lambda: (live.spent("cost:key:1"), live.spent("list:account:1")) == (105, 70))
    no = await refused(live, entry("b", budgets=(budget(),)))
    assert (no.full, no.retry_after, no.queue_full) == ("cost:key:1", None, False)
    await granted(live, entry("c", budgets=(budget(limit=106),)))


async def test_what_left_while_a_budget_was_unfilled_is_counted_once(live: Live) -> None:
    await live.fill({budget("old"): 0}, {})
    await granted(live, entry("a", place(1, 9), budgets=(budget("old"),)))
    assert await live.filling("new") == frozenset()
    # `b` and `c` hold a budget that is not known any more: as if it had been forgotten meanwhile.
    for name in ("b", "c"):
        await granted(live, entry(name, place(1, 9)))
        unknown = await live.swap(name, (place(1, 9, budgets=(budget("new"),)),))
        assert unknown == Unfilled(("new",))
    await live.leave("a", cost=7)
    await until(lambda: live.spent("old") == 7)


async def test_a_second_fill_changes_nothing(live: Live) -> None:
    await live.fill({budget(): 10}, {})
    await live.fill({budget(): 99}, {})
    await granted(live, entry("a", budgets=(budget(limit=11),)))


async def test_an_expired_budget_is_not_known(live: Live) -> None:
    gone = Budget("cost:key:1", 100, 1.0)
    await live.fill({gone: 10}, {})
    assert await live.enter(entry("a", budgets=(gone,))) == Unfilled(("cost:key:1",))


async def test_large_sums_are_exact(live: Live) -> None:
    large = 9_007_199_254_740_000
    await live.fill({budget(limit=large): large - 3}, {})
    for name in ("a", "b"):
        await granted(live, entry(name, budgets=(budget(limit=large),)))
        await live.leave(name, cost=1)
    await until(lambda: live.spent("cost:key:1") in (large - 1, None))
    await granted(live, entry("c", budgets=(budget(limit=large),)))
    await live.leave("c", cost=1)
    await refused(live, entry("d", budgets=(budget(limit=large),)))


async def test_costs_go_to_the_candidate_that_the_call_had_last(live: Live) -> None:
    first, second = budget("cost:account:1"), budget("cost:account:2")
    await live.fill({first: 0, second: 0}, {})
    await granted(live, entry("a", place(1, budgets=(first,))))
    assert await live.swap("a", (place(2, budgets=(second,)),)) == Granted(0)
    await live.leave("a", cost=5)
    await until(lambda: live.spent("cost:account:2") == 5)
    assert live.spent("cost:account:1") in (0, None)


# -- sessions


async def test_sessions_are_limited_and_a_known_one_always_comes_in(live: Live) -> None:
    there = place(1, 9, sessions=Sessions("sessions:1", 2, 300.0))
    for number, session in enumerate(["x", "y", "x", ""]):
        await granted(live, entry(f"c{number}", there, session=session))
        await live.leave(f"c{number}")
    no = await refused(live, entry("d", there, session="z", wait=0.0))
    assert no.full == "sessions:1"
    assert no.retry_after is not None
    assert 298 < no.retry_after <= 300
    assert (await granted(live, entry("d", there, place(2), session="z"))).candidate == 1


async def test_an_idle_session_makes_room(live: Live) -> None:
    there = place(1, 9, sessions=Sessions("sessions:1", 1, 0.3))
    await granted(live, entry("a", there, session="x"))
    await live.leave("a")
    assert (await granted(live, entry("b", there, session="y", wait=5.0))).waited > 0.1


# -- bindings


async def test_a_binding_is_made_when_there_is_none_and_told_to_who_did_not_know(
    live: Live,
) -> None:
    assert live.bound("session") == 0
    await granted(live, entry("a", place(1, 9), place(2, 9), sticky=sticky()))
    assert live.bound("session") == 1
    other = entry("b", place(2, 9), place(1, 9), sticky=sticky(expected=0))
    assert await live.enter(other) == Bound(1)
    await count(live, "account:2", 0)
    await granted(live, entry("b", place(1, 9), sticky=sticky(expected=1)))


async def test_a_binding_moves_when_its_account_cannot_be_used(live: Live) -> None:
    await granted(live, entry("a", sticky=sticky()))
    void = sticky(expected=1, unusable=frozenset({1}))
    await granted(live, entry("b", place(2), sticky=void))
    assert live.bound("session") == 2
    void = sticky(expected=2, unusable=frozenset({2}))
    assert await live.swap("b", (place(3),), void) == Granted(0)
    assert live.bound("session") == 3
    assert await live.swap("b", (place(4),), sticky(expected=3)) == Granted(0)
    assert live.bound("session") == 3


async def test_overflow_does_not_move_a_binding(live: Live) -> None:
    await granted(live, entry("a", sticky=sticky()))
    full = sticky(expected=1, max_waiting=0)
    assert (await granted(live, entry("b", place(1), place(2), sticky=full))).candidate == 1
    assert live.bound("session") == 1
    assert (await granted(live, entry("c", place(3), sticky=sticky(expected=1)))).candidate == 0
    assert live.bound("session") == 1


async def test_the_bound_account_is_waited_for_before_another_is_taken(live: Live) -> None:
    await granted(live, entry("a", sticky=sticky()))
    mine = sticky(expected=1, max_waiting=1)
    waiting = asking(live, entry("b", place(1), place(2), sticky=mine))
    await in_line(live, 1)
    assert (await granted(live, entry("c", place(1), place(2), sticky=mine))).candidate == 1
    await live.leave("a")
    decision = await waiting
    assert isinstance(decision, Granted)
    assert decision.candidate == 0


async def test_an_account_a_binding_to_which_is_void_is_not_waited_for(live: Live) -> None:
    await granted(live, entry("a", sticky=sticky()))
    void = sticky(expected=1, unusable=frozenset({1}))
    assert (await granted(live, entry("b", place(1), place(2), sticky=void))).candidate == 1
    assert live.bound("session") == 2


async def test_after_the_sticky_wait_any_free_candidate_is_taken_else_it_is_refused(
    live: Live,
) -> None:
    await granted(live, entry("a", sticky=sticky()))
    short = sticky(expected=1, wait=0.2)
    taken = await granted(live, entry("b", place(1), place(2), sticky=short))
    assert taken.candidate == 1
    assert taken.waited >= 0.15
    assert live.bound("session") == 1
    no = await refused(live, entry("c", place(1), place(2), sticky=short))
    assert no.full == "account:1"
    assert no.ticket


async def test_a_binding_is_forgotten_after_its_time_and_lives_longer_when_used(
    live: Live,
) -> None:
    await granted(live, entry("a", place(1, 9), sticky=sticky(ttl=0.6)))
    await asyncio.sleep(0.4)
    await granted(live, entry("b", place(1, 9), sticky=sticky(expected=1, ttl=0.6)))
    await asyncio.sleep(0.4)
    assert live.bound("session") == 1
    await asyncio.sleep(0.4)
    assert live.bound("session") == 0
    await granted(live, entry("c", place(2, 9), sticky=sticky(ttl=0.6)))


async def test_only_the_binding_to_that_account_is_unbound(live: Live) -> None:
    await granted(live, entry("a", sticky=sticky()))
    await live.unbind("session", 2)
    assert live.bound("session") == 1
    await live.unbind("session", 1)
    assert live.bound("session") == 0
    await granted(live, entry("b", place(2), sticky=sticky()))
    assert live.bound("session") == 2


async def test_everything_at_once_is_given_back(live: Live) -> None:
    there = place(
        1,
        2,
        windows=(Window("account:1:requests", 9), Window("account:1:tokens", 99, 9, tokens=True)),
        budgets=(budget("cost:account:1"),),
        sessions=Sessions("sessions:1", 3),
    )
    await live.fill({budget("cost:account:1"): 0, budget(): 0}, {})
    slots = (Slot("user:1", 3), Slot("key:1", 2))
    for name in ("a", "b"):
        asked = entry(name, there, slots=slots, budgets=(budget(),), session="x", sticky=sticky(1))
        await granted(live, asked)
        await live.leave(name, tokens=50, cost=1, list_cost=2)
    for name in ("user:1", "key:1", "account:1"):
        await count(live, name, 0)
    no = await refused(live, entry("c", there, session="x", wait=0.0))
    assert no.full == "account:1:tokens"
