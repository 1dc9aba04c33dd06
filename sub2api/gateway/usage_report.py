"""`GET /v1/usage`: what a key has used, for its owner's scripts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from sub2api.gateway.answer import Answer
from sub2api.gateway.parts import Parts
from sub2api.model.callers import Caller
from sub2api.store import usage as stored_usage
from sub2api.store.usage import UsageSummary

_DAY = 86400
_RECENT = 300
_NANO = Decimal(10**9)


async def answer(parts: Parts, caller: Caller, answer: Answer) -> None:
    """Send the key's totals: since midnight UTC, and since it exists. Money is USD."""
    now = parts.clock.now()
    async with parts.database.reading() as connection:
        today = await stored_usage.key_totals(connection, caller.key.id, now - now % _DAY)
        total = await stored_usage.key_totals(connection, caller.key.id, 0.0)
        recent = await stored_usage.key_totals(connection, caller.key.id, now - _RECENT)
    report: dict[str, Any] = {
        "isValid": True,
        "planName": "simple" if not parts.settings.charge_users else "balance",
        "unit": "USD",
        # -1 says "no limit", as it does in the reference product.
        "remaining": -1 if not parts.settings.charge_users else _usd(caller.user.balance),
        "usage": {
            "today": _totals(today),
            "total": _totals(total),
            "rpm": recent.requests * 60 // _RECENT,
            "tpm": _tokens(recent) * 60 // _RECENT,
        },
    }
    if parts.settings.charge_users:
        report["balance"] = report["remaining"]
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    answer.whole(200, headers, _encode(report))


def _totals(summary: UsageSummary) -> dict[str, Any]:
    return {
        "requests": summary.requests,
        "input_tokens": summary.input_tokens,
        "output_tokens": summary.output_tokens,
        "cache_creation_tokens": summary.cache_creation_tokens,
        "cache_read_tokens": summary.cache_read_tokens,
        "total_tokens": _tokens(summary),
        "cost": _usd(summary.cost),
    }


def _tokens(summary: UsageSummary) -> int:
    return (
        summary.input_tokens
        + summary.output_tokens
        + summary.cache_creation_tokens
        + summary.cache_read_tokens
    )


def _usd(nanodollars: int | None) -> Decimal | None:
    return None if nanodollars is None else Decimal(nanodollars) / _NANO


_encode = msgspec.json.Encoder(decimal_format="number").encode
