"""Statements on groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.model.accounts import Group
from sub2api.store import rows, tables

groups = tables.groups
_CHANGEABLE = frozenset(
    {
        "name",
        "platform",
        "description",
        "rate_multiplier",
        "status",
        "disconnect",
        "concurrency",
        "limits",
        "model_routes",
        "first_byte_timeout",
    }
)


async def insert(connection: AsyncConnection, group: Group) -> int:
    """Insert a group (its `id` is ignored) and return its id. MistakeError: the name is taken."""
    values = {field: getattr(group, field) for field in _CHANGEABLE}
    values["created_at"] = group.created_at
    with rows.name_taken("a group", group.name):
        return await rows.insert_row(connection, groups, values)


async def everything(connection: AsyncConnection) -> list[Group]:
    """Return all live groups in the order they were made."""
    statement = select(groups).where(rows.is_live(groups)).order_by(groups.c.id)
    return [_group(row) for row in (await connection.execute(statement)).all()]


async def find(connection: AsyncConnection, name_or_id: str) -> Group | None:
    """Return the live group of that name, else of that id, else None."""
    group_id = await rows.id_of(connection, groups, name_or_id)
    if group_id is None:
        return None
    return _group((await connection.execute(select(groups).where(groups.c.id == group_id))).one())


async def change(connection: AsyncConnection, group_id: int, changes: Mapping[str, Any]) -> bool:
    """Change fields of a live group, named as in `Group`; return whether there is one."""
    rows.only_known(changes, _CHANGEABLE)
    with rows.name_taken("a group", changes.get("name")):
        return await rows.change_row(connection, groups, group_id, changes)


async def delete(connection: AsyncConnection, group_id: int, *, now: float | None = None) -> bool:
    """Delete a group and take its accounts out of it; return whether there was one.

    Keys stay bound to it: a key without any group may use every account in simple mode, so
    unbinding would silently widen what the key may do.
    """
    members = tables.account_groups
    await connection.execute(members.delete().where(members.c.group_id == group_id))
    return await rows.delete_row(connection, groups, group_id, now=now)


def _group(row: Row[Any]) -> Group:
    return Group(
        id=row.id,
        name=row.name,
        platform=row.platform,
        description=row.description,
        rate_multiplier=row.rate_multiplier,
        status=row.status,
        disconnect=row.disconnect,
        created_at=row.created_at,
        concurrency=row.concurrency,
        limits=row.limits,
        model_routes=row.model_routes,
        first_byte_timeout=row.first_byte_timeout,
    )
