"""Who calls when: users with sessions, a daily curve, and bursts in which many begin at once."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sub2api.clock import Clock

TURNS = 10.0
"""Turns of a session, on average (geometric)."""
THINK_SECONDS = 45.0
"""Between two turns, on average (exponential)."""
HURRY_SECONDS = 60.0
"""In a burst, those who join it begin within so much time."""


@dataclass(frozen=True)
class Traffic:
    """How much is asked. In `bursts` (seconds) a share of the users begins a session at once."""

    users: int
    hours: float
    sessions: float
    bursts: tuple[float, ...]
    joining: float = 0.1


Turn = Callable[[int, str, int], Awaitable[None]]
"""Called for (user, session, number of the turn)."""


def curve(second: float) -> float:
    """Return how busy a moment of the day is, from 0.15 at four at night to 1 at four o'clock."""
    day = math.cos(2 * math.pi * (second / 3600.0 - 16.0) / 24.0)
    return 0.575 + 0.425 * day


class Users:
    """All users of a simulation. `turn` makes one call; a session's turns follow each other."""

    def __init__(self, traffic: Traffic, clock: Clock, chance: random.Random, turn: Turn) -> None:
        self._traffic = traffic
        self._clock = clock
        self._chance = chance
        self._turn = turn

    async def run(self) -> None:
        """Live through the day."""
        async with asyncio.TaskGroup() as group:
            for user in range(1, self._traffic.users + 1):
                group.create_task(self._day(user, self._starts()))

    def _starts(self) -> list[float]:
        """Return when a user begins sessions: by the curve, and in some of the bursts."""
        traffic, chance = self._traffic, self._chance
        span = traffic.hours * 3600.0
        mean = sum(curve(span * each / 96) for each in range(96)) / 96
        starts = []
        at = chance.expovariate(traffic.sessions / (mean * span))
        while at < span:
            if chance.random() < curve(at):
                starts.append(at)
            at += chance.expovariate(traffic.sessions / (mean * span))
        starts += [
            burst + chance.uniform(0, HURRY_SECONDS)
            for burst in traffic.bursts
            if chance.random() < traffic.joining
        ]
        return sorted(starts)

    async def _day(self, user: int, starts: list[float]) -> None:
        for number, start in enumerate(starts):
            await asyncio.sleep(max(0.0, start - self._clock.monotonic()))
            await self._session(user, f"{user}-{number}")

    async def _session(self, user: int, name: str) -> None:
        number = 0
        while True:
            await self._turn(user, name, number)
            number += 1
            if self._chance.random() < 1 / TURNS:
                return
            await asyncio.sleep(self._chance.expovariate(1 / THINK_SECONDS))
