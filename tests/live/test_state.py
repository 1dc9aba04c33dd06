"""Whatever callers do, no limit is passed, and in the end every count is zero. On both kinds."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
import redis.asyncio as aioredis

from sub2api.live.interfaces import (
    Bound,
    Entry,
    Granted,
    Live,
    Place,
    Refused,
    Sessions,
    Slot,
    Window,
)
from sub2api.live.redis import RedisLive
from tests.fakes.redis_server import RedisServer
from tests.live.kit import count, sticky

LIMITS = {"user:1": 6, "user:2": 4, "key:1": 3, "account:1": 2, "account:2": 1, "group:1": 4}


class Crowd:
    """Callers who enter, swap, leave, cancel and repeat themselves at random."""

    def __init__(self, lives: list[Live], seed: int) -> None:
        self._lives = lives
        self._chance = random.Random(seed)
        self._held: dict[str, int] = dict.fromkeys(LIMITS, 0)
        self._sure: dict[str, list[Slot]] = {}
        self.granted = 0

    def _place(self, number: int) -> Place:
        slots = [Slot(f"account:{number}", LIMITS.get(f"account:{number}", 0))]
        if number != 2:
            slots.append(Slot("group:1", LIMITS["group:1"]))
        windows = (Window(f"tokens:{number}", 10_000, 10, tokens=True),)
        return Place(number, tuple(slots), windows, sessions=Sessions(f"sessions:{number}", 50))

    def _places(self) -> tuple[Place, ...]:
        return tuple(
            self._place(n) for n in self._chance.sample([1, 2], self._chance.randint(1, 2))
        )

    def _take(self, call_id: str, slots: tuple[Slot, ...]) -> None:
        """Count what a call surely holds; nobody else may have passed the limit with it."""
        self._sure.setdefault(call_id, []).extend(slots)
        for slot in slots:
            self._held[slot.name] += 1
            assert self._held[slot.name] <= LIMITS[slot.name], f"{slot.name} is overfull"

    def _drop(
        self, call_id: str, names: tuple[str, ...] = ("user", "key", "account", "group")
    ) -> None:
        kept = []
        for slot in self._sure.pop(call_id, []):
            if slot.name.startswith(names):
                self._held[slot.name] -= 1
            else:
                kept.append(slot)
        if kept:
            self._sure[call_id] = kept

    async def caller(self, call_id: str) -> None:
        chance = self._chance
        live = chance.choice(self._lives)
        user = chance.randint(1, 2)
        slots = (Slot(f"user:{user}", LIMITS[f"user:{user}"]), Slot("key:1", LIMITS["key:1"]))
        entry = Entry(
            call_id, user, 1, slots, candidates=self._places(), session=str(user),
            wait=chance.choice([0.0, 0.02, 5.0]), max_waiting=20,
            sticky=chance.choice([None, sticky(expected=chance.randint(0, 2), wait=0.05)]),
        )  # fmt: skip
        try:
            async with asyncio.timeout(chance.choice([0.0, 0.005, 0.05, 9.0, 9.0, 9.0])):
                decision = await live.enter(entry)
                if isinstance(decision, Bound):
                    bound = sticky(expected=decision.account_id, wait=0.05)
                    entry = msgspec.structs.replace(entry, sticky=bound)
                    decision = await live.enter(entry)
        except TimeoutError:
            return
        if isinstance(decision, Granted):
            self.granted += 1
            self._take(call_id, (*slots, *entry.candidates[decision.candidate].slots))
            await self._stay(live, call_id)

    async def _stay(self, live: Live, call_id: str) -> None:
        chance = self._chance
        await asyncio.sleep(chance.choice([0, 0, 0.003]))
        if chance.random() < 0.3:
            self._drop(call_id, ("account", "group"))
            places = self._places()
            decision = await live.swap(call_id, places)
            assert isinstance(decision, Granted | Refused)
            if isinstance(decision, Granted):
                self._take(call_id, places[decision.candidate].slots)
        if chance.random() < 0.3:
            self._drop(call_id, ("user", "key"))
            await live.leave(call_id, only_caller=True)
        self._drop(call_id)
        for _ in range(chance.randint(1, 2)):
            await live.leave(call_id, tokens=chance.randint(0, 30))


async def run(crowd: Crowd) -> None:
    for turn in range(4):
        await asyncio.gather(*(crowd.caller(f"{turn}.{number}") for number in range(40)))
    assert crowd.granted > 10


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_limit_is_passed_and_nothing_is_left(live: Live, seed: int) -> None:
    await run(Crowd([live], seed))
    for name in LIMITS:
        await count(live, name, 0)


@pytest.mark.parametrize("seed", [4, 5, 6])
async def test_two_processes_together_pass_no_limit_and_leave_nothing_in_redis(
    shared: RedisLive, other: RedisLive, redis_server: RedisServer, prefix: str, seed: int
) -> None:
    await run(Crowd([shared, other], seed))
    async with (
        asyncio.timeout(10),
        aioredis.Redis.from_url(redis_server.url, decode_responses=True) as client,
    ):
        # Sessions, windows and bindings end by themselves; the rest must be gone.
        own = "{" + prefix + "}:"
        kept = ("w:", "y:", "s:", "served", "procs", "tickets", "arrivals")
        left = {"some": ""}
        while left:
            left = {}
            async for key in client.scan_iter(own + "*"):
                name = key.removeprefix(own)
                if name.startswith("h:"):
                    if await client.hkeys(key) != [""]:
                        left[name] = key
                elif not name.startswith(kept):
                    left[name] = key
            await asyncio.sleep(0.05)
