from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite

from sub2api.store.types import Identifier, JsonText, Moment

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
