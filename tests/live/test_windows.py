"""Windows against a model that counts everything again each time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sub2api.live.windows import Counts

SECONDS = 5


@dataclass
class Model:
    """Every amount with its second; the whole is summed on every question."""

    taken: list[list[int]] = field(default_factory=list)

    def total(self, now: float) -> int:
        return sum(amount for second, amount in self.taken if second > int(now) - SECONDS)

    def add(self, now: float, amount: int) -> None:
        self.taken.append([int(now), amount])

    def take_back(self, now: float, second: int, amount: int) -> None:
        for one in self.taken:
            if one[0] == second and second > int(now) - SECONDS:
                less = min(amount, one[1])
                one[1] -= less
                amount -= less

    def has_room(self, now: float, limit: int, amount: int) -> bool:
        return self.total(now) == 0 or self.total(now) + amount <= limit

    def room_after(self, now: float, limit: int, amount: int) -> float:
        moments = [now, *(int(now) + ahead + 0.0 for ahead in range(1, SECONDS + 1))]
        return next(moment - now for moment in moments if self.has_room(moment, limit, amount))

    def free_after(self, now: float) -> float:
        counted = [one[0] for one in self.taken if one[1] and one[0] > int(now) - SECONDS]
        return max(counted) + SECONDS - now if counted else 0.0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "take back", "look"]),
        st.floats(0, 4).map(lambda seconds: round(seconds * 8) / 8),
        st.integers(0, 30),
        st.integers(0, 6),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 60))
def test_windows_count_what_a_model_counts(
    steps: list[tuple[str, float, int, int]], limit: int
) -> None:
    counts, model, now = Counts(SECONDS), Model(), 100.0
    for what, later, amount, ago in steps:
        now += later
        if what == "add":
            counts.add(now, amount)
            model.add(now, amount)
        elif what == "take back":
            counts.take_back(now, int(now) - ago, amount)
            model.take_back(now, int(now) - ago, amount)
        assert counts.total(now) == model.total(now)
        assert counts.has_room(now, limit, amount) == model.has_room(now, limit, amount)
        assert counts.room_after(now, limit, amount) == model.room_after(now, limit, amount)
        assert counts.free_after(now) == model.free_after(now)


def test_old_seconds_are_not_kept() -> None:
    counts = Counts(60)
    for second in range(10_000):
        counts.add(float(second), 1)
    assert counts.total(9_999) == 60
    assert len(counts._each) == 60
