"""Names that people give to accounts, groups, keys and proxies."""

from __future__ import annotations

from sub2api.errors import MistakeError

_LONGEST = 100


def checked_name(name: str, of: str) -> str:
    """Return the name. Raises MistakeError if nobody could type or show it."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > _LONGEST:
        raise MistakeError(
            f"the name of {of} has 1 to {_LONGEST} printable characters and no space at its ends"
        )
    if name.isdigit():
        raise MistakeError(f"the name of {of} must not be a number alone: numbers are ids")
    return name
