"""The configuration: what can be set (keys), of which kinds (kinds), and reading it (loading)."""

from sub2api.settings.keys import Key, Settings, all_keys
from sub2api.settings.loading import load

__all__ = ["Key", "Settings", "all_keys", "load"]
