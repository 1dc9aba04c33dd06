"""Statements on accounts: upstream credentials, with their proxy and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.errors import SealError
from sub2api.model.accounts import Account, Proxy
from sub2api.store import proxies, rows, tables
from sub2api.store.sealing import Sealer

accounts = tables.accounts
members = tables.account_groups
_PURPOSE = "account credentials"
_PLAIN = frozenset(
    {
        "name",
        "platform",
        "type",
        "base_url",
        "model_mapping",
        "proxy_id",
        "concurrency",
        "priority",
        "status",
        "schedulable",
        "error_message",
        "expires_at",
        "notes",
        "limits",
        "max_sessions",
        "session_idle_minutes",
        "window_cost_limit",
        "window_cost_reserve",
        "rest_rules",
        "custom_error_codes",
        "adaptive_concurrency",
        "cleared_at",
    }
)
_CHANGEABLE = _PLAIN | {"api_key", "group_ids"}


async def insert(connection: AsyncConnection, sealer: Sealer, account: Account) -> int:
    """Insert an account with its groups (its `id` is ignored) and return its id.

    Its proxy must be in the store already. MistakeError: the name is taken.
    """
    values = {field: getattr(account, field) for field in _PLAIN - {"proxy_id"}}
    values["proxy_id"] = account.proxy.id if account.proxy else None
    values["credentials_sealed"] = _sealed(sealer, account.api_key)
    values["created_at"] = account.created_at
    with rows.name_taken("an account", account.name):
        account_id = await rows.insert_row(connection, accounts, values)
    await _join(connection, account_id, account.group_ids)
    return account_id


async def everything(connection: AsyncConnection, sealer: Sealer) -> list[Account]:
    """Return all live accounts in the order they were made, credentials opened.

    An account whose credential cannot be opened comes back with status `error` and a message.
    """
    statement = select(accounts).where(rows.is_live(accounts)).order_by(accounts.c.id)
    found = (await connection.execute(statement)).all()
    proxy_by_id = await proxies.by_id(connection, sealer)
    groups_of = await _groups_by_account(connection)
    return [_account(row, sealer, proxy_by_id, groups_of.get(row.id, ())) for row in found]


async def find(connection: AsyncConnection, sealer: Sealer, name_or_id: str) -> Account | None:
    """Return the live account of that name, else of that id, else None."""
    account_id = await rows.id_of(connection, accounts, name_or_id)
    if account_id is None:
        return None
    row = (await connection.execute(select(accounts).where(accounts.c.id == account_id))).one()
    groups_of = await _groups_by_account(connection)
    proxy_by_id = await proxies.by_id(connection, sealer)
    return _account(row, sealer, proxy_by_id, groups_of.get(account_id, ()))


async def change(
    connection: AsyncConnection, sealer: Sealer, account_id: int, changes: Mapping[str, Any]
) -> bool:
    """Change fields of a live account; return whether there is one.

    Fields are named as in `Account`, except `proxy_id` (None: direct) in the place of `proxy`.
    """
    rows.only_known(changes, _CHANGEABLE)
    values = {field: value for field, value in changes.items() if field in _PLAIN}
    if "api_key" in changes:
        values["credentials_sealed"] = _sealed(sealer, changes["api_key"])
    with rows.name_taken("an account", changes.get("name")):
        exists = await rows.change_row(connection, accounts, account_id, values)
    if exists and "group_ids" in changes:
        await connection.execute(members.delete().where(members.c.account_id == account_id))
        await _join(connection, account_id, changes["group_ids"])
    return exists


async def delete(connection: AsyncConnection, account_id: int, *, now: float | None = None) -> bool:
    """Delete an account and wipe its credential; return whether there was one."""
    return await rows.delete_row(
        connection, accounts, account_id, now=now, wipe={"credentials_sealed": ""}
    )


async def put_out_of_use(connection: AsyncConnection, account_id: int, message: str) -> None:
    """Set an active account's status to `error`, with the reason. Others keep theirs."""
    await connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.status == "active", rows.is_live(accounts))
        .values(status="error", error_message=message)
    )


async def touch(connection: AsyncConnection, used_at: Mapping[int, float]) -> None:
    """Set when accounts were last used: id -> seconds since 1970. Does not move the stamp."""
    await rows.touch_rows(connection, accounts, used_at)


async def cleared_at(connection: AsyncConnection) -> dict[int, float]:
    """Return when live accounts' rests were last cleared, by id; those that never were are not."""
    statement = select(accounts.c.id, accounts.c.cleared_at).where(
        rows.is_live(accounts), accounts.c.cleared_at.is_not(None)
    )
    return {row.id: row.cleared_at for row in (await connection.execute(statement)).all()}


async def named(connection: AsyncConnection) -> list[tuple[int, str, str]]:
    """Return the live accounts' ids, names and platforms; no credential is opened."""
    columns = (accounts.c.id, accounts.c.name, accounts.c.platform)
    statement = select(*columns).where(rows.is_live(accounts)).order_by(accounts.c.id)
    return [(row.id, row.name, row.platform) for row in (await connection.execute(statement)).all()]


async def _join(connection: AsyncConnection, account_id: int, group_ids: Iterable[int]) -> None:
    joined = [{"account_id": account_id, "group_id": each} for each in dict.fromkeys(group_ids)]
    if joined:
        await connection.execute(members.insert(), joined)


async def _groups_by_account(connection: AsyncConnection) -> dict[int, tuple[int, ...]]:
    statement = select(members.c.account_id, members.c.group_id).order_by(members.c.group_id)
    grouped: dict[int, tuple[int, ...]] = {}
    for account_id, group_id in (await connection.execute(statement)).all():
        grouped[account_id] = (*grouped.get(account_id, ()), group_id)
    return grouped


def _sealed(sealer: Sealer, api_key: str) -> str:
    return sealer.seal(msgspec.json.encode({"api_key": api_key}).decode(), _PURPOSE)


def _account(
    row: Row[Any], sealer: Sealer, proxy_by_id: Mapping[int, Proxy], group_ids: tuple[int, ...]
) -> Account:
    status, problem, api_key = row.status, row.error_message, ""
    try:
        opened = msgspec.json.decode(sealer.open(row.credentials_sealed, _PURPOSE))
        api_key = opened.get("api_key", "")
    except SealError:
        status, problem = "error", "the stored credential cannot be opened: enter it again"
    return Account(
        id=row.id,
        name=row.name,
        platform=row.platform,
        type=row.type,
        api_key=api_key,
        base_url=row.base_url,
        model_mapping=row.model_mapping,
        proxy=None if row.proxy_id is None else proxy_by_id[row.proxy_id],
        concurrency=row.concurrency,
        priority=row.priority,
        status=status,
        schedulable=row.schedulable,
        error_message=problem,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        notes=row.notes,
        group_ids=group_ids,
        created_at=row.created_at,
        limits=row.limits,
        max_sessions=row.max_sessions,
        session_idle_minutes=row.session_idle_minutes,
        window_cost_limit=row.window_cost_limit,
        window_cost_reserve=row.window_cost_reserve,
        rest_rules=row.rest_rules,
        custom_error_codes=row.custom_error_codes,
        adaptive_concurrency=row.adaptive_concurrency,
        cleared_at=row.cleared_at,
    )
