"""Builds the running parts from settings. The only file that knows the mode."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sub2api.billing.journal import Journal
from sub2api.billing.ledger import Shipper, StoreSink
from sub2api.billing.prices import Override, PriceBook
from sub2api.clock import Clock
from sub2api.errors import SettingsError, Sub2APIError
from sub2api.gateway.bodies import Budget
from sub2api.gateway.budgets import Budgets
from sub2api.gateway.parts import Parts
from sub2api.gateway.places import Places
from sub2api.gateway.scheduling import Scheduler
from sub2api.identity.key_desk import KeyDesk
from sub2api.identity.operator_tokens import OperatorTokens
from sub2api.live.interfaces import Live
from sub2api.live.memory import MemoryLive
from sub2api.monitoring.metrics import Metrics
from sub2api.settings import Settings
from sub2api.store import price_overrides, stamp, users
from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from sub2api.store.sealing import Sealer, check_sealer, load_sealer
from sub2api.transport.policy import guard_for
from sub2api.transport.pool import Pool
from sub2api.upstream.catalogue import Catalogue
from sub2api.upstream.health import Health
from sub2api.upstream.stored_health import StoredHealth

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
"""How often a process looks whether somebody changed the configuration."""
_SHUTDOWN_SHIP_SECONDS = 10.0


class Nursery:
    """Runs coroutines to their end; a failure is logged and ends nobody else.

    `settle` is its only exit. Not a TaskGroup: every call goes through here, and that would cost
    it a wrapper and two callbacks more.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def settle(self, seconds: float) -> None:
        """Wait until all work is done, at most `seconds`; then cancel what is left and wait."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)


def database_url(settings: Settings) -> str:
    """Return the URL of the store that the settings ask for. Raises SettingsError."""
    if settings.run_mode == "full":
        raise SettingsError(
            "run_mode full is not available in this version: it serves simple mode "
            "(set RUN_MODE=simple)"
        )
    return settings.database.url or f"sqlite:///{Path(settings.data_dir) / 'sub2api.db'}"


async def open_store(settings: Settings) -> tuple[Database, Sealer]:
    """Open the migrated store and the key to its secrets. Raises SettingsError."""
    url = database_url(settings)
    await migrate(url)
    sealer = load_sealer(settings)
    database = await Database.open(url)
    try:
        async with database.transaction() as connection:
            await check_sealer(connection, sealer)
            await users.ensure_owner(connection)
    except BaseException:
        await database.close()
        raise
    return database, sealer


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """Run everything a process needs besides its front door; wind it down in order at the end.

    The end: calls finish (at most `server.drain_seconds`), then what they used is shipped to the
    store, then the journal and the store are closed. What could not be shipped stays journaled.
    """
    clock = clock or Clock()
    async with AsyncExitStack() as stack:
        database, sealer = await open_store(settings)
        stack.push_async_callback(database.close)
        journal = _journal(settings, clock)
        stack.push_async_callback(journal.aclose)
        pool = _pool(settings, clock)
        stack.push_async_callback(pool.close)
        shipper = Shipper(journal, StoreSink(database), clock)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        nursery = Nursery()
        parts = _parts(settings, clock, (database, sealer), journal, pool, nursery)
        await parts.live.start()
        await refresh(parts)
        work = (shipper.run(), parts.health.run(), _watch(parts))
        services = [tasks.create_task(each) for each in work]
        try:
            yield parts
        finally:
            await nursery.settle(settings.server.drain_seconds)
            await parts.live.close()
            await shipper.drain(_SHUTDOWN_SHIP_SECONDS)
            await parts.health.close()
            for service in services:
                service.cancel()


def _parts(
    settings: Settings,
    clock: Clock,
    store: tuple[Database, Sealer],
    journal: Journal,
    pool: Pool,
    nursery: Nursery,
) -> Parts:
    database, sealer = store
    catalogue = Catalogue(database, sealer, clock)
    live = _live(settings, clock)
    health = Health(clock, StoredHealth(database), live, settings.gateway.stall)
    budgets = Budgets(database, journal, clock, settings.timezone)
    places = Places(budgets, health, live, clock)
    return Parts(
        settings=settings,
        clock=clock,
        database=database,
        key_desk=KeyDesk(database, clock),
        catalogue=catalogue,
        live=live,
        health=health,
        scheduler=Scheduler(catalogue, live, health, clock, places.admits),
        places=places,
        budgets=budgets,
        pool=pool,
        journal=journal,
        prices=PriceBook.load_bundled(),
        metrics=_metrics(journal),
        bodies=Budget(settings.server.max_buffered_bodies),
        operator_tokens=OperatorTokens(sealer, clock),
        spawn=nursery.spawn,
    )


def _live(settings: Settings, clock: Clock) -> Live:
    """Return the live state: this process's own, or Redis' where one is configured."""
    if not settings.redis.url:
        return MemoryLive(clock)
    # Imported here: a gateway of one process need not pay for the library.
    from sub2api.live.redis import RedisLive

    return RedisLive(settings.redis.url, clock)


def _journal(settings: Settings, clock: Clock) -> Journal:
    return Journal(
        Path(settings.data_dir) / "journal",
        clock,
        max_segment_bytes=settings.journal.max_segment_bytes,
        max_total_bytes=settings.journal.max_total_bytes,
    )


def _metrics(journal: Journal) -> Metrics:
    metrics = Metrics()
    metrics.gauges["journal_backlog"] = (
        "Closed calls that are not in the database yet.",
        lambda: journal.backlog,
    )
    metrics.gauges["tasks"] = ("Tasks on the event loop.", lambda: len(asyncio.all_tasks()))
    metrics.gauges["journal_bytes"] = ("Size of the journal.", lambda: journal.size)
    return metrics


def _pool(settings: Settings, clock: Clock) -> Pool:
    return Pool(
        clock,
        guard_for(settings),
        max_connections_per_lane=settings.gateway.max_conns_per_account,
        idle_seconds=settings.gateway.idle_conn_timeout_seconds,
    )


async def refresh(parts: Parts) -> None:
    """Take over the configuration as it is in the store now."""
    await parts.catalogue.refresh()
    await parts.health.load(parts.catalogue.snapshot.accounts.values())
    parts.key_desk.clear()
    async with parts.database.reading() as connection:
        rows = await price_overrides.everything(connection)
    overrides = []
    for row in rows:
        try:
            override = Override(row.id, row.model, row.prices, row.valid_from, row.valid_until)
        except ValueError as error:
            log.warning("a price override is not usable", extra={"detail": str(error)})
        else:
            overrides.append(override)
    parts.prices.set_overrides(overrides)


async def _watch(parts: Parts) -> None:
    """Refresh whenever another process (the command line) has changed the configuration."""
    version = await parts.database.data_version()
    async with parts.database.reading() as connection:
        known = await stamp.read(connection)
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            latest = await parts.database.data_version()
            if latest == version:
                continue
            async with parts.database.reading() as connection:
                current = await stamp.read(connection)
            if current != known:
                await refresh(parts)
            version, known = latest, current  # not before: what failed is tried again
        except Sub2APIError as error:
            log.warning("the configuration cannot be read", extra={"detail": str(error)})
