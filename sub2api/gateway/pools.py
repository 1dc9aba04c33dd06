"""A pool: the accounts that could serve a model for a key, kept in the order they are tried.

The order is kept, not made: what was touched since the pool was last asked (its load, its use, its
rests) is moved, the rest is not looked at. Ends of rests are compared when the pool is asked;
nothing has to fire.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Sequence
from heapq import heapify, heappop, heappush

from sub2api.gateway.members import Facts, Key, Member
from sub2api.upstream.catalogue import Candidate

PARKED_SECONDS = 0.25
"""How long an account without room in its budgets is not asked again: the age of the picture."""
SORT_ANEW_SHARE = 0.25
"""A pool of which more than this share was touched is sorted anew."""


class Pool:
    """The accounts that have a model, within a key's reach, best first.

    `valid_until` is when the first of them expires: a new pool must be made then. `seen` counts
    the touches that it has taken in.
    """

    def __init__(self, members: list[Member], facts: Facts, now: float) -> None:
        self.members = members
        self.by_account = {member.account.id: member for member in members}
        expiries = [each.account.expires_at for each in members]
        self.valid_until = min((each for each in expiries if each is not None), default=1e300)
        self.seen = 0
        self._facts = facts
        self._order: list[Key] = []
        self._ends: list[tuple[float, int]] = []
        self._parked: deque[tuple[float, Member]] = deque()
        places = sorted({(each.candidate.rank, each.account.priority) for each in members})
        self._levels = len(places)
        level_of = {place: level for level, place in enumerate(places)}
        for position, member in enumerate(members):
            member.position = position
            member.level = level_of[member.candidate.rank, member.account.priority]
        self.sort(now)

    def ordered(self) -> list[Member]:
        """Return all that may be asked, best first."""
        return [self.members[key[4]] for key in self._order]

    def visit(self, touches: Sequence[int], now: float) -> None:
        """Bring the order up to date: `touches` are the accounts touched since the last visit."""
        members, parked, ends = self.by_account, self._parked, self._ends
        moved = [members[each] for each in members.keys() & touches] if touches else []
        while ends and ends[0][0] <= now:
            until, position = heappop(ends)
            member = self.members[position]
            if member.until == until:
                member.until = 0.0
                moved.append(member)
        while parked and parked[0][0] <= now:
            member = parked.popleft()[1]
            if member.parked:
                moved.append(member)
        if len(moved) > 2 and len(moved) > SORT_ANEW_SHARE * len(members):
            self.sort(now)
            return
        for member in moved:
            self._move(member, now)

    def best(
        self, most: int, skip: Collection[int], first: Member | None, now: float
    ) -> list[Candidate]:
        """Return up to `most` candidates, best first; `first` leads whatever its place."""
        members, admits = self.members, self._facts.admits
        while True:
            found = [] if first is None else [first.candidate]
            without_room: list[Member] = []
            for key in self._order:
                if len(found) >= most:
                    break
                member = members[key[4]]
                if member is first or member.account.id in skip:
                    continue
                if admits(member.candidate, False):
                    found.append(member.candidate)
                else:
                    without_room.append(member)
            if not without_room:
                return found
            for member in without_room:
                self._park(member, now)

    def beyond_routes(self, most: int, skip: Collection[int], now: float) -> list[Candidate]:
        """Return what model routes hold back, for a call that all routed accounts have failed."""
        facts = self._facts
        held = [
            each
            for each in self.members
            if each.held and each.account.id not in skip and facts.admits(each.candidate, False)
        ]
        held.sort(key=lambda each: each.key_at(facts, self._levels, now))
        return [each.candidate for each in held[:most]]

    def chosen(self, member: Member, now: float) -> None:
        """Put the one that is about to be used behind its equals, before its load tells.

        All calls of one turn would be sent to it otherwise: the picture of loads is old by then.
        """
        key = member.key
        if key is not None:
            level, load, _, _, position = key
            self._replace(member, key, (level, load, now, self._facts.chance(), position))

    def earliest(self) -> float | None:
        """Return when the first rest ends by itself (seconds since 1970), None if none does."""
        ends = self._ends
        while ends and self.members[ends[0][1]].until != ends[0][0]:
            heappop(ends)
        if not ends or not self.members[ends[0][1]].out_of_use:
            return ends[0][0] if ends else None
        waiting = [each.until for each in self.members if each.until and not each.out_of_use]
        return min(waiting, default=None)

    def sort(self, now: float) -> None:
        """Work everything out anew."""
        self._ends.clear()
        self._parked.clear()
        for member in self.members:
            member.key, member.until = None, 0.0
            if member.route is not None:
                member.route.ready = 0
        # Whom a model is kept for first: whether the others of their group are held hangs on it.
        for routed in (True, False):
            for member in self.members:
                if member.routed is routed:
                    self._work_out(member, now)
                    if routed and member.key is not None and member.route is not None:
                        member.route.ready += 1
        self._order = sorted([each.key for each in self.members if each.key is not None])

    def _move(self, member: Member, now: float) -> None:
        """Give a member the place that it has now."""
        old = member.key
        self._work_out(member, now)
        self._replace(member, old, member.key)
        if member.routed and (old is None) is not (member.key is None):
            self._recount(member, now)

    def _park(self, member: Member, now: float) -> None:
        """Leave a member out for a moment: its budgets have no room."""
        self._replace(member, member.key, None)
        member.parked = True
        self._parked.append((now + PARKED_SECONDS, member))
        if member.routed:
            self._recount(member, now)

    def _replace(self, member: Member, old: Key | None, new: Key | None) -> None:
        order = self._order
        if old is not None:
            del order[bisect_left(order, old)]
        if new is not None:
            insort(order, new)
        member.key = new

    def _recount(self, member: Member, now: float) -> None:
        """A routed member has come or gone: let the others of its group go, or in."""
        route = member.route
        if route is None:
            return
        if member.key is None:
            route.ready -= 1
        else:
            route.ready += 1
        if route.ready == (0 if member.key is None else 1):
            for other in self.members:
                if other.route is route and not other.routed:
                    self._move(other, now)

    def _work_out(self, member: Member, now: float) -> None:
        """Work out whether a member may be asked, and its key if so."""
        route, facts = member.route, self._facts
        member.parked = member.held = False
        rest = facts.health.rest_of(member.account, member.candidate.upstream_model, now)
        if rest is not None:
            member.key = None
            member.out_of_use = rest.out_of_use
            if rest.until != member.until:
                member.until = rest.until
                self._note_end(member)
            return
        member.until = 0.0
        member.held = route is not None and not member.routed and route.ready > 0
        member.key = None if member.held else member.key_at(facts, self._levels, now)

    def _note_end(self, member: Member) -> None:
        ends = self._ends
        heappush(ends, (member.until, member.position))
        if len(ends) > 2 * len(self.members) + 16:
            # Rests that were cleared or have grown leave their old ends behind.
            ends[:] = [(each.until, each.position) for each in self.members if each.until]
            heapify(ends)
