"""Alembic, and our revisions: imported only when there is something to migrate."""

from __future__ import annotations

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sub2api.store.engine import Kind

MIGRATIONS = Path(__file__).parent / "migrations"


def run(connection: Connection) -> bool:
    """Run what is missing; False when the schema is one that this release does not know."""
    config = configuration(connection)
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and not is_known(current):
        return False
    command.upgrade(config, "head")
    return True


def is_known(revision: str) -> bool:
    """Whether there is a script for a revision."""
    return revision in {each.revision for each in _scripts().walk_revisions()}


def newest() -> str | None:
    """Return the newest revision that there is a script for."""
    return _scripts().get_current_head()


def sql_after(revision: str | None, kind: Kind) -> str:
    """Return the SQL of all revisions after that one (None: of all), in a database's dialect."""
    written = io.StringIO()
    config = _config()
    config.output_buffer = written
    config.attributes["kind"] = kind
    command.upgrade(config, f"{revision or 'base'}:head", sql=True)
    return written.getvalue()


def configuration(connection: Connection) -> Config:
    """Return alembic's configuration: our revisions, on that connection."""
    config = _config()
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    # A percent sign in the path would be read as an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
