"""A day of a gateway in virtual time, by its real parts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import process_time, thread_time
from typing import Any

from sub2api.gateway.places import Places
from sub2api.gateway.scheduling import Ranking, Scheduler
from sub2api.live.memory import MemoryLive
from sub2api.model.accounts import Account, Proxy
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.settings import load
from sub2api.settings.keys import Stall
from sub2api.upstream.catalogue import Catalogue
from sub2api.upstream.health import Health
from sub2api.upstream.health_records import Changes
from tests.fakes.fleet import Fleet, snapshot_of
from tests.sim.admission import MODEL, Gateway, Parts
from tests.sim.measures import Finding, Measures, Sample, findings
from tests.sim.traffic import TURNS, Traffic, Users
from tests.sim.vendor import Vendor, script
from tests.sim.virtual import START, VirtualClock, VirtualLoop

BEHIND_PROXY = 20
"""Two of so many accounts leave through one proxy, which has a bad hour."""
PLANS = (0.8, 3.0)
"""An account's 5 h window holds so many times what accounts are asked for on average: two plans,
of which the smaller is used up in busy hours."""


@dataclass(frozen=True)
class Scale:
    """How much is simulated.

    `sessions` are those of a user in the whole time; `bound_wait` is how many seconds a bound
    session's call waits for its account.
    """

    accounts: int = 1_000
    users: int = 10_000
    hours: float = 24.0
    sessions: float = 5.0
    concurrency: int = 2
    bound_wait: float = 120.0
    seed: int = 1


class NoRecords:
    """Nothing survives a simulation."""

    async def cooldowns(self) -> Sequence[Cooldown]:
        return ()

    async def windows(self) -> Mapping[int, tuple[UsageWindow, ...]]:
        return {}

    async def save(self, changes: Changes) -> None:
        pass


@dataclass
class Result:
    """What came out. `seconds` are of CPU time: the machine may have other things to do."""

    scale: Scale
    measures: Measures
    found: list[Finding]
    seconds: float


def simulate(scale: Scale, scheduler: type[Scheduler] = Scheduler) -> Result:
    """Run a simulation to its end."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_simulate(scale, loop, scheduler))
    finally:
        loop.close()


async def _simulate(scale: Scale, loop: VirtualLoop, kind: type[Scheduler]) -> Result:
    chance = random.Random(scale.seed)
    parts = await _parts(scale, VirtualClock(loop, scale.seed), chance, kind)
    gateway = Gateway(parts)
    span = scale.hours * 3600.0
    bursts = tuple(span * chance.uniform(0.1, 0.9) for _ in range(max(1, round(scale.hours / 4))))
    traffic = Traffic(scale.users, scale.hours, scale.sessions, bursts)
    users = Users(traffic, parts.clock, chance, gateway.turn)
    began = process_time()
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(parts.health.run()), group.create_task(_watch(parts))]
        await users.run()
        for task in beside:
            task.cancel()
    took = process_time() - began
    vendor = parts.vendor
    touched = frozenset[int]().union(*(each.accounts for each in vendor.troubles))
    equals = [
        [each.id for each in vendor.accounts if each.id not in touched and _plan(each) == plan]
        for plan in PLANS
    ]
    found = findings(parts.measures, equals, scale.accounts, vendor.refusals, took)
    return Result(scale, parts.measures, found, took)


async def _parts(
    scale: Scale, clock: VirtualClock, chance: random.Random, kind: type[Scheduler]
) -> Parts:
    proxy = Proxy(id=1, name="proxy", protocol="http", host="proxy.invalid", port=3128)
    accounts = [
        Account(
            id=number,
            name=f"account-{number}",
            platform="anthropic",
            concurrency=scale.concurrency,
            proxy=proxy if number % BEHIND_PROXY < 2 else None,
        )
        for number in range(1, scale.accounts + 1)
    ]
    catalogue = Catalogue(None, None, clock)  # type: ignore[arg-type]  # nothing is read from a store
    catalogue.snapshot = snapshot_of(accounts)
    live = MemoryLive(clock)
    health = Health(clock, NoRecords(), live, Stall())
    await health.load(accounts)
    places = Places(NoBudgets(), health, live, clock)  # type: ignore[arg-type]  # nobody has any
    turns = scale.users * scale.sessions * TURNS / scale.accounts
    average = turns * min(1.0, 5 / scale.hours)
    capacities = {each.id: max(5, round(average * _plan(each))) for each in accounts}
    troubles = script(accounts, START, scale.hours, chance)
    vendor = Vendor(accounts, capacities, troubles, random.Random(scale.seed + 1))
    caller = Fleet.key_of(())
    measures = Measures()
    scheduler = timed(kind, measures)(catalogue, live, health, clock, places.admits)
    settings = load(
        environ={
            "RUN_MODE": "simple",
            "GATEWAY_SCHEDULING_STICKY_SESSION_WAIT_TIMEOUT": str(scale.bound_wait),
            "DATA_DIR": "/nonexistent",
        }
    )
    return Parts(
        settings, clock, live, health, scheduler, places, catalogue, vendor, caller, measures
    )


class NoBudgets:
    """Nobody's spending is limited."""

    def of(self, owner: object) -> tuple[()]:
        return ()


def timed(kind: type[Scheduler], measures: Measures) -> type[Scheduler]:
    """Return a scheduler with a stopwatch."""

    class Timed(kind):  # type: ignore[misc,valid-type]
        def rank(self, *asked: Any, **also: Any) -> Ranking:
            began = thread_time()
            ranking = super().rank(*asked, **also)
            measures.decided(thread_time() - began)
            return ranking

    return Timed


def _plan(account: Account) -> float:
    return PLANS[account.id % len(PLANS)]


async def _watch(parts: Parts) -> None:
    """Look around once a minute."""
    accounts, health, clock = parts.vendor.accounts, parts.health, parts.clock
    with suppress(asyncio.CancelledError):
        while True:
            loads = [parts.live.load(f"account:{each.id}") for each in accounts]
            now = clock.now()
            parts.measures.samples.append(
                Sample(
                    clock.monotonic(),
                    sum(health.rest_of(each, MODEL, now) is not None for each in accounts),
                    sum(active == 0 for active, _ in loads),
                    sum(active for active, _ in loads),
                    sum(waiting for _, waiting in loads),
                )
            )
            await asyncio.sleep(60)
