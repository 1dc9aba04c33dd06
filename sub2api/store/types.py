"""Column types that mean the same on SQLite and Postgres: moments, JSON, big identifiers."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

# SQLite counts rows by itself only in a column declared exactly INTEGER.
Identifier = BigInteger().with_variant(Integer(), "sqlite")


class Moment(TypeDecorator[float]):
    """A moment: seconds since 1970 as a float in Python, whole milliseconds in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> int | None:
        """Return the milliseconds to store."""
        return None if value is None else round(value * 1000)

    def process_result_value(self, value: int | None, dialect: Dialect) -> float | None:
        """Return the seconds that were stored."""
        return None if value is None else value / 1000


class JsonText(TypeDecorator[Any]):
    """A JSON value, kept as compact UTF-8 text. None is NULL, never the text `null`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the text to store. Raises TypeError for what JSON cannot say."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value that was stored."""
        return None if value is None else msgspec.json.decode(value)


class Duration(Moment):
    """A time span: seconds as a float in Python, whole milliseconds in the database."""

    cache_ok = True


class Share(TypeDecorator[float]):
    """A part of a whole: 1.0 in Python, whole millionths in the database, exact on both."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> int | None:
        """Return the millionths to store."""
        return None if value is None else round(value * 1_000_000)

    def process_result_value(self, value: int | None, dialect: Dialect) -> float | None:
        """Return the share that was stored."""
        return None if value is None else value / 1_000_000


class JsonOf(JsonText):
    """A value of a known shape (a struct, a tuple, a dict), kept as JSON text.

    Members that a newer release has added are ignored when it is read.
    """

    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value that was stored. Raises msgspec.ValidationError for another shape."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)
