"""Releases: where they come from, whether they are ours, and how one replaces another."""
