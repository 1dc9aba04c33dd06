from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite

from sub2api.model.health import RestRule
from sub2api.model.limits import Limits
from sub2api.store.types import Duration, Identifier, JsonOf, JsonText, Moment, Share

DIALECT = SQLiteDialect_aiosqlite()


@pytest.mark.parametrize("seconds", [None, 0.0, 1_700_000_000.0, 1_700_000_000.123])
def test_a_moment_survives_to_the_millisecond(seconds: float | None) -> None:
    stored = Moment().process_bind_param(seconds, DIALECT)
    assert stored is None or isinstance(stored, int)
    assert Moment().process_result_value(stored, DIALECT) == seconds


@pytest.mark.parametrize("value", [None, {}, {"a": [1, 2.5, "ü", None, True]}, [], "text", 7])
def test_json_survives(value: object) -> None:
    stored = JsonText().process_bind_param(value, DIALECT)
    assert JsonText().process_result_value(stored, DIALECT) == value


def test_json_none_is_null_and_text_is_compact() -> None:
    assert JsonText().process_bind_param(None, DIALECT) is None
    assert JsonText().process_bind_param({"a": 1, "b": "é"}, DIALECT) == '{"a":1,"b":"é"}'


def test_an_identifier_is_a_rowid_on_sqlite_and_big_on_postgres() -> None:
    assert Identifier.compile(dialect=DIALECT) == "INTEGER"
    assert Identifier.compile(dialect=make_url("postgresql+asyncpg://").get_dialect()()) == "BIGINT"


@pytest.mark.parametrize("seconds", [None, 0.0, 2.5, 60.0])
def test_a_duration_survives_to_the_millisecond(seconds: float | None) -> None:
    stored = Duration().process_bind_param(seconds, DIALECT)
    assert stored is None or isinstance(stored, int)
    assert Duration().process_result_value(stored, DIALECT) == seconds


@pytest.mark.parametrize("share", [None, 0.0, 0.123456, 1.0, 1.5])
def test_a_share_survives_to_the_millionth(share: float | None) -> None:
    stored = Share().process_bind_param(share, DIALECT)
    assert stored is None or isinstance(stored, int)
    assert Share().process_result_value(stored, DIALECT) == share


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Limits, Limits()),
        (Limits, Limits(rpm=5, cost_day=10**12)),
        (tuple[RestRule, ...], (RestRule(529, ("a", "b"), 10, "x"),)),
        (dict[str, tuple[int, ...]], {"m*": (1, 2)}),
        (tuple[int, ...], None),
    ],
)
def test_a_value_of_a_known_shape_survives_as_that_shape(kind: Any, value: object) -> None:
    stored = JsonOf(kind).process_bind_param(value, DIALECT)
    assert JsonOf(kind).process_result_value(stored, DIALECT) == value


def test_limits_that_are_not_set_take_no_room_and_unknown_ones_are_ignored() -> None:
    assert JsonOf(Limits).process_bind_param(Limits(), DIALECT) == "{}"
    assert JsonOf(Limits).process_result_value('{"rpm":1,"newer":2}', DIALECT) == Limits(rpm=1)
