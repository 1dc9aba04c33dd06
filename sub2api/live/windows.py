"""How much was taken lately, second by second, in memory."""

from __future__ import annotations

from collections import deque


class Counts:
    """What was taken under one window's name in its last `seconds` seconds.

    Seconds are whole numbers of any clock that does not go back; old ones fall out as it is read.
    """

    __slots__ = ("_each", "_total", "seconds")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._total = 0
        self._each: deque[list[int]] = deque()  # [second, amount], oldest first

    def total(self, now: float) -> int:
        """Return what was taken in the window that ends now."""
        each, oldest = self._each, int(now) - self.seconds
        while each and each[0][0] <= oldest:
            self._total -= each.popleft()[1]
        return self._total

    def has_room(self, now: float, limit: int, amount: int) -> bool:
        """Whether `amount` may be taken; always when nothing was."""
        total = self.total(now)
        return total == 0 or total + amount <= limit

    def add(self, now: float, amount: int) -> None:
        """Take `amount` in the present second."""
        self.total(now)
        self._total += amount
        if self._each and self._each[-1][0] == int(now):
            self._each[-1][1] += amount
        else:
            self._each.append([int(now), amount])

    def take_back(self, now: float, second: int, amount: int) -> None:
        """Undo what was taken in an earlier second, as far as it is still counted."""
        self.total(now)
        for one in reversed(self._each):
            if one[0] == second:
                amount = min(amount, one[1])
                one[1] -= amount
                self._total -= amount
                return

    def room_after(self, now: float, limit: int, amount: int) -> float:
        """Return the seconds until `has_room`, if nothing else is taken or given back."""
        left = self.total(now)
        for second, taken in self._each:
            if left == 0 or left + amount <= limit:
                break
            left -= taken
            if left == 0 or left + amount <= limit:
                return second + self.seconds - now
        return 0.0

    def free_after(self, now: float) -> float:
        """Return the seconds until nothing is counted any more."""
        self.total(now)
        for second, taken in reversed(self._each):
            if taken:
                return second + self.seconds - now
        return 0.0
