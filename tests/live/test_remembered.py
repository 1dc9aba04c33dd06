"""Tables that forget."""

from __future__ import annotations

from sub2api.live.remembered import Remembered, Turns


def test_what_was_used_least_lately_goes_first() -> None:
    table: Remembered[str, int] = Remembered(2)
    table.set("a", 1)
    table.set("b", 2)
    assert table.get("a", 0) == 1
    table.set("c", 3)
    assert [table.get(key, 0) for key in "abc"] == [1, None, 3]
    assert len(table) == 2


def test_what_has_expired_is_gone_and_a_change_keeps_the_end() -> None:
    table: Remembered[str, int] = Remembered(9)
    table.set("a", 1, until=10.0)
    table.change("a", 2)
    assert table.get("a", 9.9) == 2
    assert table.get("a", 10.0) is None
    table.drop("a")
    assert len(table) == 0


def test_turns_know_the_latest_half_at_least_and_never_grow_beyond() -> None:
    turns = Turns(10)
    for who in range(1, 101):
        turns.served(who, who * 10)
    assert [turns.last(who) for who in (96, 100)] == [960, 1000]
    assert turns.last(1) == 0
    assert len(turns._recent) + len(turns._before) <= 11
