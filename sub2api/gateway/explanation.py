"""What `explain` tells: the accounts a call would be tried on, as the scheduler sees them."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.gateway.parts import Parts
from sub2api.gateway.sessions import name_of
from sub2api.model.accounts import PlatformName
from sub2api.platforms import PLATFORMS
from sub2api.store import api_keys, users


async def explained(
    parts: Parts, key: str, model: str, *, session: str = "", platform: str = ""
) -> dict[str, Any] | None:
    """Return the accounts a key's call for a model would go to; None if there is no such key.

    `key` is a name or an id, `session` the id that the client sends. Accounts are in the order
    they would be tried, excluded ones last, each with why and until when (seconds since 1970).
    """
    async with parts.database.reading() as connection:
        found = await api_keys.find(connection, key)
        caller = None if found is None else await users.caller_of(connection, found)
    if caller is None:
        return None
    platforms: tuple[PlatformName, ...] = tuple(
        each.name for each in PLATFORMS if platform in {"", each.name}
    )
    bound = parts.live.bound(name_of(session, caller.key.id)) if session else 0
    standings = parts.scheduler.explain(caller, platforms, model, bound=bound)
    return {
        "key": caller.key.name,
        "model": model,
        "bound": bound or None,
        "accounts": [msgspec.structs.asdict(each) for each in standings],
    }
