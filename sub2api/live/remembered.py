"""Tables that forget: what was used least lately goes first, what has expired is gone."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Remembered(Generic[_Key, _Value]):
    """At most `most` values, each until its moment (0: for ever), the least recently used go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[_Key, tuple[_Value, float]] = {}

    def get(self, key: _Key, now: float) -> _Value | None:
        """Return a value that has not expired, and note that it was used."""
        found = self._values.pop(key, None)
        if found is None or 0 < found[1] <= now:
            return None
        self._values[key] = found
        return found[0]

    def set(self, key: _Key, value: _Value, until: float = 0.0) -> None:
        """Remember a value until a moment on the clock that `get` is asked with."""
        self._values.pop(key, None)
        self._values[key] = (value, until)
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]

    def change(self, key: _Key, value: _Value) -> None:
        """Set another value where there is one; its end stays."""
        self._values[key] = (value, self._values[key][1])

    def drop(self, key: _Key) -> None:
        """Forget a value, if there is one."""
        self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)


class Turns:
    """When each of many was last served: at least the latest `most / 2` of them are known."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._recent: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def served(self, who: int, turn: int) -> None:
        """Note that it was served in this turn; turns only grow."""
        recent = self._recent
        recent[who] = turn
        if len(recent) > self._half:
            self._before, self._recent = recent, {}

    def last(self, who: int) -> int:
        """Return the turn it was last served in, 0 for never or too long ago."""
        turn = self._recent.get(who)
        return self._before.get(who, 0) if turn is None else turn
