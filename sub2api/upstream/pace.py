"""How long accounts take to their first frame, beside all others that serve the same model."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

_REMEMBERED = 101
_ENOUGH = 10
"""First frames a model must have before anybody is called slow."""
_MOST_MODELS = 1024
_TIMES_MEDIAN = 3.0
_NEVER_SLOW = 2.0
"""Seconds: a first frame within this is never slow."""
_IN_A_ROW = 3


class _Median:
    """The median of the last 101 values, kept sorted as they come."""

    def __init__(self) -> None:
        self._ring: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        if len(self._ring) == _REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._ring.popleft())]
        self._ring.append(value)
        insort(self._sorted, value)

    @property
    def value(self) -> float | None:
        return self._sorted[len(self._sorted) // 2] if len(self._sorted) >= _ENOUGH else None


class Pace:
    """Tells which accounts are slow with a model: three first frames in a row took too long."""

    def __init__(self) -> None:
        self._medians: dict[tuple[str, str], _Median] = {}
        self._late: dict[tuple[int, str], int] = {}

    def first_frame(self, account_id: int, platform: str, model: str, seconds: float) -> bool:
        """Note a first frame; True if the account has become slow, or is so no longer."""
        median = self._median_of(platform, model)
        usual = median.value
        median.add(seconds)
        key = (account_id, model)
        if usual is None or seconds <= max(_NEVER_SLOW, usual * _TIMES_MEDIAN):
            return self._late.pop(key, 0) >= _IN_A_ROW
        if len(self._late) >= _MOST_MODELS and key not in self._late:
            self._late.clear()
        late = self._late[key] = self._late.get(key, 0) + 1
        return late == _IN_A_ROW

    def is_slow(self, account_id: int, model: str) -> bool:
        """Whether the account's last three first frames were all late."""
        return bool(self._late) and self._late.get((account_id, model), 0) >= _IN_A_ROW

    def _median_of(self, platform: str, model: str) -> _Median:
        found = self._medians.get((platform, model))
        if found is None:
            # Clients choose model names: what is kept must not grow with their imagination.
            if len(self._medians) >= _MOST_MODELS:
                self._medians.clear()
            found = self._medians[platform, model] = _Median()
        return found
