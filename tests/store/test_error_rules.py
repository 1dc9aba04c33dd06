from __future__ import annotations

import msgspec
import pytest

from sub2api.errors import MistakeError
from sub2api.model.health import ErrorRule
from sub2api.store import error_rules, stamp
from sub2api.store.database import Database

RULE = ErrorRule(
    id=1,
    name="busy",
    priority=7,
    enabled=False,
    statuses=(429, 529),
    keywords=("überlastet",),
    match="all",
    platforms=("anthropic",),
    status=503,
    message="Come back later.",
)


async def test_rules_survive_and_come_in_the_order_they_are_tried(database: Database) -> None:
    async with database.transaction() as connection:
        assert await error_rules.insert(connection, RULE) == 1
        assert await error_rules.insert(connection, ErrorRule(id=0, name="plain")) == 2
        early = ErrorRule(id=3, name="early", priority=1)
        await error_rules.insert(connection, early)
        assert await error_rules.everything(connection) == [
            early,
            RULE,
            ErrorRule(id=2, name="plain"),
        ]


async def test_a_rule_is_changed_and_deleted_and_moves_the_stamp(database: Database) -> None:
    async with database.transaction() as connection:
        rule_id = await error_rules.insert(connection, RULE)
        stamps = [await stamp.read(connection)]
    async with database.transaction() as connection:
        assert await error_rules.change(connection, rule_id, {"status": None, "statuses": (500,)})
        assert await error_rules.change(connection, rule_id, {})
        stamps.append(await stamp.read(connection))
        changed = msgspec.structs.replace(RULE, status=None, statuses=(500,))
        assert await error_rules.everything(connection) == [changed]
    async with database.transaction() as connection:
        assert await error_rules.delete(connection, rule_id)
        stamps.append(await stamp.read(connection))
        assert not await error_rules.delete(connection, rule_id)
        assert not await error_rules.change(connection, rule_id, {"priority": 1})
        assert not await error_rules.change(connection, rule_id, {})
    assert stamps == sorted(set(stamps))


async def test_a_name_is_given_once_and_an_unknown_field_is_our_mistake(
    database: Database,
) -> None:
    async with database.transaction() as connection:
        await error_rules.insert(connection, RULE)
        with pytest.raises(MistakeError, match="there is already an error rule named 'busy'"):
            await error_rules.insert(connection, RULE)
        other = await error_rules.insert(connection, ErrorRule(id=0, name="other"))
        with pytest.raises(MistakeError, match="there is already an error rule named 'busy'"):
            await error_rules.change(connection, other, {"name": "busy"})
        with pytest.raises(ValueError, match="cannot be changed: id"):
            await error_rules.change(connection, 1, {"id": 9})
