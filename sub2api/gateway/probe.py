"""Try an account with the smallest real request there is: one token of one model."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sub2api.clock import Clock
from sub2api.errors import TransportError
from sub2api.model.accounts import Account
from sub2api.platforms import BY_NAME
from sub2api.settings import Settings
from sub2api.transport.messages import Deadlines, Request
from sub2api.transport.policy import guard_for
from sub2api.transport.pool import Pool

_DEADLINES = Deadlines(connect=10.0, first_byte=60.0, idle=30.0)
_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of it. `status` is None when nothing answered; `message` says what went wrong."""

    ok: bool
    status: int | None
    latency_ms: int
    model: str
    message: str


async def probe(account: Account, settings: Settings, model: str | None = None) -> ProbeResult:
    """Send one generation through the account, its proxy and its base URL."""
    clock = Clock()
    began = clock.monotonic()
    pool = Pool(clock, guard_for(settings))
    name = model or ""
    try:
        name = model or await _first_model(pool, account)
        request = BY_NAME[account.platform].probe(account, name)
        status, body = await _exchange(pool, account, request)
    except TransportError as error:
        return ProbeResult(False, None, _since(clock, began), name, f"{error.cause}: {error}")
    finally:
        await pool.close()
    ok = 200 <= status < 300
    return ProbeResult(ok, status, _since(clock, began), name, "" if ok else _message(body))


async def _first_model(pool: Pool, account: Account) -> str:
    """Return a model that the account has: from its mapping, its upstream's list, or the usual."""
    targets = [name for name in account.model_mapping.values() if not name.endswith("*")]
    if targets:
        return targets[0]
    platform = BY_NAME[account.platform]
    status, body = await _exchange(pool, account, platform.models_request(account))
    listed = platform.model_ids(body) if status == 200 else []
    usual = [name for name in platform.default_models if name in listed]
    return (usual or listed or list(platform.default_models))[0]


async def _exchange(pool: Pool, account: Account, request: Request) -> tuple[int, bytes]:
    response = await pool.send(
        request,
        lane="probe",
        limit=1,
        proxy=account.proxy,
        deadlines=_DEADLINES,
    )
    try:
        return response.status, await response.read(_LIMIT)
    finally:
        response.close()


def _message(body: bytes) -> str:
    """Return the vendor's own words, shortened; they never contain the credential."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:200].decode("utf-8", "replace")
    error = decoded.get("error") if isinstance(decoded, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or decoded)[:300]


def _since(clock: Clock, began: float) -> int:
    return round((clock.monotonic() - began) * 1000)
