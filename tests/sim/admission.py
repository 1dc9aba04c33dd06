"""One call's way in and through: the real admission, a scripted attempt, the real health."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sub2api.clock import Clock
from sub2api.errors import ClientError, Harm
from sub2api.gateway import admission
from sub2api.gateway.entries import Asked
from sub2api.gateway.places import Places
from sub2api.gateway.scheduling import Scheduler
from sub2api.live.interfaces import Live
from sub2api.model.accounts import Account
from sub2api.model.callers import Caller
from sub2api.settings import Settings
from sub2api.upstream.catalogue import Candidate, Catalogue
from sub2api.upstream.health import Health
from tests.sim.measures import Measures
from tests.sim.vendor import Answer, Vendor

PLATFORMS = ("anthropic",)
MODEL = "claude-sonnet-4-5"
MOST_SWITCHES = 10


@dataclass(frozen=True)
class Parts:
    """The real parts, and the vendor."""

    settings: Settings
    clock: Clock
    live: Live
    health: Health
    scheduler: Scheduler
    places: Places
    catalogue: Catalogue
    vendor: Vendor
    caller: Caller
    measures: Measures


@dataclass
class Call:
    """One turn of a session. `tried` counts how often accounts were asked, in vain."""

    id: str
    asked: Asked
    tried: Counter[int] = field(default_factory=Counter)


@dataclass
class Gateway:
    """Serves turns."""

    parts: Parts

    @property
    def _real(self) -> Any:
        return self.parts  # as far as admission looks at them, these are a gateway's parts

    async def turn(self, user: int, session: str, number: int) -> None:
        """Serve one turn of a session."""
        call_id = f"{session}/{number}"
        caller = Caller(
            dataclasses.replace(self.parts.caller.key, id=user),
            dataclasses.replace(self.parts.caller.user, id=user),
        )
        call = Call(call_id, Asked(call_id, caller, PLATFORMS, MODEL, 0, session))
        self.parts.measures.calls += 1
        before = self._home(session)
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

    def _home(self, session: str) -> Account | None:
        """Return the account that a session is bound to, if it is healthy."""
        bound = self.parts.live.bound(session)
        account = self.parts.catalogue.snapshot.accounts.get(bound)
        return account if account is not None and self.is_healthy(account) else None

    async def _served(self, call: Call) -> Account | None:
        candidate = await self._enter(call)
        while candidate is not None:
            account = candidate.account
            if await self._attempt(account):
                self.parts.measures.served(account.id)
                return account
            call.tried[account.id] += 1
            candidate = await self._another(call)
        self._note_refusal(call)
        return None

    async def _enter(self, call: Call) -> Candidate | None:
        answer: Any = SimpleNamespace(limits=())
        try:
            admitted = await admission.enter(self._real, call.asked, answer)
        except ClientError:
            return None
        self.parts.measures.waited(admitted.granted.waited)
        return admitted.candidate

    async def _another(self, call: Call) -> Candidate | None:
        """Move on to the next account, without waiting."""
        if len(call.tried) > MOST_SWITCHES:
            return None
        return await admission.another(self._real, call.asked, call.tried)

    def is_healthy(self, account: Account) -> bool:
        """Whether an account may be asked, found without the scheduler."""
        health, now = self.parts.health, self.parts.clock.now()
        rest = health.rest_of(account, MODEL, now)
        return rest is None and account.is_usable(now) and not health.is_slow(account, MODEL)

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
        ready = any(
            account.id not in call.tried and self.is_healthy(account) and self._has_room(account)
            for account in self.parts.vendor.accounts
        )
        gave_up = len(call.tried) > MOST_SWITCHES
        self.parts.measures.refused(ready=ready and not gave_up, gave_up=gave_up)

    def _has_room(self, account: Account) -> bool:
        """Whether an account takes a call now: after a rest, one at a time."""
        load, health = self.parts.live.load, self.parts.health
        probes = health.half_open(account, MODEL, self.parts.clock.now())
        if probes and load(f"probe:{account.id}")[0]:
            return False
        limit = health.concurrency_of(account)
        return not 0 < limit <= load(f"account:{account.id}")[0]
