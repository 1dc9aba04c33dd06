"""The rules of error rules: what an operator may have clients told of an upstream's refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sub2api.errors import MistakeError
from sub2api.model.accounts import PLATFORM_NAMES
from sub2api.model.health import ErrorRule
from sub2api.store import error_rules as stored
from sub2api.store.database import Database
from sub2api.upstream.account_limits import check_keywords, check_statuses
from sub2api.upstream.names import checked_name

_LONGEST_MESSAGE = 2000


class ErrorRules:
    """Error rules as an operator manages them. Every mistake is a MistakeError with a way out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rule: ErrorRule) -> ErrorRule:
        """Add a rule (its id is ignored)."""
        _check(rule)
        async with self._database.transaction() as connection:
            rule_id = await stored.insert(connection, rule)
        return msgspec.structs.replace(rule, id=rule_id)

    async def everything(self) -> list[ErrorRule]:
        """Return all rules in the order in which they are tried."""
        async with self._database.reading() as connection:
            return await stored.everything(connection)

    async def find(self, name_or_id: str) -> ErrorRule:
        """Return the rule of that name, else of that id."""
        rules = await self.everything()
        named = [rule for rule in rules if rule.name == name_or_id]
        found = named or [rule for rule in rules if str(rule.id) == name_or_id]
        if not found:
            raise MistakeError(
                f"there is no error rule {name_or_id!r}: "
                "`sub2api error-rule list` shows those there are"
            )
        return found[0]

    async def change(self, name_or_id: str, changes: Mapping[str, Any]) -> ErrorRule:
        """Change fields, named as in `ErrorRule`."""
        rule = await self.find(name_or_id)
        changed = msgspec.structs.replace(rule, **changes)
        _check(changed)
        async with self._database.transaction() as connection:
            await stored.change(connection, rule.id, changes)
        return changed

    async def remove(self, name_or_id: str) -> ErrorRule:
        """Remove a rule for good."""
        rule = await self.find(name_or_id)
        async with self._database.transaction() as connection:
            await stored.delete(connection, rule.id)
        return rule


def _check(rule: ErrorRule) -> None:
    checked_name(rule.name, "an error rule")
    check_statuses(rule.statuses)
    check_keywords(rule.keywords)
    if not rule.statuses and not rule.keywords:
        raise MistakeError("an error rule needs a status or a keyword, else it never fits")
    unknown = [each for each in rule.platforms if each not in PLATFORM_NAMES]
    if unknown:
        raise MistakeError(
            f"unknown platform {unknown[0]!r}: use {', '.join(PLATFORM_NAMES)}, or none for all"
        )
    if rule.match not in ("any", "all"):
        raise MistakeError("a rule matches `any` of its conditions, or `all` of them")
    if rule.priority < 0:
        raise MistakeError("priority must be 0 or more; the lowest that fits wins")
    _check_answer(rule)


def _check_answer(rule: ErrorRule) -> None:
    if rule.status is not None and not 400 <= rule.status <= 599:
        raise MistakeError("clients are told of a refusal with a status between 400 and 599")
    if rule.message is not None and not 0 < len(rule.message.strip()) <= _LONGEST_MESSAGE:
        raise MistakeError(f"a message has 1 to {_LONGEST_MESSAGE} characters")
