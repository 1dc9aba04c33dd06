"""HTTP for everything that is not a relayed call: sign-ins, prices, quotas, updates.

httpx's comfort over the relay's own connections, so that the guard, the proxies and the limits are
the same. httpx is imported when first needed: most processes start without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sub2api.clock import Clock
from sub2api.model.accounts import Proxy
from sub2api.transport.messages import Deadlines, Request
from sub2api.transport.pool import Pool
from sub2api.transport.url_guard import Guard

if TYPE_CHECKING:  # importing httpx takes 0.1 s
    import httpx

_PATIENCE = Deadlines(connect=30.0, first_byte=30.0, idle=30.0)
_CONNECTIONS = 8
RESPONSE_LIMIT = 16 << 20


def control_client(
    clock: Clock,
    guard: Guard,
    *,
    proxy: Proxy | None = None,
    limit: int = RESPONSE_LIMIT,
    pool: Pool | None = None,
) -> httpx.AsyncClient:
    """Return a client that follows no redirects and waits 30 s at most for anything to happen.

    A body of more than `limit` bytes, a URL or address the guard refuses, and any failure on the
    way raise TransportError. Close it (`async with`); that closes `pool` too.
    """
    import httpx

    connections = pool or Pool(clock, guard, max_connections_per_lane=_CONNECTIONS)

    class Transport(httpx.AsyncBaseTransport):
        """Sends through a pool; bodies are read whole."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            body = await request.aread()
            headers = tuple((name.lower(), value) for name, value in request.headers.raw)
            response = await connections.send(
                Request(request.method, str(request.url), headers, body),
                lane="control",
                limit=0,
                proxy=proxy,
                deadlines=_PATIENCE,
            )
            try:
                content = await response.read(limit)
            finally:
                response.close()
            return httpx.Response(response.status, headers=response.headers, content=content)

        async def aclose(self) -> None:
            await connections.close()

    return httpx.AsyncClient(
        transport=Transport(),
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        trust_env=False,
    )
