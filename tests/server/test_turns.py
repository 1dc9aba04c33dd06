"""Connections that send much take turns."""

from __future__ import annotations

import asyncio

from sub2api.server.turns import Turns


async def test_one_connection_a_turn_reads_on() -> None:
    turns, order = Turns(), []

    def resume(name: str) -> None:
        order.append(name)
        if len(order) < 6:
            turns.queue(lambda: resume(name))

    turns.queue(lambda: resume("a"))
    turns.queue(lambda: resume("b"))
    seen = []
    while len(order) < 7:
        seen.append(len(order))
        await asyncio.sleep(0)
    assert seen == list(range(7)), "never two in one turn"
    assert "".join(order[:6]) == "ababab"
    await asyncio.sleep(0)
    assert len(order) == 7
