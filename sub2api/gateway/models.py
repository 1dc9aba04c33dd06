"""Model lists, in the shape of whoever asks: the models that this key's accounts can serve."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from sub2api.errors import NOT_FOUND, ClientError, TransportError
from sub2api.gateway.answer import Answer
from sub2api.gateway.call import Call
from sub2api.gateway.parts import Parts
from sub2api.model.accounts import Account
from sub2api.model.callers import Caller
from sub2api.model.routes import Wire
from sub2api.platforms import BY_NAME, names_serving
from sub2api.transport.messages import Deadlines
from sub2api.upstream.model_mapping import mapped_model

_FRESH_SECONDS = 300.0
_FAILED_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0
"""Claude Code waits three seconds for a model list."""
_LIST_LIMIT = 4 << 20
_CREATED = 1704067200
"""Vendors' lists carry a date; a gateway's has none to tell, so it is a fixed one (2024-01-01)."""


@dataclass(frozen=True, slots=True)
class _Listing:
    ids: tuple[str, ...]
    until: float


class ModelLists:
    """Answers `GET models`. What an upstream lists is remembered for five minutes per account."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._listings: dict[tuple[int, str], _Listing] = {}

    async def answer(self, call: Call, caller: Caller, answer: Answer) -> None:
        """Send the list, or one model of it. Raises ClientError 404 for a model not on it."""
        ids = await self._ids(caller, call.match.wire)
        wanted = call.match.model.removeprefix("models/")
        if wanted:
            if wanted not in ids:
                raise ClientError(
                    f"The model {wanted[:128]!r} is not served by any account of this API key.",
                    status=404,
                    kind=NOT_FOUND,
                    retry_helps=False,
                )
            await _send(answer, _one(call.match.wire, wanted))
            return
        query = dict(parse_qsl(call.query.decode("latin-1"), max_num_fields=100))
        if call.match.wire is Wire.CHAT and "client_version" in query:
            await _send(answer, _codex(ids))
            return
        await _send(answer, _whole(call.match.wire, ids))

    async def _ids(self, caller: Caller, wire: Wire) -> list[str]:
        platforms = names_serving(wire)
        now = self._parts.clock.now()
        accounts = [
            candidate.account
            for candidate in self._parts.catalogue.accounts_for(caller, platforms)
            if candidate.account.is_usable(now)
        ]
        async with asyncio.TaskGroup() as group:
            lists = [group.create_task(self._of(account)) for account in accounts]
        return sorted({name for listing in lists for name in listing.result()})

    async def _of(self, account: Account) -> Iterable[str]:
        """Return an account's models: its mapping's names, and what of its upstream's list fits."""
        mapping = account.model_mapping
        named = [name for name in mapping if not name.endswith("*")]
        if mapping and len(named) == len(mapping):
            return named
        listed = await self._listed(account)
        return [*named, *(name for name in listed if mapped_model(mapping, name) is not None)]

    async def _listed(self, account: Account) -> tuple[str, ...]:
        """Return what the account's upstream lists, else the platform's usual models."""
        key = (account.id, account.base_url)
        now = self._parts.clock.monotonic()
        known = self._listings.get(key)
        if known is None or known.until < now:
            found = await self._ask(account)
            platform = BY_NAME[account.platform]
            fresh = _FRESH_SECONDS if found else _FAILED_SECONDS
            known = _Listing(tuple(found or platform.default_models), now + fresh)
            self._listings[key] = known
        return known.ids

    async def _ask(self, account: Account) -> list[str]:
        platform = BY_NAME[account.platform]
        settings = self._parts.settings.gateway
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                response = await self._parts.pool.send(
                    platform.models_request(account),
                    lane=str(account.id),
                    limit=settings.max_conns_per_account,
                    proxy=account.proxy,
                    deadlines=Deadlines(settings.connect_timeout, _PATIENCE_SECONDS, 2.0),
                )
                try:
                    if response.status != 200:
                        return []
                    return platform.model_ids(await response.read(_LIST_LIMIT))
                finally:
                    response.close()
        except (TimeoutError, TransportError):
            return []


async def _send(answer: Answer, listing: dict[str, Any]) -> None:
    body = msgspec.json.encode(listing)
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = [(b"content-type", b"application/json"), (b"etag", b'"%s"' % etag.encode())]
    answer.whole(200, headers, body)


def _one(wire: Wire, name: str) -> dict[str, Any]:
    match wire:
        case Wire.MESSAGES:
            return {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2024-01-01T00:00:00Z",
            }
        case Wire.GEMINI:
            actions = (
                ["embedContent", "batchEmbedContents"]
                if "embedding" in name
                else ["generateContent", "streamGenerateContent", "countTokens"]
            )
            return {
                "name": f"models/{name}",
                "baseModelId": name,
                "version": "001",
                "displayName": name,
                "supportedGenerationMethods": actions,
            }
        case _:
            return {"id": name, "object": "model", "created": _CREATED, "owned_by": "sub2api"}


def _whole(wire: Wire, ids: list[str]) -> dict[str, Any]:
    rows = [_one(wire, name) for name in ids]
    match wire:
        case Wire.MESSAGES:
            return {
                "data": rows,
                "has_more": False,
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
            }
        case Wire.GEMINI:
            return {"models": rows}
        case _:
            return {"object": "list", "data": rows}


def _codex(ids: list[str]) -> dict[str, Any]:
    """Return the list that Codex asks for with `?client_version=`."""
    efforts = [{"effort": effort, "description": effort} for effort in ("low", "medium", "high")]
    return {
        "models": [
            {
                "slug": name,
                "display_name": name,
                "description": None,
                "default_reasoning_level": "medium",
                "supported_reasoning_levels": efforts,
                "shell_type": "shell_command",
                "visibility": "list",
                "supported_in_api": True,
                "priority": place,
                "availability_nux": None,
                "upgrade": None,
                "base_instructions": "",
                "supports_reasoning_summaries": True,
                "support_verbosity": True,
                "default_verbosity": "low",
                "apply_patch_tool_type": "freeform",
                "truncation_policy": {"mode": "tokens", "limit": 10000},
                "supports_parallel_tool_calls": True,
                "context_window": None,
                "experimental_supported_tools": [],
            }
            for place, name in enumerate(ids)
        ]
    }
