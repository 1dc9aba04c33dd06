"""Statements on API keys. A key's text is kept as SHA-256 (to find) and sealed (to show)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.errors import MistakeError, StoreError
from sub2api.model.callers import ApiKey, Caller
from sub2api.store import rows, tables, users

api_keys = tables.api_keys
key_groups = tables.key_groups
_PLAIN = frozenset(
    {"name", "status", "concurrency", "ip_allow", "ip_deny", "expires_at", "limits", "quota"}
)
_CHANGEABLE = _PLAIN | {"group_ids"}


async def insert(
    connection: AsyncConnection, key: ApiKey, *, key_hash: str, key_sealed: str
) -> int:
    """Insert a key with its groups (its `id` is ignored) and return its id.

    `key_hash` is the text's SHA-256 in hex. MistakeError: the name is taken, or the text is or was
    another key.
    """
    values = {field: getattr(key, field) for field in _PLAIN}
    values |= {"user_id": key.user_id, "hint": key.hint, "created_at": key.created_at}
    values |= {"key_hash": key_hash, "key_sealed": key_sealed}
    try:
        with rows.name_taken("a key", key.name):
            key_id = await rows.insert_row(connection, api_keys, values)
    except StoreError as error:
        if "key_hash" in str(error):
            raise MistakeError("this key text is or was in use: choose another") from error
        raise
    await _bind(connection, key_id, key.group_ids)
    return key_id


async def caller_by_hash(connection: AsyncConnection, key_hash: str) -> Caller | None:
    """Return whose key this is, whatever its status; None when it or its owner is deleted."""
    owners = tables.users
    statement = select(api_keys).where(api_keys.c.key_hash == key_hash, rows.is_live(api_keys))
    row = (await connection.execute(statement)).first()
    if row is None:
        return None
    owner = select(owners).where(owners.c.id == row.user_id, rows.is_live(owners))
    user = (await connection.execute(owner)).first()
    if user is None:
        return None
    groups_of = await _groups_by_key(connection, row.id)
    return Caller(key=_key(row, groups_of.get(row.id, ())), user=users.user_of(user))


async def everything(connection: AsyncConnection) -> list[ApiKey]:
    """Return all live keys, revoked ones too, in the order they were made."""
    statement = select(api_keys).where(rows.is_live(api_keys)).order_by(api_keys.c.id)
    found = (await connection.execute(statement)).all()
    groups_of = await _groups_by_key(connection)
    return [_key(row, groups_of.get(row.id, ())) for row in found]


async def find(connection: AsyncConnection, name_or_id: str) -> ApiKey | None:
    """Return the live key of that name (not revoked first, then newest), else of that id."""
    keys = [key for key in await everything(connection) if key.name == name_or_id]
    if keys:
        return max(keys, key=lambda key: (key.status != "revoked", key.id))
    key_id = await rows.id_of(connection, api_keys, name_or_id)
    return next((key for key in await everything(connection) if key.id == key_id), None)


async def sealed_text(connection: AsyncConnection, key_id: int) -> str:
    """Return a live key's sealed text. Raises MistakeError when there is no such key."""
    statement = select(api_keys.c.key_sealed).where(api_keys.c.id == key_id, rows.is_live(api_keys))
    sealed = (await connection.execute(statement)).scalar()
    if sealed is None:
        raise MistakeError(f"there is no key with id {key_id}")
    return str(sealed)


async def change(connection: AsyncConnection, key_id: int, changes: Mapping[str, Any]) -> bool:
    """Change fields of a live key, named as in `ApiKey`; return whether there is one."""
    rows.only_known(changes, _CHANGEABLE)
    values = {field: value for field, value in changes.items() if field in _PLAIN}
    with rows.name_taken("a key", changes.get("name")):
        exists = await rows.change_row(connection, api_keys, key_id, values)
    if exists and "group_ids" in changes:
        await connection.execute(key_groups.delete().where(key_groups.c.key_id == key_id))
        await _bind(connection, key_id, changes["group_ids"])
    return exists


async def delete(connection: AsyncConnection, key_id: int, *, now: float | None = None) -> bool:
    """Delete a key and wipe its text; its hash stays, so that the text can never come back."""
    return await rows.delete_row(connection, api_keys, key_id, now=now, wipe={"key_sealed": ""})


async def touch(connection: AsyncConnection, used_at: Mapping[int, float]) -> None:
    """Set when keys were last used: id -> seconds since 1970. Does not move the stamp."""
    await rows.touch_rows(connection, api_keys, used_at)


async def _bind(connection: AsyncConnection, key_id: int, group_ids: Iterable[int]) -> None:
    bound = [
        {"key_id": key_id, "group_id": group_id, "position": position}
        for position, group_id in enumerate(dict.fromkeys(group_ids))
    ]
    if bound:
        await connection.execute(key_groups.insert(), bound)


async def _groups_by_key(
    connection: AsyncConnection, key_id: int | None = None
) -> dict[int, tuple[int, ...]]:
    statement = select(key_groups.c.key_id, key_groups.c.group_id).order_by(key_groups.c.position)
    if key_id is not None:
        statement = statement.where(key_groups.c.key_id == key_id)
    grouped: dict[int, tuple[int, ...]] = {}
    for bound_key, group_id in (await connection.execute(statement)).all():
        grouped[bound_key] = (*grouped.get(bound_key, ()), group_id)
    return grouped


def _key(row: Row[Any], group_ids: tuple[int, ...]) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        hint=row.hint,
        status=row.status,
        group_ids=group_ids,
        concurrency=row.concurrency,
        ip_allow=tuple(row.ip_allow),
        ip_deny=tuple(row.ip_deny),
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        created_at=row.created_at,
        limits=row.limits,
        quota=row.quota,
    )
