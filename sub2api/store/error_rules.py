"""Statements on error rules: what clients are told of an upstream's refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.model.health import ErrorRule
from sub2api.store import rows, tables

error_rules = tables.error_rules
_CHANGEABLE = frozenset(ErrorRule.__struct_fields__) - {"id"}
_COLUMNS = [error_rules.c[field] for field in ErrorRule.__struct_fields__]


async def everything(connection: AsyncConnection) -> list[ErrorRule]:
    """Return all rules, disabled ones too, in the order in which they are tried."""
    statement = select(*_COLUMNS).order_by(error_rules.c.priority, error_rules.c.id)
    return [ErrorRule(**row) for row in (await connection.execute(statement)).mappings()]


async def insert(connection: AsyncConnection, rule: ErrorRule) -> int:
    """Insert a rule (its `id` is ignored) and return its id. MistakeError: the name is taken."""
    values = {field: getattr(rule, field) for field in _CHANGEABLE}
    with rows.name_taken("an error rule", rule.name):
        return await rows.insert_row(connection, error_rules, values)


async def change(connection: AsyncConnection, rule_id: int, changes: Mapping[str, Any]) -> bool:
    """Change fields of a rule, named as in `ErrorRule`; return whether there is one."""
    rows.only_known(changes, _CHANGEABLE)
    here = error_rules.c.id == rule_id
    if not changes:
        return (await connection.execute(select(error_rules.c.id).where(here))).first() is not None
    with rows.name_taken("an error rule", changes.get("name")):
        async with rows.by_itself(connection):
            result = await connection.execute(error_rules.update().where(here).values(**changes))
    return result.rowcount > 0


async def delete(connection: AsyncConnection, rule_id: int) -> bool:
    """Delete a rule for good; return whether there was one."""
    result = await connection.execute(error_rules.delete().where(error_rules.c.id == rule_id))
    return result.rowcount > 0
