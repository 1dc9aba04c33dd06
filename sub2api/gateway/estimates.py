"""Token counting: forwarded where the account can count, else estimated here and marked as such."""

from __future__ import annotations

import msgspec

from sub2api.errors import Next, UpstreamError
from sub2api.gateway import attempts, refusals
from sub2api.gateway.parts import Parts
from sub2api.gateway.walk import Walk
from sub2api.model.routes import Wire

_CANNOT_COUNT = frozenset({404, 405, 501})
"""What compatible hosts answer that have no counting endpoint."""


async def count(parts: Parts, walk: Walk) -> None:
    """Answer a counting call from the first account that can. Never billed, no place taken."""
    asked = walk.asked
    ranking = parts.scheduler.rank(asked.caller, asked.platforms, asked.model)
    candidates = ranking.candidates
    if not candidates:
        raise refusals.nobody(parts, asked)
    for candidate in candidates:
        try:
            await attempts.attempt(parts, walk, candidate)
        except UpstreamError as error:
            if error.status in _CANNOT_COUNT:
                await _estimate(walk)
            elif error.then is Next.GIVE_UP or candidate is candidates[-1]:
                await attempts.refuse(parts, walk, [error])
            else:
                continue
        return


async def _estimate(walk: Walk) -> None:
    tokens = max(1, len(walk.body) // 4)
    answer: dict[str, object]
    match walk.dialect.wire:
        case Wire.GEMINI:
            answer = {"totalTokens": tokens}
        case Wire.RESPONSES:
            answer = {"object": "response.input_tokens", "input_tokens": tokens}
        case _:
            answer = {"input_tokens": tokens}
    headers = [(b"content-type", b"application/json"), (b"x-sub2api-estimated", b"true")]
    walk.answer.whole(200, headers, msgspec.json.encode(answer))
