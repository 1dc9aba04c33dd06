"""Fixtures that every test may use; they live beside what they start."""

from tests.fakes.world import World, upstream, world  # re-exported: pytest finds fixtures here

__all__ = ["World", "upstream", "world"]
