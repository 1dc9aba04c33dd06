"""What alembic runs for a command. The connection, in its transaction, comes from migrate.py."""

from __future__ import annotations

from alembic import context

from sub2api.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
