"""Failures that count only when there are several: in a row, or within a while."""

from __future__ import annotations

from collections import deque


class Streaks:
    """Failures in a row, per key. The third within a minute is one too many."""

    def __init__(self, most: int = 3, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._times: dict[int, deque[float]] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._times

    def failed(self, key: int, now: float) -> bool:
        """Count a failure; True when it completes a streak, which then begins anew."""
        times = self._times.setdefault(key, deque(maxlen=self._most))
        times.append(now)
        if len(times) < self._most or now - times[0] > self._seconds:
            return False
        del self._times[key]
        return True

    def broken(self, key: int) -> None:
        """A success ends the streak."""
        self._times.pop(key, None)
