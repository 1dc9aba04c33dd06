"""The rules of outgoing proxies."""

from __future__ import annotations

import dataclasses

from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.model.accounts import Proxy
from sub2api.store import proxies as stored
from sub2api.store.database import Connection, Database
from sub2api.store.sealing import Sealer
from sub2api.transport.proxies import parse_proxy
from sub2api.upstream.names import checked_name


class Proxies:
    """Proxies as an operator manages them. Every mistake is a MistakeError that says what to do."""

    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock

    async def add(self, name: str, url: str) -> Proxy:
        """Add a proxy under a name."""
        proxy = parse_proxy(url, checked_name(name, "a proxy"))
        async with self._database.transaction() as connection:
            proxy_id = await stored.insert(connection, self._sealer, proxy)
        return dataclasses.replace(proxy, id=proxy_id)

    async def everything(self) -> list[Proxy]:
        """Return all proxies by name."""
        async with self._database.reading() as connection:
            return await stored.everything(connection, self._sealer)

    async def remove(self, name_or_id: str) -> Proxy:
        """Remove a proxy that no account uses."""
        async with self._database.transaction() as connection:
            found = await stored.find(connection, self._sealer, name_or_id)
            if found is None:
                raise MistakeError(
                    f"there is no proxy {name_or_id!r}: `sub2api proxy list` shows those there are"
                )
            await stored.delete(connection, found.id, now=self._clock.now())
        return found


async def find_or_add(connection: Connection, sealer: Sealer, name_or_url: str) -> Proxy:
    """Return a proxy by its name or id, or by a URL, which is added under its host's name."""
    if "://" not in name_or_url:
        found = await stored.find(connection, sealer, name_or_url)
        if found is None:
            raise MistakeError(
                f"there is no proxy {name_or_url!r}: give its URL, or add it: sub2api proxy add"
            )
        return found
    wanted = parse_proxy(name_or_url)
    name = f"{wanted.host}:{wanted.port}"
    taken = set()
    for proxy in await stored.everything(connection, sealer):
        if dataclasses.replace(proxy, id=0, name=wanted.name, status="active") == wanted:
            return proxy
        taken.add(proxy.name)
    number = 2
    while name in taken:
        name = f"{wanted.host}:{wanted.port} ({number})"
        number += 1
    new = dataclasses.replace(wanted, name=name)
    return dataclasses.replace(new, id=await stored.insert(connection, sealer, new))
