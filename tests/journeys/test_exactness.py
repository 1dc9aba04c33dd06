"""Money: a thousand mixed calls, and our rows equal the vendor's own books."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from sub2api.demo.script import Play, Refuse, html
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import CALLS

TENTHS = 10
CALLS_IN_ALL = 1000


def tokens_of(wire: str, usage: dict[str, Any]) -> tuple[int, int]:
    """Return (all input, all output) of a vendor's usage object, by independent arithmetic."""
    if wire == "messages":
        cached = usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
        return usage["input_tokens"] + cached, usage["output_tokens"]
    if wire == "chat":
        return usage["prompt_tokens"], usage["completion_tokens"]
    if wire == "responses":
        return usage["input_tokens"], usage["output_tokens"]
    return (
        usage["promptTokenCount"],
        usage["candidatesTokenCount"] + usage["thoughtsTokenCount"],
    )


async def one_call(world: World, client: httpx.AsyncClient, number: int) -> None:
    """Make one call; two in five hang up at some tenth of the stream."""
    chance = random.Random(number)
    wire = list(CALLS)[number % 4]
    _, path, body = CALLS[wire]
    streams = chance.random() < 0.7
    if not streams:
        body = {key: value for key, value in body.items() if not key.startswith("stream")}
        path = path.replace("streamGenerateContent?alt=sse", "generateContent")
    leaves_at = chance.randrange(TENTHS) if streams and chance.random() < 0.55 else None
    seen = 0
    try:
        async with client.stream("POST", path, json=body) as reply:
            async for piece in reply.aiter_raw():
                seen += len(piece)
                # A stream of these is about 3,000 bytes: hang up at a tenth of it.
                if leaves_at is not None and seen >= 300 * leaves_at:
                    return
    except httpx.HTTPError:
        pass  # an upstream's failure became a cut or an error: the books decide


async def test_a_thousand_mixed_calls_reconcile_with_the_vendors_books(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream, GATEWAY_DRAIN_SECONDS="30") as world:
        for platform in ("anthropic", "openai", "gemini"):
            await world.add_account(platform, f"{platform}-2")
        chance = random.Random(7)
        for name in ("anthropic-1", "openai-1", "gemini-1"):
            for _ in range(CALLS_IN_ALL // 6):
                draw = chance.random()
                step: Any = Play(delay=0.001)
                if draw < 0.06:
                    step = Refuse(chance.choice([429, 500, 529, 503, 401]))
                elif draw < 0.08:
                    step = html()
                elif draw < 0.12:
                    step = Play(cut_after=chance.randrange(12), cut_how="rst")
                upstream.script(name, step)
        limits = httpx.Limits(max_connections=24)
        headers = {"authorization": f"Bearer {world.key}"}
        async with httpx.AsyncClient(
            base_url=world.base_url, headers=headers, limits=limits, timeout=60
        ) as client:
            turn = asyncio.Semaphore(24)

            async def guarded(number: int) -> None:
                async with turn:
                    await one_call(world, client, number)

            await asyncio.gather(*(guarded(number) for number in range(CALLS_IN_ALL)))
        rows = await world.rows(CALLS_IN_ALL, seconds=60)
    assert len({row.call_id for row in rows}) == CALLS_IN_ALL
    ours: Counter[tuple[str, str, int, int]] = Counter(
        (
            row.account_name,
            row.wire,
            row.input_tokens + row.cache_read_tokens + row.cache_creation_tokens
            + row.cache_creation_long_tokens,
            row.output_tokens,
        )
        for row in rows
        if row.input_tokens or row.output_tokens
    )  # fmt: skip
    theirs: Counter[tuple[str, str, int, int]] = Counter(
        (entry.credential, entry.wire, *tokens_of(entry.wire, entry.usage))
        for entry in upstream.entries
        if entry.usage and (entry.complete or entry.stream)
    )
    assert ours - theirs == Counter()
    # A stream cut by the vendor before our answer began failed over: its start is nobody's bill.
    assert sum((theirs - ours).values()) <= sum(not entry.complete for entry in upstream.entries)
    complete = Counter(
        (entry.credential, entry.wire, *tokens_of(entry.wire, entry.usage))
        for entry in upstream.entries
        if entry.complete
    )
    assert complete - ours == Counter()
    assert all(row.cost is not None for row in rows)
    assert any(row.settled_by == "drained" for row in rows)
    assert any(row.attempts > 1 for row in rows)
