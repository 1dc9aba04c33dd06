"""`GET /api/v1/admin/explain`: which account a call would go to, and why not the others."""

from __future__ import annotations

from quart import Blueprint, Response, request

from sub2api.gateway.explanation import explained
from sub2api.gateway.parts import Parts
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
        found = await explained(
            parts, asked["key"], asked["model"], session=session[:_LONGEST], platform=platform
        )
        if found is None:
            message = f"There is no key {asked['key']!r}: sub2api key list shows those there are."
            return failure(404, "KEY_NOT_FOUND", message)
        return success(found)

    return routes
