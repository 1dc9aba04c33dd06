"""Fixtures that every test may use; they live beside what they start."""

from tests.fakes.postgres_server import migrated_name, migrated_url, postgres_server
from tests.fakes.world import World, upstream, world  # re-exported: pytest finds fixtures here

__all__ = ["World", "migrated_name", "migrated_url", "postgres_server", "upstream", "world"]
