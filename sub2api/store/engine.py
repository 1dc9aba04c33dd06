"""Which database a URL names, and what both kinds have in common."""

from __future__ import annotations

from typing import Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sub2api.errors import SettingsError

BUSY_SECONDS = 30.0
"""How long whoever wants to write, or a free connection, waits for others: then StoreError."""

Kind = Literal["sqlite", "postgresql"]


def parsed(url: str) -> URL:
    """Return the URL in parts. Raises SettingsError without it: it may hold a password."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "database.url is not a database URL such as sqlite:///path or "
            "postgresql://user:password@host/name"
        ) from None


def kind_of(url: str) -> Kind:
    """Return the kind of database that a URL names. Raises SettingsError for any other."""
    name = parsed(url).get_backend_name()
    if name == "sqlite":
        return "sqlite"
    if name in {"postgresql", "postgres"}:
        return "postgresql"
    raise SettingsError(f"database.url names {name!r}: it must be sqlite or postgresql")
