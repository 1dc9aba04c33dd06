"""Reading the vendors' model lists."""

from __future__ import annotations

from typing import Any

import msgspec


def ids_of(body: bytes, field: str, name: str) -> list[str]:
    """Return `name` of every object in the list `field`; [] when the body is something else."""
    try:
        listing: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return []
    rows = listing.get(field) if isinstance(listing, dict) else None
    if not isinstance(rows, list):
        return []
    found = [row.get(name) for row in rows if isinstance(row, dict)]
    return [value for value in found if isinstance(value, str)]
