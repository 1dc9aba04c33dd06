"""Token counting: forwarded where the account can count, else estimated here and marked as such."""

from __future__ import annotations

import msgspec

from sub2api.errors import Next, UpstreamError
from sub2api.gateway import attempts
from sub2api.gateway.parts import Parts
from sub2api.gateway.walk import Walk
from sub2api.model.routes import Wire
from sub2api.upstream.catalogue import Candidate

_CANNOT_COUNT = frozenset({404, 405, 501})
"""What compatible hosts answer that have no counting endpoint."""


async def count(parts: Parts, walk: Walk, ranking: list[Candidate]) -> None:
    """Answer a counting call from the first account that can. Never billed, no place taken."""
    for candidate in ranking:
        try:
            await attempts.attempt(parts, walk, candidate)
        except UpstreamError as error:
            if error.status in _CANNOT_COUNT:
                await _estimate(walk)
            elif error.then is Next.GIVE_UP or candidate is ranking[-1]:
                await attempts.refuse(walk, [error])
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
