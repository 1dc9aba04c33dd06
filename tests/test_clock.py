"""Time, chance and ids."""

from __future__ import annotations

from sub2api.clock import Clock


def test_ids_are_unique_and_sort_by_time() -> None:
    clock = Clock()
    ids = [clock.new_id("req_") for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(each.startswith("req_") for each in ids)
    assert ids[0][:16] <= ids[-1][:16]


def test_clocks_move_forward_and_chance_is_a_fraction() -> None:
    clock = Clock()
    assert clock.monotonic() <= clock.monotonic()
    assert abs(clock.today().timestamp() - clock.now()) < 5
    assert 0 <= clock.chance() < 1
