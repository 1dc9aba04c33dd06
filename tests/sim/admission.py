"""One call's way in and through: rank, enter, attempt, tell health, swap, leave.

The smallest faithful driver of the real parts; `gateway/admission.py` and `attempts.py` do the
same for calls with bytes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import thread_time

from sub2api.clock import Clock
from sub2api.gateway.scheduling import Ranking, Scheduler
from sub2api.live.interfaces import Bound, Entry, Granted, Live, Place, Slot, Sticky
from sub2api.model.accounts import Account
from sub2api.model.callers import Caller
from sub2api.model.health import Harm
from sub2api.upstream.catalogue import Candidate, Catalogue
from sub2api.upstream.health import Health
from tests.sim.measures import Measures
from tests.sim.vendor import Answer, Vendor

PLATFORMS = ("anthropic",)
MODEL = "claude-sonnet-4-5"
WAIT_SECONDS, RENEWED_SECONDS = 30.0, 1.0
MOST_SWITCHES = 10


@dataclass(frozen=True)
class Parts:
    """The real parts, and the vendor."""

    clock: Clock
    live: Live
    health: Health
    scheduler: Scheduler
    catalogue: Catalogue
    vendor: Vendor
    caller: Caller
    measures: Measures


@dataclass
class Call:
    """One turn of a session. `tried` are the accounts that have failed it."""

    id: str
    user: int
    session: str
    tried: set[int] = field(default_factory=set)


@dataclass
class Gateway:
    """Serves turns. A bound session's call waits `bound_wait` seconds for its account."""

    parts: Parts
    bound_wait: float
    last: dict[str, Account] = field(default_factory=dict)

    async def turn(self, user: int, session: str, number: int) -> None:
        """Serve one turn of a session."""
        call = Call(f"{session}/{number}", user, session)
        self.parts.measures.calls += 1
        before = self.last.get(session)
        if before is not None and not self.is_healthy(before):
            before = None
        try:
            served = await self._served(call)
        finally:
            await self.parts.live.leave(call.id)
        if served is None:
            return
        if before is not None and before.id not in call.tried:
            stayed = served.id == before.id
            if stayed or self.is_healthy(before):
                self.parts.measures.repeat(stayed=stayed)
        self.last[session] = served

    async def _served(self, call: Call) -> Account | None:
        candidate = await self._enter(call)
        while candidate is not None:
            account = candidate.account
            if await self._attempt(account):
                self.parts.measures.served(account.id)
                return account
            call.tried.add(account.id)
            candidate = await self._another(call)
        self._note_refusal(call)
        return None

    async def _enter(self, call: Call) -> Candidate | None:
        """Take a place: wait for the session's own account first, then for any.

        Waits for any are short, each with a fresh ranking: meanwhile rests have ended. The last
        look does not wait: what it refuses has been refused by the ranking of that moment.
        """
        parts, ticket, patience = self.parts, 0, self.bound_wait
        arrived = parts.clock.monotonic()
        ends: float | None = None
        bound = parts.live.bound(call.session)
        while True:
            ranking = self.rank(call, bound)
            if not ranking.candidates:
                return None
            over = ends is not None and parts.clock.monotonic() >= ends
            sticky = self._sticky(call, ranking, bound, patience)
            entry = self._entry(call, ranking, sticky, ticket, 0.0 if over else RENEWED_SECONDS)
            decision = await parts.live.enter(entry)
            if isinstance(decision, Granted):
                parts.measures.waited(parts.clock.monotonic() - arrived)
                return ranking.candidates[decision.candidate]
            if isinstance(decision, Bound):
                bound = decision.account_id
                continue
            ticket = getattr(decision, "ticket", 0)
            if over:
                return None
            if ends is None:
                patience, ends = 0.0, parts.clock.monotonic() + WAIT_SECONDS

    async def _another(self, call: Call) -> Candidate | None:
        """Move on to the next account, without waiting."""
        if len(call.tried) > MOST_SWITCHES:
            return None
        bound = self.parts.live.bound(call.session)
        ranking = self.rank(call, bound)
        if not ranking.candidates:
            return None
        decision = await self.parts.live.swap(
            call.id, self._places(ranking), self._sticky(call, ranking, bound, 0.0)
        )
        return ranking.candidates[decision.candidate] if isinstance(decision, Granted) else None

    def rank(self, call: Call, bound: int) -> Ranking:
        """Ask the scheduler, with a stopwatch."""
        measures = self.parts.measures
        began = thread_time()
        ranking = self.parts.scheduler.rank(
            self.parts.caller, PLATFORMS, MODEL, bound=bound, skip=call.tried
        )
        measures.decided(thread_time() - began)
        return ranking

    def is_healthy(self, account: Account) -> bool:
        """Whether an account may be asked, found without the scheduler."""
        health, now = self.parts.health, self.parts.clock.now()
        rest = health.rest_of(account, MODEL, now)
        return rest is None and account.is_usable(now) and not health.is_slow(account, MODEL)

    def _entry(
        self, call: Call, ranking: Ranking, sticky: Sticky, ticket: int, wait: float
    ) -> Entry:
        return Entry(
            call.id,
            call.user,
            call.user,
            candidates=self._places(ranking),
            sticky=sticky,
            session=call.session,
            wait=wait,
            ticket=ticket,
        )

    def _places(self, ranking: Ranking) -> tuple[Place, ...]:
        return tuple(
            Place(each.account.id, (Slot(f"account:{each.account.id}", self.limit(each.account)),))
            for each in ranking.candidates
        )

    def _sticky(self, call: Call, ranking: Ranking, bound: int, patience: float) -> Sticky:
        """Return the session's binding; after `patience` seconds any account will do."""
        void = frozenset({bound}) if bound and not ranking.bound else frozenset()
        expected = bound if ranking.bound else 0
        most = 3 if patience else 0
        return Sticky(call.session, expected, void, wait=patience, max_waiting=most)

    def limit(self, account: Account) -> int:
        """Return how many calls an account takes now: one at a time after a rest."""
        health = self.parts.health
        half_open = health.half_open(account, MODEL, self.parts.clock.now())
        return 1 if half_open else health.concurrency_of(account)

    async def _attempt(self, account: Account) -> bool:
        """Send the call; tell health how it went."""
        parts = self.parts
        began = parts.clock.now()
        parts.catalogue.used(account)
        answer = parts.vendor.answer(account.id, began)
        await asyncio.sleep(answer.seconds)
        if answer.refusal is None:
            parts.health.succeeded(account, MODEL, began)
            return True
        self._blame(account, answer)
        return False

    def _blame(self, account: Account, answer: Answer) -> None:
        health = self.parts.health
        match answer.refusal:
            case "window":
                harm = Harm("rest", "window_5h", until=answer.resets)
                health.harmed(account, MODEL, harm)
            case "burst":
                health.harmed(account, MODEL, Harm("rest", "burst"))
            case "unreachable":
                health.provider_failed(account, MODEL, "connect_timeout")
            case _:
                health.provider_failed(account, MODEL, "upstream_error")

    def _note_refusal(self, call: Call) -> None:
        """Count a refusal, and whether an account would have taken the call after all."""
        load = self.parts.live.load
        ready = any(
            account.id not in call.tried
            and self.is_healthy(account)
            and not 0 < self.limit(account) <= load(f"account:{account.id}")[0]
            for account in self.parts.vendor.accounts
        )
        gave_up = len(call.tried) > MOST_SWITCHES
        self.parts.measures.refused(ready=ready and not gave_up, gave_up=gave_up)
