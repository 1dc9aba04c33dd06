"""The running parts that a call's walk uses; built by `wiring.py`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from sub2api.billing.journal import Journal
from sub2api.billing.prices import PriceBook
from sub2api.clock import Clock
from sub2api.gateway.bodies import Budget
from sub2api.gateway.budgets import Budgets
from sub2api.gateway.places import Places
from sub2api.gateway.scheduling import Scheduler
from sub2api.identity.key_desk import KeyDesk
from sub2api.identity.operator_tokens import OperatorTokens
from sub2api.live.interfaces import Live
from sub2api.model.accounts import Proxy
from sub2api.monitoring.metrics import Metrics
from sub2api.settings import Settings
from sub2api.store.database import Database
from sub2api.transport.messages import Deadlines, LaneName, Request, Response, Target
from sub2api.upstream.catalogue import Catalogue
from sub2api.upstream.health import Health


class Sender(Protocol):
    """What the gateway needs of the transport's pool."""

    def target(self, request: Request, proxy: Proxy | None) -> Target:
        """Prepare requests like this one, whatever their bodies."""
        ...

    async def exchange(
        self, target: Target, body: bytes, *, lane: LaneName, limit: int, deadlines: Deadlines
    ) -> Response:
        """Send a body; return the response once its head is there."""
        ...

    async def send(
        self,
        request: Request,
        *,
        lane: LaneName,
        limit: int,
        proxy: Proxy | None,
        deadlines: Deadlines,
    ) -> Response:
        """Send a request that has no likes."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything `Pipeline` needs. `spawn` runs a coroutine in the process's task group."""

    settings: Settings
    clock: Clock
    database: Database
    key_desk: KeyDesk
    catalogue: Catalogue
    live: Live
    health: Health
    scheduler: Scheduler
    places: Places
    budgets: Budgets
    pool: Sender
    journal: Journal
    prices: PriceBook
    metrics: Metrics
    bodies: Budget
    operator_tokens: OperatorTokens
    spawn: Callable[[Coroutine[Any, Any, None]], None]
