"""A body on its way in: how fast it must come, and how much of it this process holds."""

from __future__ import annotations

from sub2api.gateway.bodies import Pace
from sub2api.server.lane import Lane


class Arrival:
    """The bodies of one connection, one after the other."""

    __slots__ = ("_lane", "_pace", "held", "under_way")

    def __init__(self, lane: Lane) -> None:
        self.under_way = False
        self.held = 0
        """Bytes of the present body, from its first until it is let go."""
        self._lane = lane
        self._pace = Pace(0.0)

    def begins(self) -> float:
        """A head is there; return by when something of its body must have come."""
        self.under_way = True
        self._pace = Pace(self._lane.clock.monotonic())
        return self._pace.deadline

    def got(self, count: int) -> float:
        """Bytes have come; return the deadline that holds now.

        Raises ClientError 503 when the process holds too many; they count even so.
        """
        self.held += count
        self._lane.pipeline.parts.bodies.take(count)
        return self._pace.got(count, self._lane.clock.monotonic())

    def ends(self) -> None:
        """The body is complete, or nobody wants it."""
        self.under_way = False

    def let_go(self) -> None:
        """The body is not held any more."""
        if self.held:
            self._lane.pipeline.parts.bodies.give(self.held)
            self.held = 0
