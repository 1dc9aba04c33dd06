"""`GET /api/v1/admin/explain`: which account a call would go to, and why not the others."""

from __future__ import annotations

from typing import Any

import msgspec
from quart import Blueprint, Response, request

from sub2api.gateway.parts import Parts
from sub2api.gateway.sessions import names_of
from sub2api.model.callers import Caller
from sub2api.platforms import PLATFORMS
from sub2api.store import api_keys, users
from sub2api.web.envelope import failure, success

_LONGEST = 512


def explain_routes(parts: Parts) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("explain", __name__)

    @routes.get("/api/v1/admin/explain")
    async def explain() -> Response:
        """Query: `key` (name or id), `model`, `session` (as the client sends it), `platform`."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not parts.operator_tokens.is_good(token):
            return failure(401, "UNAUTHORIZED", "This needs an operator's token.")
        asked = {name: request.args.get(name, "")[:_LONGEST] for name in ("key", "model")}
        missing = [name for name, value in asked.items() if not value]
        if missing:
            return failure(400, "INVALID_ARGUMENT", f"{missing[0]} is required.")
        session, platform = request.args.get("session", ""), request.args.get("platform", "")
        caller = await _caller(parts, asked["key"])
        if caller is None:
            message = f"There is no key {asked['key']!r}: sub2api key list shows those there are."
            return failure(404, "KEY_NOT_FOUND", message)
        return success(_explained(parts, caller, asked["model"], session[:_LONGEST], platform))

    return routes


async def _caller(parts: Parts, key: str) -> Caller | None:
    async with parts.database.reading() as connection:
        found = await api_keys.find(connection, key)
        owner = None if found is None else await users.find(connection, found.user_id)
    return None if found is None or owner is None else Caller(found, owner)


def _explained(
    parts: Parts, caller: Caller, model: str, session: str, platform: str
) -> dict[str, Any]:
    """Return the accounts a call would be tried on, in order, and those it would not.

    Each platform has its list: a call goes to those only that speak its endpoint's protocol.
    """
    names = names_of(session, caller.key.id) if session else ()
    bound = next((found for name in names if (found := parts.live.bound(name))), 0)
    accounts = [
        {"platform": each.name, **msgspec.structs.asdict(standing)}
        for each in PLATFORMS
        if platform in {"", each.name}
        for standing in parts.scheduler.explain(caller, (each.name,), model, bound=bound)
    ]
    return {
        "key": caller.key.name,
        "model": model,
        "bound": bound or None,
        "accounts": accounts,
    }
