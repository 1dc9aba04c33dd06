"""Connections to Redis (7 or newer) or Valkey, and the live state that is kept there.

`RedisLive(url, clock)` is all a caller needs; `start` it, `close` it. This file is the only one
that imports redis, and is imported only where Redis is configured: that takes 0.1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from importlib import resources
from typing import Any

import msgspec
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from sub2api.clock import Clock
from sub2api.live.lease import Away
from sub2api.live.shared import SharedLive

MOST_CONNECTIONS = 32
"""Connections for commands per process; one more listens."""

_LONGEST_COMMAND = 1.0
"""Seconds; a command that takes longer means that Redis is away."""

_RESUBSCRIBE_AFTER = 0.5
_LISTEN_SLICE = 5.0
_ALIVE_CHECK = 10
"""Seconds of silence after which the listening connection asks whether it is still one."""


class RedisLink:
    """Runs the script and hears messages. Every error is `Away`, after a second at most."""

    def __init__(self, url: str, prefix: str, process_id: str) -> None:
        self._key = "{" + prefix + "}"
        self._process = process_id
        self._script = resources.files("sub2api.live").joinpath("redis.lua").read_text("utf-8")
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._client: Any = _client(url, MOST_CONNECTIONS)
        self._ears: Any = _client(url, 2, health_check_interval=_ALIVE_CHECK)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode

    async def run(self, operation: str, arguments: Any = ()) -> Any:
        """Run one operation of the script in one round trip. Raises Away."""
        packed = self._encode(arguments)
        said = (1, self._key, operation, self._process, packed)
        try:
            async with asyncio.timeout(_LONGEST_COMMAND):
                try:
                    answer = await self._client.execute_command("EVALSHA", self._sha, *said)
                except NoScriptError:
                    answer = await self._client.execute_command("EVAL", self._script, *said)
        except TimeoutError as error:
            raise Away("it took longer than a second") from error
        except (RedisError, OSError) as error:
            raise Away(str(error)) from error
        return self._decode(answer)

    async def publish(self, message: bytes) -> None:
        """Tell every process. Raises Away."""
        try:
            async with asyncio.timeout(_LONGEST_COMMAND):
                await self._client.publish(f"{self._key}:bus", message)
        except (TimeoutError, RedisError, OSError) as error:
            raise Away(str(error)) from error

    async def listen(self, heard: Callable[[bool, bytes], None], ready: Callable[[], None]) -> None:
        """Call `heard(to this process alone, message)` for ever, through lost connections too.

        `ready` is called whenever it has begun to hear.
        """
        own = f"{self._key}:bus:{self._process}"
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._ears.pubsub() as pubsub:
                    await pubsub.subscribe(f"{self._key}:bus", own)
                    while True:
                        message = await pubsub.get_message(timeout=_LISTEN_SLICE)
                        if message is None:
                            continue
                        if message["type"] == "subscribe":
                            ready()
                        elif message["type"] == "message":
                            heard(message["channel"] == own.encode(), message["data"])
            await asyncio.sleep(_RESUBSCRIBE_AFTER)

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._client, self._ears):
            await client.aclose()
            await client.connection_pool.disconnect()


class RedisLive(SharedLive):
    """Live state shared through Redis (see `Live`, which says what each method promises).

    `prefix` keeps installations apart that share one Redis. `process_id` must be another one for
    each process and each of its lives.
    """

    def __init__(
        self, url: str, clock: Clock, *, prefix: str = "sub2api", process_id: str = ""
    ) -> None:
        process = process_id or clock.new_id()
        super().__init__(RedisLink(url, prefix, process), clock)


def _client(url: str, connections: int, **options: Any) -> aioredis.Redis:
    """Return a client with a pool of its own; waiting for a connection ends after a second."""
    pool = aioredis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=_LONGEST_COMMAND,
        socket_connect_timeout=_LONGEST_COMMAND,
        socket_timeout=None,
        socket_keepalive=True,
        protocol=2,
        # One more try: a connection that Redis has closed meanwhile is noticed only in use.
        retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
        **options,
    )
    return aioredis.Redis.from_pool(pool)
