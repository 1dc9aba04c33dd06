"""What alembic runs for a command. The connection, in its transaction, comes from migrate.py."""

from __future__ import annotations

from alembic import context

from sub2api.store.tables import metadata

attributes = context.config.attributes
if context.is_offline_mode():
    # Only to be read: the SQL goes to the configuration's output buffer.
    context.configure(dialect_name=attributes["kind"], target_metadata=metadata, literal_binds=True)
else:
    context.configure(connection=attributes["connection"], target_metadata=metadata)
context.run_migrations()
