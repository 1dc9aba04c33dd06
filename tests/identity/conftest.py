"""A store of its own for the rule rooms' tests."""

from tests.fakes.workshop import workshop

__all__ = ["workshop"]
