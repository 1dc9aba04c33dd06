"""Statements on outgoing proxies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.errors import MistakeError, SealError
from sub2api.model.accounts import Proxy
from sub2api.store import rows, tables
from sub2api.store.sealing import Sealer

proxies = tables.proxies
_PURPOSE = "proxy password"
_CHANGEABLE = frozenset({"name", "protocol", "host", "port", "username", "password", "status"})


async def insert(connection: AsyncConnection, sealer: Sealer, proxy: Proxy) -> int:
    """Insert a proxy (its `id` is ignored) and return its id. MistakeError: the name is taken."""
    values = {
        "name": proxy.name,
        "protocol": proxy.protocol,
        "host": proxy.host,
        "port": proxy.port,
        "username": proxy.username,
        "password_sealed": _sealed(sealer, proxy.password),
        "status": proxy.status,
    }
    with rows.name_taken("a proxy", proxy.name):
        return await rows.insert_row(connection, proxies, values)


async def everything(connection: AsyncConnection, sealer: Sealer) -> list[Proxy]:
    """Return all live proxies by name."""
    statement = select(proxies).where(rows.is_live(proxies)).order_by(proxies.c.name)
    return [proxy_of(row, sealer) for row in (await connection.execute(statement)).all()]


async def by_id(connection: AsyncConnection, sealer: Sealer) -> dict[int, Proxy]:
    """Return all proxies by id, deleted ones too: an account must never lose its proxy silently."""
    found = (await connection.execute(select(proxies))).all()
    return {row.id: proxy_of(row, sealer) for row in found}


async def find(connection: AsyncConnection, sealer: Sealer, name_or_id: str) -> Proxy | None:
    """Return the live proxy of that name, else of that id, else None."""
    proxy_id = await rows.id_of(connection, proxies, name_or_id)
    if proxy_id is None:
        return None
    row = (await connection.execute(select(proxies).where(proxies.c.id == proxy_id))).one()
    return proxy_of(row, sealer)


async def change(
    connection: AsyncConnection, sealer: Sealer, proxy_id: int, changes: Mapping[str, Any]
) -> bool:
    """Change fields of a live proxy, named as in `Proxy`; return whether there is one."""
    rows.only_known(changes, _CHANGEABLE)
    values = dict(changes)
    if "password" in values:
        values["password_sealed"] = _sealed(sealer, values.pop("password"))
    with rows.name_taken("a proxy", changes.get("name")):
        return await rows.change_row(connection, proxies, proxy_id, values)


async def delete(connection: AsyncConnection, proxy_id: int, *, now: float | None = None) -> bool:
    """Delete a proxy and wipe its password; return whether there was one.

    Raises MistakeError while accounts use it: they would fail or, worse, go out directly.
    """
    accounts = tables.accounts
    users = select(accounts.c.name).where(accounts.c.proxy_id == proxy_id, rows.is_live(accounts))
    names = (await connection.execute(users.order_by(accounts.c.name))).scalars().all()
    if names:
        raise MistakeError(f"the proxy is used by these accounts: {', '.join(names)}")
    return await rows.delete_row(
        connection, proxies, proxy_id, now=now, wipe={"password_sealed": None}
    )


def _sealed(sealer: Sealer, password: str | None) -> str | None:
    return None if password is None else sealer.seal(password, _PURPOSE)


def proxy_of(row: Row[Any], sealer: Sealer) -> Proxy:
    """Return the proxy in a row. One whose password cannot be opened comes back disabled."""
    password, status = None, row.status
    if row.password_sealed is not None:
        try:
            password = sealer.open(row.password_sealed, _PURPOSE)
        except SealError:
            status = "disabled"
    return Proxy(
        id=row.id,
        name=row.name,
        protocol=row.protocol,
        host=row.host,
        port=row.port,
        username=row.username,
        password=password,
        status=status,
    )
