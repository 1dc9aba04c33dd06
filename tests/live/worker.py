"""A process of its own that shares live state with others: `worker.py URL PREFIX WHAT NUMBER`."""

from __future__ import annotations

import asyncio
import json
import sys

import redis.asyncio as aioredis

from sub2api.clock import Clock
from sub2api.live.redis import RedisLive
from tests.live.kit import entry, granted, place

LIMIT = 10
ROUNDS = 3


async def crowd(live: RedisLive, url: str, prefix: str, first: int) -> None:
    """A hundred callers, three calls each: print the most at once, and how long each waited."""
    client = aioredis.Redis.from_url(url)
    most, waits = 0, []

    async def caller(number: int) -> None:
        nonlocal most
        for turn in range(ROUNDS):
            asked = entry(f"c{number}.{turn}", place(1, LIMIT), user=number, wait=60.0)
            waited = (await granted(live, asked)).waited
            if turn:
                waits.append(waited)
            most = max(most, await client.incr(f"{prefix}:at once"))
            await asyncio.sleep(0.02)
            await client.decr(f"{prefix}:at once")
            await live.leave(asked.call_id)

    await asyncio.gather(*(caller(first + number) for number in range(100)))
    await client.aclose()
    print(json.dumps({"most": most, "waits": waits}), flush=True)


async def hold(live: RedisLive, first: int) -> None:
    """Hold what is asked for until killed, and wait for more."""
    for number in range(LIMIT):
        await granted(live, entry(f"h{first}.{number}", place(1, LIMIT)))
    print("held", flush=True)
    await live.enter(entry(f"h{first}.w", place(1, LIMIT), wait=600.0))


async def main(url: str, prefix: str, what: str, number: str) -> None:
    live = RedisLive(url, Clock(), prefix=prefix)
    await live.start()
    if what == "crowd":
        await crowd(live, url, prefix, int(number))
    else:
        await hold(live, int(number))
    await live.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
