"""The configuration stamp: a number that moves whenever configuration changed, by anyone."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.store.tables import config_stamp


async def read(connection: AsyncConnection) -> int:
    """Return the stamp. It only grows; triggers move it (see `tables.CONFIGURATION`)."""
    return int((await connection.execute(select(config_stamp.c.stamp))).scalar_one())
