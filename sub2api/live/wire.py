"""What is said to the script `redis.lua`, and what it answers: arrays without field names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sub2api.live.interfaces import (
    Bound,
    Budget,
    Decision,
    Entry,
    Granted,
    Place,
    Refused,
    Sessions,
    Slot,
    Sticky,
    Unfilled,
    Usage,
    Window,
)

GRANTED, REFUSED, UNFILLED, BOUND, WAITING = 1, 2, 3, 4, 5
"""The first element of an answer."""

Packed = list[Any] | tuple[Any, ...] | int


def packed_entry(entry: Entry) -> Packed:
    """Return an entry as the script reads it; what is unlimited is left out."""
    return (
        entry.call_id,
        entry.user,
        entry.key,
        packed_slots(entry.slots),
        _windows(entry.windows),
        packed_budgets(entry.budgets),
        packed_places(entry.candidates),
        packed_sticky(entry.sticky),
        entry.session,
        entry.wait,
        entry.max_waiting,
        entry.ticket,
    )


def packed_places(places: Sequence[Place]) -> Packed:
    """Return candidates as the script reads them."""
    return [packed_place(place) for place in places]


def packed_place(place: Place) -> Packed:
    """Return one candidate as the script reads it."""
    return (
        place.account_id,
        packed_slots(place.slots),
        _windows(place.windows) if place.windows else (),
        packed_budgets(place.budgets) if place.budgets else (),
        _sessions(place.sessions),
    )


def packed_sticky(sticky: Sticky | None) -> Packed:
    """Return a binding as the script reads it."""
    if sticky is None:
        return 0
    unusable = tuple(sticky.unusable)
    return sticky.name, sticky.expected, unusable, sticky.ttl, sticky.wait, sticky.max_waiting


def packed_slots(slots: Iterable[Slot]) -> Packed:
    """Return the limited among slots, names and limits by turns."""
    packed: list[str | int] = []
    for slot in slots:
        if slot.limit > 0:
            packed += (slot.name, slot.limit)
    return packed


def packed_budgets(budgets: Iterable[Budget]) -> Packed:
    """Return the limited among budgets."""
    return [(each.name, each.limit, each.expires, int(each.lists)) for each in limited(budgets)]


def limited(budgets: Iterable[Budget]) -> list[Budget]:
    """Return the budgets that are counted."""
    return [each for each in budgets if each.limit > 0]


def _windows(windows: Iterable[Window]) -> Packed:
    return [
        (each.name, each.limit, each.amount, int(each.tokens), each.seconds)
        for each in windows
        if each.limit > 0
    ]


def _sessions(sessions: Sessions | None) -> Packed:
    if sessions is None or sessions.limit <= 0:
        return 0
    return sessions.name, sessions.limit, sessions.idle


def decision_of(answer: Sequence[Any], waited: float = 0.0) -> Decision:
    """Return what an answer, other than WAITING, means."""
    kind = answer[0]
    if kind == GRANTED:
        return Granted(answer[1], waited, _usage(answer[2]), _usage(answer[3]))
    if kind == UNFILLED:
        return Unfilled(tuple(answer[1]))
    if kind == BOUND:
        return Bound(answer[1])
    after = None if answer[2] < 0 else float(answer[2])
    requests, tokens = _usage(answer[5]), _usage(answer[6])
    return Refused(answer[1], after, bool(answer[3]), answer[4], requests, tokens)


def _usage(packed: Sequence[Any] | bool) -> Usage | None:
    if isinstance(packed, bool):
        return None
    return Usage(packed[0], packed[1], float(packed[2]))
